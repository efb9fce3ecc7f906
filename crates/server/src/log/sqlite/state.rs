//! A state as it is written down: what subscribers have as one text, and a row for each file that changed.
//!
//! The rows are made while the state is held, and written when it is not: whoever looks through the files of a pipeline does not
//! wait for the disk.

use ragpulse_protocol::ReporterId;
use rusqlite::{Connection, params};

use super::super::fold::Change;
use super::known::Inner;

/// What of a state is not written down yet.
pub(super) struct StateRows {
    epoch_begins: u64,
    shown: String,
    files: Vec<FileRow>,
    /// Ended files before this `seq` are no longer listed.
    first_ended: Option<u64>,
}

struct FileRow {
    id: String,
    /// `None` for one that is no longer listed.
    file: Option<Listed>,
}

struct Listed {
    open: bool,
    seq: u64,
    owner: Option<ReporterId>,
    text: String,
}

impl StateRows {
    pub(super) fn of(inner: &Inner) -> rusqlite::Result<Self> {
        let bad = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let row = |(id, listed): Change<'_>| {
            let listed = listed.map(|(file, owner)| {
                serde_json::to_string(file).map(|text| Listed {
                    open: file.state.is_open(),
                    seq: file.seq,
                    owner: owner.cloned(),
                    text,
                })
            });
            Ok(FileRow { id: id.to_owned(), file: listed.transpose().map_err(bad)? })
        };
        Ok(Self {
            epoch_begins: inner.epoch_begins,
            shown: serde_json::to_string(&inner.fold.shown).map_err(bad)?,
            files: inner.fold.changes().map(row).collect::<rusqlite::Result<_>>()?,
            first_ended: inner.fold.state.files.first_ended().map(|file| file.seq),
        })
    }

    /// Writes them within the caller's transaction.
    pub(super) fn write(&self, connection: &Connection, key: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE pipelines SET epoch_begins = ?2, state = ?3 WHERE key = ?1")?
            .execute(params![key, self.epoch_begins, self.shown])?;
        let mut put = connection.prepare_cached(
            "INSERT INTO files (pipeline, id, open, seq, owner, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (pipeline, id) DO UPDATE SET open = ?3, seq = ?4, owner = ?5, file = ?6",
        )?;
        let mut drop = connection.prepare_cached("DELETE FROM files WHERE pipeline = ?1 AND id = ?2")?;
        for FileRow { id, file } in &self.files {
            match file {
                Some(Listed { open, seq, owner, text }) => {
                    put.execute(params![key, id, open, seq, owner.as_ref().map(ReporterId::as_str), text])?
                }
                None => drop.execute(params![key, id])?,
            };
        }
        if let Some(seq) = self.first_ended {
            connection
                .prepare_cached("DELETE FROM files WHERE pipeline = ?1 AND open = 0 AND seq < ?2")?
                .execute(params![key, seq])?;
        }
        Ok(())
    }
}
