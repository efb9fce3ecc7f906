//! Files, chunks and vectors in one SQLite file.
//!
//! Comes in: whole files with all their chunks. Never: half a file. Replacing a file's chunks is one transaction, so
//! a search sees the old ones or the new ones; and a database that another program made is refused, not changed.

mod schema;
mod search;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

pub use search::Hit;

use crate::chunk::Chunk;
use crate::identity::absolute;

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says so.
    #[error("store {}: {cause}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What it says.
        cause: rusqlite::Error,
    },
    /// The file is a database of something else.
    #[error("{} is a database of another program; give another path", .0.display())]
    Foreign(PathBuf),
    /// A later version of this program made it.
    #[error("store {} has schema {found}, this version knows {known}; use a newer version or another path", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The folder it should be in cannot be made or reached.
    #[error("store {}: {cause}", path.display())]
    Io {
        /// The database file.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
}

/// The store of one folder's files. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    root: String,
    write: Mutex<Connection>,
    /// Its own, so that a search neither waits for a write nor holds one up.
    read: Mutex<Connection>,
}

/// What is stored of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFile {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
}

/// A file to be stored.
pub(crate) struct NewFile<'a> {
    pub(crate) id: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    pub(crate) mime_type: &'a str,
    pub(crate) hash: &'a [u8],
    pub(crate) recipe: &'a str,
    pub(crate) content_length: usize,
}

/// What came of storing a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    Stored,
    /// Another file with this content got in first; nothing of this one is kept.
    DuplicateOf(String),
}

impl Store {
    /// Opens or makes the store at `path` for the files of the folder `root`. Several folders may share a store.
    pub fn open(path: &Path, root: &Path) -> Result<Self, StoreError> {
        let io = |cause| StoreError::Io { path: path.to_owned(), cause };
        let path = absolute(path).map_err(io)?;
        let root = absolute(root).map_err(io)?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        let write = schema::open(&path)?;
        let read = schema::connect(&path)?;
        let inner = Inner {
            path,
            root: root.to_string_lossy().into_owned(),
            write: Mutex::new(write),
            read: Mutex::new(read),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How many files and chunks of this folder are stored.
    pub fn counts(&self) -> Result<(u64, u64), StoreError> {
        let sql =
            "SELECT count(DISTINCT f.id), count(c.id) FROM files f LEFT JOIN chunks c ON c.file_id = f.id
                   WHERE f.root = ?1";
        self.reading(|db| {
            db.query_row(sql, [&self.inner.root], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
        })
    }

    /// All files of this folder.
    pub(crate) fn files(&self) -> Result<Vec<StoredFile>, StoreError> {
        self.writing(|db| {
            let mut query =
                db.prepare("SELECT id, path, size, modified_ns FROM files WHERE root = ?1 ORDER BY path")?;
            let rows = query.query_map([&self.inner.root], |row| {
                Ok(StoredFile {
                    id: row.get(0)?,
                    path: PathBuf::from(row.get::<_, String>(1)?),
                    size: unsigned(row, 2)?,
                    modified_ns: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Whether exactly this content, made by this recipe, is stored for the file.
    pub(crate) fn is_current(&self, id: &str, hash: &[u8], recipe: &str) -> Result<bool, StoreError> {
        self.writing(|db| {
            db.prepare_cached("SELECT 1 FROM files WHERE id = ?1 AND content_hash = ?2 AND recipe = ?3")?
                .exists(params![id, hash, recipe])
        })
    }

    /// Whether anything is stored of the file.
    pub(crate) fn has(&self, id: &str) -> Result<bool, StoreError> {
        self.writing(|db| db.prepare_cached("SELECT 1 FROM files WHERE id = ?1")?.exists([id]))
    }

    /// Another file of this folder with this content.
    pub(crate) fn twin(&self, id: &str, hash: &[u8]) -> Result<Option<String>, StoreError> {
        self.writing(|db| find_twin(db, &self.inner.root, id, hash))
    }

    /// Stores a file in place of what was stored of it. `vectors` and `chunks` are of one length.
    pub(crate) fn replace(
        &self,
        file: &NewFile<'_>,
        chunks: &[Chunk],
        vectors: &[Vec<f32>],
    ) -> Result<Replaced, StoreError> {
        self.writing(|db| {
            let tx = db.transaction()?;
            tx.prepare_cached("DELETE FROM files WHERE id = ?1")?.execute([file.id])?;
            // Asked again under the write lock: two workers may have had the same content in hand.
            if let Some(twin) = find_twin(&tx, &self.inner.root, file.id, file.hash)? {
                tx.commit()?;
                return Ok(Replaced::DuplicateOf(twin));
            }
            tx.prepare_cached(
                "INSERT INTO files (id, root, path, size, modified_ns, mime_type, content_hash, recipe,
                 content_length) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                file.id,
                self.inner.root,
                file.path.to_string_lossy(),
                file.size as i64,
                file.modified_ns,
                file.mime_type,
                file.hash,
                file.recipe,
                file.content_length as i64,
            ])?;
            {
                let mut insert = tx.prepare_cached(
                    "INSERT INTO chunks (file_id, position, byte_offset, text, vector) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                for (position, (chunk, vector)) in chunks.iter().zip(vectors).enumerate() {
                    let vector: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    insert.execute(params![
                        file.id,
                        position as i64,
                        chunk.offset as i64,
                        chunk.text,
                        vector
                    ])?;
                }
            }
            tx.commit()?;
            Ok(Replaced::Stored)
        })
    }

    /// Forgets a file; answers whether it was there and how many chunks it had.
    pub(crate) fn remove(&self, id: &str) -> Result<Option<usize>, StoreError> {
        self.writing(|db| {
            let tx = db.transaction()?;
            let chunks = tx.prepare_cached("DELETE FROM chunks WHERE file_id = ?1")?.execute([id])?;
            let files = tx.prepare_cached("DELETE FROM files WHERE id = ?1")?.execute([id])?;
            tx.commit()?;
            Ok((files > 0).then_some(chunks))
        })
    }

    fn writing<T>(&self, run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        run(&mut self.inner.write.lock()).map_err(|e| self.error(e))
    }

    fn reading<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        run(&self.inner.read.lock()).map_err(|e| self.error(e))
    }

    fn error(&self, cause: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { path: self.inner.path.clone(), cause }
    }
}

/// SQLite knows signed numbers only; these are never below zero.
fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0))
}

fn find_twin(db: &Connection, root: &str, id: &str, hash: &[u8]) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "SELECT id FROM files WHERE content_hash = ?1 AND root = ?2 AND id <> ?3 ORDER BY path LIMIT 1",
    )?
    .query_row(params![hash, root, id], |row| row.get(0))
    .optional()
}

#[cfg(test)]
mod tests;
