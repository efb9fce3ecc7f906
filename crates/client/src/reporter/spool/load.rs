//! What is found in a spool's directory: read whole and understood before anything there is touched.
//!
//! *What may come in:* any files. *What it never does:* write, or go on past what it does not understand.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ragpulse_protocol::Object;

use super::super::encode::{file_of, item_of};
use super::super::files::OpenFiles;
use super::super::queue::Effect;
use super::format::{self, Found, Kind, MAGIC, START, VERSION};
use super::{EXTENSION, Header, Identity, Segment, SpoolError, UNFINISHED, only_file};

/// What was found on the disk.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) reporter_id: Option<String>,
    pub(super) segments: VecDeque<Segment>,
    /// What a start that was cut short left behind, and nothing else.
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) next: u64,
    pub(super) settled: u64,
    pub(super) open: OpenFiles,
}

impl Loaded {
    pub(super) fn read(
        directory: &Path,
        pipeline_id: &str,
        chosen: Option<&str>,
    ) -> Result<Self, SpoolError> {
        let io = |error: io::Error| SpoolError::io(directory, &error);
        let (mut loaded, mut found) = (Self::default(), Vec::new());
        for entry in fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some(EXTENSION | UNFINISHED)) {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str()).filter(|name| name.len() == 20);
            let Some(first) = name.and_then(|name| name.parse::<u64>().ok()) else {
                return Err(SpoolError::NotASpool { path });
            };
            if extension == Some(UNFINISHED) {
                loaded.leftovers.push(path);
            } else {
                found.push((first, path));
            }
        }
        found.sort();
        let count = found.len();
        for (index, (first, path)) in found.into_iter().enumerate() {
            loaded.segment(path, first, index + 1 == count, pipeline_id, chosen)?;
        }
        loaded.settled = loaded.settled.min(loaded.next);
        Ok(loaded)
    }

    fn segment(
        &mut self,
        path: PathBuf,
        first: u64,
        last: bool,
        pipeline_id: &str,
        chosen: Option<&str>,
    ) -> Result<(), SpoolError> {
        let bytes = fs::read(&path).map_err(|error| SpoolError::io(&path, &error))?;
        if last && bytes.iter().all(|byte| *byte == 0) {
            // Its name outlived a loss of power, and its contents did not: it never held anything that counted.
            if self.segments.is_empty() {
                (self.next, self.settled) = (first, first);
            }
            self.leftovers.push(path);
            return Ok(());
        }
        let Some(version) = bytes.strip_prefix(MAGIC.as_slice()).and_then(|rest| rest.first_chunk()) else {
            return Err(SpoolError::NotASpool { path });
        };
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(SpoolError::Version { path, found: version, read: VERSION });
        }
        if self.segments.is_empty() {
            (self.next, self.settled) = (first, first);
        }
        let damaged = |loaded: &Self, at: usize, what| SpoolError::Damaged {
            path: path.clone(),
            at: at as u64,
            what,
            unsent: loaded.next - loaded.settled,
        };
        if first != self.next {
            return Err(damaged(self, 0, "the segment before it is missing"));
        }
        let mut at = START;
        loop {
            match format::find(&bytes, at) {
                Found::Record { kind: Kind::Header, body, end } if at == START => {
                    self.header(&path, body, pipeline_id, chosen)?;
                    at = end;
                }
                Found::Record { kind, body, end } if kind != Kind::Header && at > START => {
                    if self.record(kind, body).is_none() {
                        return Err(damaged(self, at, "a record does not hold what it should"));
                    }
                    at = end;
                }
                Found::End if at > START => break,
                Found::Torn if last && at > START => break,
                Found::Record { .. } => return Err(damaged(self, at, "a header is not where it should be")),
                Found::End | Found::Torn => return Err(damaged(self, at, "the file ends too early")),
                Found::Damaged => return Err(damaged(self, at, "a record does not have its checksum")),
            }
        }
        self.segments.push_back(Segment { path, first, len: at as u64 });
        Ok(())
    }

    fn header(
        &mut self,
        path: &Path,
        body: &[u8],
        pipeline_id: &str,
        chosen: Option<&str>,
    ) -> Result<(), SpoolError> {
        let Ok(header) = serde_json::from_slice::<Header>(body) else {
            return Err(SpoolError::NotASpool { path: path.to_owned() });
        };
        let found = Identity { pipeline_id: header.pipeline_id, reporter_id: header.reporter_id };
        let reporter_id = self.reporter_id.as_deref().or(chosen).unwrap_or(&found.reporter_id);
        let expected = Identity { pipeline_id: pipeline_id.to_owned(), reporter_id: reporter_id.to_owned() };
        if found != expected {
            let path = path.parent().unwrap_or(path).to_owned();
            let (found, expected) = (found.to_string(), expected.to_string());
            return Err(SpoolError::Foreign { path, found, expected });
        }
        self.settled = self.settled.max(header.settled);
        self.reporter_id = Some(found.reporter_id);
        Ok(())
    }

    /// Takes a record into account; nothing if it is not of its kind.
    fn record(&mut self, kind: Kind, body: &[u8]) -> Option<()> {
        match kind {
            Kind::Header => return None,
            Kind::Settled => {
                let settled = std::str::from_utf8(body).ok()?.parse().ok()?;
                self.settled = self.settled.max(settled);
            }
            Kind::Open => {
                let fields: Object = serde_json::from_slice(body).ok()?;
                self.open.begin(file_of(&fields)?, fields);
            }
            Kind::Event => {
                match item_of(body)?.effect {
                    Effect::Begin { file, data } => self.open.begin(file, only_file(&data)),
                    Effect::End { file } => self.open.end(&file),
                    Effect::Offline => self.open.clear(),
                    Effect::Online(_) | Effect::Progress { .. } | Effect::Other => {}
                }
                self.next += 1;
            }
        }
        Some(())
    }
}
