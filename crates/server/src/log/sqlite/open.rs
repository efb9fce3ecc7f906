//! Opening a store: whether the file is one, whether it is whole, what it holds, and whether its end can be trusted.
//!
//! Nothing is written before it is known that the file is ours and that nobody else has it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{PipelineId, PipelineStatus, ReporterId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::super::fold::Fold;
use super::super::{new_epoch, place::file_limits};
use super::error::StoreError;
use super::known::{Inner, Known, Shared};
use super::schema::{APPLICATION_ID, VERSION, migrate, number, place, version};
use super::state::StateRows;
use super::{Durability, SqliteOptions, read};

/// The first bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the application's id stands in its header.
const ID_AT: usize = 68;
/// Up to this size a store is looked through at each start.
const CHECKED_BYTES: u64 = 128 * 1024 * 1024;
/// How long a reader waits for the writer to finish a change of the file's form.
const BUSY: Duration = Duration::from_secs(5);

/// A store that is ours.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    /// Held as long as the store is.
    pub(super) lock: File,
}

pub(super) fn open(options: &SqliteOptions) -> Result<Opened, StoreError> {
    let path = &options.path;
    let fresh = look_at(path)?;
    let lock = lock(path)?;
    if fresh {
        private(path, false)
            .map_err(|error| StoreError::Unopened { path: path.clone(), cause: error.to_string() })?;
    }
    let say = |error: rusqlite::Error| explain(path, &error);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(say)?;
    connection.busy_timeout(BUSY).map_err(say)?;
    if fresh {
        // Before anything else, so that a file that was begun is known as ours.
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(say)?;
    }
    let found = version(&connection).map_err(say)?;
    if found > VERSION {
        return Err(StoreError::Newer { path: path.clone(), found, known: VERSION });
    }
    set_up(&connection, options).map_err(say)?;
    let power_was_lost = found > 0 && ended_badly(&connection, options).map_err(say)?;
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size <= CHECKED_BYTES || power_was_lost {
        check(&connection, path)?;
    }
    let transaction = connection.transaction().map_err(say)?;
    migrate(&transaction).map_err(say)?;
    let pipelines = load(&transaction, options, power_was_lost || options.new_epochs).map_err(say)?;
    transaction
        .execute(
            "INSERT INTO run (one, boot, clean, durability) VALUES (1, ?1, 0, ?2)
             ON CONFLICT (one) DO UPDATE SET boot = ?1, clean = 0, durability = ?2",
            params![options.boot, options.durability.as_str()],
        )
        .map_err(say)?;
    transaction.commit().map_err(say)?;
    // That it is open has to be on the disk before anything is taken. With `commit` durability a commit does not wait for
    // the disk, but this does: or a store that was closed in order would, after a loss of power, still look so.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(say)?;
    Ok(Opened { connection, shared: Arc::new(Shared::new(path.clone(), pipelines)), lock })
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Looks at the file without opening it as a database: whether there is none yet, or one of ours.
fn look_at(path: &Path) -> Result<bool, StoreError> {
    let unopened = |cause: String| StoreError::Unopened { path: path.to_owned(), cause };
    let foreign = |what: &str| StoreError::Foreign { path: path.to_owned(), what: what.to_owned() };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if directory.is_some_and(|directory| !directory.is_dir()) {
                return Err(unopened("its directory does not exist; make it first".to_owned()));
            }
            return Ok(true);
        }
        Err(error) => return Err(unopened(error.to_string())),
    };
    if file.metadata().is_ok_and(|file| file.is_dir()) {
        return Err(foreign("it is a directory"));
    }
    let mut header = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut header).map_err(|error| unopened(error.to_string()))?;
    if header.is_empty() {
        return Ok(true);
    }
    if !header.starts_with(MAGIC) {
        return Err(foreign("it is not a SQLite database"));
    }
    let id = header.get(ID_AT..ID_AT + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    match id {
        Some(APPLICATION_ID) => Ok(false),
        Some(_) => Err(foreign("it is the SQLite database of another program")),
        None => Err(StoreError::Damaged { path: path.to_owned(), cause: "its header is cut off".to_owned() }),
    }
}

/// Takes the store for this process; the system gives it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    // Beside the file itself, by whatever link it was named.
    let mut name = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let unopened = |error: std::io::Error| StoreError::Unopened {
        path: path.to_owned(),
        cause: format!("the lock file {} beside it: {error}", lock.display()),
    };
    let mut file = private(&lock, true).map_err(unopened)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut by = String::new();
            let _ = file.take(20).read_to_string(&mut by);
            let by = if by.is_empty() { by } else { format!(" (process {})", by.trim()) };
            return Err(StoreError::InUse { path: path.to_owned(), by });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(unopened(error)),
    }
    // Only to be named to the next one who tries.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Opens a file, which is for nobody else where it is made here: paths and errors of documents are in it. SQLite gives its
