//! The tables, their version, and who may open them.
//!
//! Comes in: a path. Never: a change to a database that is not ours.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;

/// Marks the file as ours ("RPdp"): other programs' databases also begin at version 0.
const APPLICATION: i64 = 0x5250_6470;
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE files (
        id             TEXT PRIMARY KEY,
        root           TEXT NOT NULL,
        path           TEXT NOT NULL,
        size           INTEGER NOT NULL,
        modified_ns    INTEGER NOT NULL,
        mime_type      TEXT NOT NULL,
        content_hash   BLOB NOT NULL,
        recipe         TEXT NOT NULL,
        content_length INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX files_by_content ON files (content_hash);
    CREATE TABLE chunks (
        id          INTEGER PRIMARY KEY,
        file_id     TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        position    INTEGER NOT NULL,
        byte_offset INTEGER NOT NULL,
        text        TEXT NOT NULL,
        vector      BLOB NOT NULL
    );
    CREATE UNIQUE INDEX chunks_by_file ON chunks (file_id, position);";

/// A connection as all of ours are set up.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(10))?;
        // A power cut may lose the last files, which are then done again; it cannot damage the store.
        db.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        Ok(db)
    };
    open().map_err(|cause| StoreError::Sqlite { path: path.to_owned(), cause })
}

/// The first connection: makes the tables in a new file, checks an old one.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let sqlite = |cause| StoreError::Sqlite { path: path.to_owned(), cause };
    let mut db = connect(path)?;
    let number = |db: &Connection, sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));

    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sqlite)?;
    let application = number(&tx, "PRAGMA application_id").map_err(sqlite)?;
    let version = number(&tx, "PRAGMA user_version").map_err(sqlite)?;
    let tables = number(&tx, "SELECT count(*) FROM sqlite_schema").map_err(sqlite)?;
    match (application, version) {
        (0, 0) if tables == 0 => {
            let set =
                format!("{TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};");
            tx.execute_batch(&set).map_err(sqlite)?;
        }
        (APPLICATION, VERSION) => {}
        (APPLICATION, found) => {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
        }
        _ => return Err(StoreError::Foreign(path.to_owned())),
    }
    tx.commit().map_err(sqlite)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    Ok(db)
}
