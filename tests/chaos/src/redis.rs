//! The Redis under the hubs: a process of the run's own, which can be killed, stopped, emptied, and lose what it had not
//! written to the disk.
//!
//! *What may come in:* nothing of the hubs' code: keys are found by what docs/adr/0006-redis-log.md says of their names. *What
//! it never does:* outlive the harness, or touch a Redis that it did not start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use ragpulse_protocol::PipelineId;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::hub::{free_address, signal};
use crate::journal::Journal;
use crate::options::Fsync;
use crate::run::{AnyError, Run};

/// How long it may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to answer on a machine that has much to do.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a mark may take into its file.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// The key of the marks by which the harness finds out how far the file is.
const MARK: &str = "chaos:mark";

/// A Redis server that writes an append-only file.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    fsync: Fsync,
    folder: PathBuf,
    address: SocketAddr,
    journal: Journal,
    child: Option<Child>,
    marks: u32,
}

impl Redis {
    /// Starts one in a folder of its own.
    pub(crate) async fn start(
        run: &Arc<Run>,
        program: &Path,
        fsync: Fsync,
        folder: &Path,
    ) -> Result<Self, AnyError> {
        let folder = folder.join("redis");
        std::fs::create_dir_all(&folder)?;
        let mut redis = Self {
            program: program.to_owned(),
            fsync,
            folder,
            address: free_address()?,
            journal: run.journal("redis"),
            child: None,
            marks: 0,
        };
        redis.restart().await?;
        Ok(redis)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Starts it on what it left, and waits until it answers.
    pub(crate) async fn restart(&mut self) -> Result<(), AnyError> {
        let begun = Instant::now();
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("redis.log"))?;
        let fsync = match self.fsync {
            Fsync::Always => "always",
            Fsync::Everysec => "everysec",
        };
        let child = Command::new(&self.program)
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", fsync, "--daemonize", "no"])
            // One file all the time, so that its end is what was written last.
            .args(["--auto-aof-rewrite-percentage", "0"])
            .arg("--dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let program = self.program.display();
                format!("cannot start {program} ({error}): install Debian's package redis-server")
            })?;
        self.child = Some(child);
        while begun.elapsed() < START_WITHIN {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?;
            if let Some(status) = ended {
                return Err(format!("redis-server ended ({status}): {}", self.said()).into());
            }
            if self.answers().await {
                self.journal.note(format!("answers after {} ms", begun.elapsed().as_millis()));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("redis-server did not answer within {START_WITHIN:?}: {}", self.said()).into())
    }