/// log and its index the rights of the database. What exists keeps its rights.
fn private(path: &Path, read: bool) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(read).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn set_up(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(%mode, "this file system does not let the store have a write-ahead log; readers wait for the writer");
    }
    let synchronous = match options.durability {
        Durability::Commit => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // 32 MiB of pages; the log before the file is moved into it by the [checkpointer](super::checkpoint), what is left
    // of it by the writer every 16 MiB; it is kept at most at 64.
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.set_prepared_statement_cache_capacity(64);
    if let Some(pages) = options.max_pages {
        let _: i64 =
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0))?;
    }
    Ok(())
}

/// Whether the last transactions may be gone: with `commit` durability, the hub before this one did not close the store,
/// and the machine has started since, or cannot tell.
fn ended_badly(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<bool> {
    let last = connection
        .query_row("SELECT boot, clean, durability FROM run", [], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    Ok(last.is_some_and(|(boot, clean, durability)| {
        !clean && durability != Durability::Full.as_str() && (boot.is_none() || boot != options.boot)
    }))
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { path: path.to_owned(), cause: found.replace('\n', "; ") })
}

/// Reads the state of every pipeline, and what happened since it was written down.
fn load(
    connection: &Connection,
    options: &SqliteOptions,
    new_epochs: bool,
) -> rusqlite::Result<HashMap<PipelineId, Arc<Known>>> {
    let rows: Vec<(i64, u64, String)> = connection
        .prepare("SELECT key, epoch_begins, state FROM pipelines")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut pipelines = HashMap::with_capacity(rows.len());
    for (key, epoch_begins, state) in rows {
        let mut inner = load_one(connection, options, key, epoch_begins, &state)?;
        if new_epochs {
            // The places go on: what was seen and lost was of the epoch before, so the numbers cannot meet.
            inner.fold.begin_epoch(&new_epoch());
            inner.epoch_begins = inner.fold.state.seq + 1;
            StateRows::of(&inner)?.write(connection, key)?;
        }
        pipelines.insert(inner.fold.state.pipeline_id.clone(), Known::new(key, inner));
    }
    Ok(pipelines)
}

fn load_one(
    connection: &Connection,
    options: &SqliteOptions,
    key: i64,
    epoch_begins: u64,
    state: &str,
) -> rusqlite::Result<Inner> {
    let bad = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    };
    let shown: PipelineStatus = serde_json::from_str(state).map_err(bad)?;
    let mut owners = HashMap::new();
    let mut files = connection.prepare_cached("SELECT id, owner, file FROM files WHERE pipeline = ?1")?;
    let mut rows = files.query([key])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(owner) = row.get::<_, Option<String>>(1)?.and_then(|owner| ReporterId::new(owner).ok()) {
            owners.insert(row.get(0)?, owner);
        }
        listed.push(serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(bad)?);
    }
    let fold = Fold::restored(shown, listed, owners, file_limits(&options.limits));

    let range = params![place(key, 0), place(key + 1, 0)];
    let first: Option<i64> = connection.query_row(
        "SELECT min(place) FROM events WHERE place > ?1 AND place < ?2",
        range,
        |row| row.get(0),
    )?;
    let ids: (Option<i64>, Option<i64>) = connection.query_row(
        "SELECT min(place), max(place) FROM ids WHERE place > ?1 AND place < ?2",
        range,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let next_id = ids.1.map_or(1, |last| number(last) + 1);
    let last_at: Option<i64> = connection
        .query_row(
            "SELECT at FROM events WHERE place > ?1 AND place < ?2 ORDER BY place DESC LIMIT 1",
            range,
            |row| row.get(0),
        )
        .optional()?;
    let written = fold.state.seq;
    let mut inner = Inner {
        last_at: last_at.unwrap_or(fold.state.last_activity.as_millis()),
        fold,
        first: 0,
        epoch_begins,
        ids: ids.0.map_or(next_id, number)..next_id,
        first_at: None,
        written,
    };
    // A page at a time: there may be many, if the state could not be written down for long.
    loop {
        let records = read::after(connection, key, inner.fold.state.seq, 1_000)?;
        if records.is_empty() {
            break;
        }
        records.iter().for_each(|record| inner.apply(record));
    }
    inner.first = first.map_or(inner.fold.state.seq + 1, number);
    Ok(inner)
}

/// What an error of the database says of the store.
fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let cause = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, cause },
        // It could be read, but is not what was written.
        None => StoreError::Damaged { path, cause },
        Some(_) => StoreError::Unopened { path, cause },
    }
}
