//! The records of one segment, one after the other, from any of them on.
//!
//! *What it never does:* hold more of the file than one record, or give one that does not have its checksum.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::format::{HEAD, Head, Kind};
use super::{Segment, SpoolError};

/// Reads the records of one segment, one after the other.
pub(super) struct Reading {
    pub(super) path: PathBuf,
    len: u64,
    file: BufReader<File>,
    /// Where the next record begins.
    pub(super) at: u64,
    /// Of the last record.
    pub(super) body: Vec<u8>,
}

impl Reading {
    pub(super) fn new(segment: &Segment, at: u64) -> Result<Self, SpoolError> {
        let io = |error: io::Error| SpoolError::io(&segment.path, &error);
        let mut file = File::open(&segment.path).map_err(io)?;
        file.seek(SeekFrom::Start(at)).map_err(io)?;
        let file = BufReader::with_capacity(64 * 1024, file);
        Ok(Self { path: segment.path.clone(), len: segment.len, file, at, body: Vec::new() })
    }

    pub(super) fn damaged(&self, what: &'static str) -> SpoolError {
        SpoolError::Damaged { path: self.path.clone(), at: self.at, what, unsent: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<Kind>, SpoolError> {
        if self.at >= self.len {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        let io = |error: io::Error| SpoolError::io(&self.path, &error);
        self.file.read_exact(&mut head).map_err(io)?;
        let Some(head) = Head::read(head) else { return Err(self.damaged("the head of a record is wrong")) };
        self.body.resize(head.len, 0);
        self.file.read_exact(&mut self.body).map_err(io)?;
        if !head.fits(&self.body) {
            return Err(self.damaged("a record does not have its checksum"));
        }
        self.at += (HEAD + head.len) as u64;
        Ok(Some(head.kind))
    }
}
