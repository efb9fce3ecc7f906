//! A token in a file that somebody keeps up to date: read again when it has changed.
//!
//! *What may come in:* a file that is missing, replaced, half written or no token. *What it never does:* hold the file open,
//! read more than a token may have, or show what is in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{BoxError, MAX_BYTES, TokenSource};

/// A file that was written so lately may be written again without a trace: times of files are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// What is wrong with a file that should hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// There is none.
    #[error("the token file {0} is not there; whoever hands out the tokens writes it")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("the token file {path} cannot be read: {problem}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// Nothing is in it.
    #[error("the token file {0} is empty; write it beside its place, and rename it")]
    Empty(PathBuf),
    /// It holds more than one line, or spaces, or what is no text.
    #[error(
        "the token file {0} holds more than a token in one line: no line breaks, spaces or other characters in it"
    )]
    NoToken(PathBuf),
}

/// A [`TokenSource`] that is a file with a token in one line. It is looked at when a token is needed, and read when its time,
/// size or identity has changed. Replace it by renaming another one to its name.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
    read: Arc<Mutex<Option<(Stamp, String)>>>,
}

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    identity: u64,
}

impl Stamp {
    fn of(data: &std::fs::Metadata) -> Option<Self> {
        #[cfg(unix)]
        let identity = std::os::unix::fs::MetadataExt::ino(data);
        #[cfg(not(unix))]
        let identity = 0;
        Some(Self { modified: data.modified().ok()?, bytes: data.len(), identity })
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        now.duration_since(self.modified).is_ok_and(|age| age > SETTLED)
    }
}

impl TokenFile {
    /// The file, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: Arc::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token in it. It may block as long as a file may.
    ///
    /// # Errors
    /// When there is no file, or no token in it.
    pub fn read(&self) -> Result<String, TokenFileError> {
        self.read_at(SystemTime::now())
    }

    fn read_at(&self, now: SystemTime) -> Result<String, TokenFileError> {
        let fail = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => TokenFileError::Missing(self.path.clone()),
            _ => TokenFileError::Unreadable { path: self.path.clone(), problem: error.to_string() },
        };
        let stamp = Stamp::of(&std::fs::metadata(&self.path).map_err(fail)?);
        let mut known = self.read.lock();
        if let Some((read, token)) = known.as_ref()
            && Some(*read) == stamp
        {
            return Ok(token.clone());
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(fail)?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        let text = String::from_utf8(bytes).map_err(|_| TokenFileError::NoToken(self.path.clone()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(TokenFileError::Empty(self.path.clone()));
        }
        if text.len() > MAX_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenFileError::NoToken(self.path.clone()));
        }
        let settled = stamp.filter(|stamp| stamp.is_settled(now));
        *known = settled.map(|stamp| (stamp, token.to_owned()));
        Ok(token.to_owned())
    }
}

#[async_trait]
impl TokenSource for TokenFile {
    async fn token(&self) -> Result<String, BoxError> {
        let file = self.clone();
        Ok(tokio::task::spawn_blocking(move || file.read()).await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_again_when_it_was_replaced_and_only_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let file = TokenFile::new(&path);
        assert_eq!(file.read(), Err(TokenFileError::Missing(path.clone())));
        std::fs::write(&path, "first\n").unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let later = modified + Duration::from_secs(10);
        assert_eq!(file.read_at(modified).unwrap(), "first");
        assert!(file.read.lock().is_none(), "it may be written again in the same moment");
        assert_eq!(file.read_at(later).unwrap(), "first");
        // The same time, size and identity: it is not even opened.
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert!(file.read.lock().is_some());
        let beside = directory.path().join("beside");
        std::fs::write(&beside, "other\n").unwrap();
        std::fs::File::options().write(true).open(&beside).unwrap().set_modified(modified).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        assert_eq!(file.read_at(later).unwrap(), "other", "replaced, with the same size and time");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            TokenFile::new(&path).read()
        };
        assert_eq!(read(b" \n"), Err(TokenFileError::Empty(path.clone())));
        for bad in [b"secret\nsecond\n".as_slice(), b"secret second", b"secret\xff", &[b's'; MAX_BYTES + 1]] {
            let error = read(bad).unwrap_err();
            assert_eq!(error, TokenFileError::NoToken(path.clone()));
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        assert_eq!(read(b"good\r\n").unwrap(), "good");
        let unreadable = TokenFile::new(directory.path()).read().unwrap_err();
        assert!(matches!(unreadable, TokenFileError::Unreadable { .. }), "{unreadable}");
        let file = TokenFile::new(&path);
        file.read_at(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert!(!format!("{file:?}").contains("good"));
    }
}
