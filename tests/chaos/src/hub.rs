//! The hub under test: `ragpulse serve` as a process that can be killed at any moment and comes back on the same store at
//! the same address.
//!
//! *What it never does:* outlive the harness.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::journal::Journal;
use crate::run::{AnyError, Run};

/// How long a hub may take until it serves.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Ports are taken from below those that the system gives to connections: while the hub is dead, nobody else shall get its.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Where the hub keeps its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// Nothing survives the process.
    Memory,
    /// A file that survives a kill, and the durability asked for.
    Sqlite(PathBuf, String),
    /// A Redis, and the way to it.
    Redis(SocketAddr),
}

impl Store {
    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Memory => vec!["--store".into(), "memory:".into()],
            Self::Sqlite(path, durability) => vec![
                "--store".into(),
                format!("sqlite:{}", path.display()),
                "--durability".into(),
                durability.clone(),
            ],
            Self::Redis(address) => vec!["--store".into(), format!("redis://{address}/")],
        }
    }
}

/// A hub that can be killed and started again.
#[derive(Debug)]
pub(crate) struct Hub {
    bin: PathBuf,
    store: Store,
    address: SocketAddr,
    journal: Journal,
    /// What it says of itself, for a failure.
    log: PathBuf,
    child: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Hub {
    /// Starts a hub at an address of its own.
    pub(crate) async fn start(
        run: &Arc<Run>,
        bin: &Path,
        name: &str,
        store: Store,
        folder: &Path,
    ) -> Result<Self, AnyError> {
        let mut hub = Self {
            bin: bin.to_owned(),
            store,
            address: free_address()?,
            journal: run.journal(name),
            log: folder.join(format!("{name}.log")),
            child: None,
        };
        hub.restart().await?;
        Ok(hub)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Starts it again, on the same store and address. Gives how long it took until it served.
    pub(crate) async fn restart(&mut self) -> Result<Duration, AnyError> {
        let begun = Instant::now();
        let mut child = self.spawn()?;
        let out = child.stdout.take().ok_or("the hub has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line = tokio::time::timeout(START_WITHIN, lines.next_line())
            .await
            .map_err(|_| format!("the hub did not serve within {START_WITHIN:?}: {}", self.said()))??;
        if !line.as_deref().is_some_and(|line| line.contains("http://")) {
            return Err(format!("the hub ended before it served: {}", self.said()).into());
        }
        self.journal.note(format!("serves after {} ms", begun.elapsed().as_millis()));
        self.child = Some((child, lines));
        Ok(begun.elapsed())
    }

    /// Starts it and kills it before it may have served: in the middle of its recovery.
    pub(crate) async fn die_starting(&mut self, after: Duration) -> Result<(), AnyError> {
        let mut child = self.spawn()?;
        tokio::time::sleep(after).await;
        if let Some(status) = child.try_wait()? {
            return Err(format!("the hub ended while it started ({status}): {}", self.said()).into());
        }
        child.start_kill()?;
        child.wait().await?;
        self.journal.note(format!("killed {} ms after its start", after.as_millis()));
        Ok(())
    }

    fn spawn(&self) -> Result<Child, AnyError> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.bin)
            .arg("serve")
            .arg("--listen")
            .arg(self.address.to_string())
            .args(self.store.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.bin.display()))?;
        Ok(child)
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) -> Result<(), AnyError> {
        if let Some((mut child, _)) = self.child.take() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the hub had ended by itself ({status}): {}", self.said()).into());
            }
            child.start_kill()?;
            self.journal.note("killed");
            child.wait().await?;
        }
        Ok(())
    }

    /// SIGTERM; gives how long it took to end, and how it did.
    pub(crate) async fn terminate(&mut self, within: Duration) -> Result<(Duration, ExitStatus), AnyError> {
        let (mut child, _lines) = self.child.take().ok_or("the hub is not running")?;
        let begun = Instant::now();
        self.journal.note("asked to stop");
        signal(&child, Signal::TERM)?;
        let status = tokio::time::timeout(within, child.wait())
            .await
            .map_err(|_| format!("the hub did not stop within {within:?} of SIGTERM"))??;
        self.journal.note(format!("stopped after {} ms: {status}", begun.elapsed().as_millis()));
        Ok((begun.elapsed(), status))
    }

    /// SIGSTOP: it does nothing, and its connections stay.
    pub(crate) fn freeze(&self) -> Result<(), AnyError> {
        self.journal.note("stands still");
        signal(&self.child.as_ref().ok_or("the hub is not running")?.0, Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) -> Result<(), AnyError> {
        self.journal.note("goes on");
        signal(&self.child.as_ref().ok_or("the hub is not running")?.0, Signal::CONT)
    }

    /// An error where it has ended by itself.
    pub(crate) fn lives(&mut self) -> Result<(), AnyError> {
        let status = self.child.as_mut().and_then(|(child, _)| child.try_wait().transpose()).transpose()?;
        match status {
            Some(status) => Err(format!("the hub ended by itself ({status}): {}", self.said()).into()),
            None => Ok(()),
        }
    }

    /// Its resident memory in bytes, where the system tells.
    pub(crate) fn resident(&self) -> Option<u64> {
        let id = self.child.as_ref()?.0.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// The last of what it wrote to its standard error.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: Signal) -> Result<(), AnyError> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(kill_process(id.ok_or("the process has no id")?, signal)?)
}

/// An address that nobody has, now.
pub(crate) fn free_address() -> Result<SocketAddr, AnyError> {
    // Not from the seed: harnesses and scenarios with the same one may run at once.
    for _ in 0..200 {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free for the hub".into())
}