    async fn answers(&self) -> bool {
        let asked = async {
            let mut connection = self.connect().await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        asked.await.is_ok()
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let client = redis::Client::open(format!("redis://{}/", self.address))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// SIGKILL. What it wrote is with the system, so nothing of it is lost.
    pub(crate) async fn kill(&mut self) -> Result<(), AnyError> {
        let mut child = self.child.take().ok_or("redis-server is not running")?;
        child.start_kill()?;
        self.journal.note("killed");
        child.wait().await?;
        Ok(())
    }

    /// SIGSTOP: connections stay, and nobody is answered.
    pub(crate) fn freeze(&self) -> Result<(), AnyError> {
        self.journal.note("stands still");
        signal(self.child.as_ref().ok_or("redis-server is not running")?, Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) -> Result<(), AnyError> {
        self.journal.note("goes on");
        signal(self.child.as_ref().ok_or("redis-server is not running")?, Signal::CONT)
    }

    /// Removes everything that is in it.
    pub(crate) async fn flush(&self) -> Result<(), AnyError> {
        redis::cmd("FLUSHALL").query_async::<()>(&mut self.connect().await?).await?;
        self.journal.note("emptied");
        Ok(())
    }

    /// How long its file is where everything that it has acknowledged by now is within.
    pub(crate) async fn written(&mut self) -> Result<u64, AnyError> {
        self.marks += 1;
        let mark = format!("mark {} of {}", self.marks, self.address.port());
        let before = std::fs::metadata(self.file()?)?.len();
        redis::cmd("SET").arg(MARK).arg(&mark).query_async::<()>(&mut self.connect().await?).await?;
        let deadline = Instant::now() + WRITTEN_WITHIN;
        while Instant::now() < deadline {
            let bytes = std::fs::read(self.file()?)?;
            let from = usize::try_from(before)?.min(bytes.len());
            // The mark is followed by the end of its line.
            let end = bytes[from..].windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = end {
                let length = from + at + mark.len() + 2;
                self.journal.note(format!("has {length} bytes on the disk"));
                return Ok(length as u64);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("redis-server did not write a mark within {WRITTEN_WITHIN:?}").into())
    }

    /// SIGKILL, and as after a loss of power the end of its file is gone: somewhere behind the first `keep` bytes. What is left is
    /// mended as `redis-check-aof --fix` does it, which an operator has to call: a server that finds half a transaction at the end of its file does not
    /// execute it, but leaves it there, and it comes back, mixed with what follows, when the server is started the next time.
    pub(crate) async fn lose_power(&mut self, keep: u64, rng: &mut Rng) -> Result<(), AnyError> {
        self.kill().await?;
        let file = std::fs::OpenOptions::new().write(true).open(self.file()?)?;
        let length = file.metadata()?.len();
        let left = rng.u64(keep.min(length)..=length);
        let bytes = std::fs::read(self.file()?)?;
        let left = whole(&bytes[..usize::try_from(left)?.min(bytes.len())]) as u64;
        file.set_len(left)?;
        self.journal.note(format!("has lost {} of {length} bytes", length - left));
        Ok(())
    }

    /// The file to which it appends: of Redis 7 the newest of a folder of them.
    fn file(&self) -> Result<PathBuf, AnyError> {
        let folder = self.folder.join("appendonlydir");
        if !folder.is_dir() {
            return Ok(self.folder.join("appendonly.aof"));
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".incr.aof") {
                files.push(path);
            }
        }
        files.sort();
        files.pop().ok_or_else(|| "redis-server has no append-only file".into())
    }

    /// Every event that it has of a pipeline: its place, name and payload.
    pub(crate) async fn events(&self, pipeline: &PipelineId) -> Result<Vec<(u64, String, String)>, AnyError> {
        let mut connection = self.connect().await?;
        let Some(key) = self.key(&mut connection, 'e', pipeline).await? else { return Ok(Vec::new()) };
        let reply: StreamRangeReply =
            redis::cmd("XRANGE").arg(key).arg("-").arg("+").query_async(&mut connection).await?;
        let entry = |entry: &redis::streams::StreamId| {
            let seq = entry.id.split_once('-').and_then(|(seq, _)| seq.parse().ok());
            Some((seq?, entry.get::<String>("n")?, entry.get::<String>("d")?))
        };
        let all: Option<Vec<_>> = reply.ids.iter().map(entry).collect();
        all.ok_or_else(|| format!("the stream of {pipeline} has an entry of another form").into())
    }

    /// The epoch of a pipeline and the end of its sequence, where it has the pipeline.
    pub(crate) async fn head(&self, pipeline: &PipelineId) -> Result<Option<(String, u64)>, AnyError> {
        let mut connection = self.connect().await?;
        let Some(key) = self.key(&mut connection, 'p', pipeline).await? else { return Ok(None) };
        let head: Option<(String, u64)> =
            redis::cmd("HMGET").arg(key).arg("epoch").arg("seq").query_async(&mut connection).await?;
        Ok(head)
    }

    async fn key(
        &self,
        connection: &mut MultiplexedConnection,
        kind: char,
        pipeline: &PipelineId,
    ) -> Result<Option<String>, AnyError> {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("*:{kind}:{pipeline}")).query_async(connection).await?;
        Ok(keys.into_iter().next())
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join(" | ")
    }
}

/// How many bytes of an append-only file are whole commands, and whole transactions where they are within one.
fn whole(bytes: &[u8]) -> usize {
    let (mut at, mut good, mut within) = (0, 0, false);
    while let Some((command, end)) = command(bytes, at) {
        match command {
            name if name.eq_ignore_ascii_case(b"MULTI") => within = true,
            name if name.eq_ignore_ascii_case(b"EXEC") => within = false,
            _ => {}
        }
        at = end;
        if !within {
            good = at;
        }
    }
    good
}

/// The name of the command at a place, and where it ends; `None` where it is not whole.
fn command(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (count, mut at) = number(bytes, at, b'*')?;
    let mut name: &[u8] = &[];
    for index in 0..count {
        let (length, start) = number(bytes, at, b'$')?;
        let end = start.checked_add(length)?;
        let word = bytes.get(start..end)?;
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        if index == 0 {
            name = word;
        }
        at = end + 2;
    }
    Some((name, at))
}

/// The number in a line that begins with `mark`, and where the next begins.
fn number(bytes: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?.strip_prefix(&[mark])?;
    let length = line.windows(2).position(|two| two == b"\r\n")?;
    let number = std::str::from_utf8(&line[..length]).ok()?.parse().ok()?;
    Some((number, at + 1 + length + 2))
}

#[cfg(test)]
mod tests;
