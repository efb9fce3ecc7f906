//! The servers that are measured, each in a process of its own on the server's cores.
//!
//! *What it never does:* leave one running: what is dropped is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cores::Cores;
use super::http::Http;
use crate::AnyError;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The hub, with its log in SQLite and its metrics.
    Hub,
    /// The plain relay on socketioxide.
    Plain,
    /// The relay on Node's socket.io.
    Node,
    /// The relay on python-socketio and uvicorn.
    Python,
    /// What is polled today: Python's http.server, a connection for each request.
    #[value(skip)]
    Polled,
    /// The same with connections that are kept.
    #[value(skip)]
    PolledKept,
    /// A loop that answers every request with the same bytes: the system's part of an answer.
    #[value(skip)]
    Bare,
}

/// The servers with sockets.
pub(crate) const WITH_SOCKETS: [Kind; 4] = [Kind::Hub, Kind::Plain, Kind::Node, Kind::Python];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "RagPulse hub",
            Self::Plain => "socketioxide, plain",
            Self::Node => "Node socket.io",
            Self::Python => "python-socketio",
            Self::Polled => "Python http.server",
            Self::PolledKept => "Python http.server, kept alive",
            Self::Bare => "a bare loop, the same answer always",
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The folder of what cargo built.
    pub(crate) built: PathBuf,
    /// `tests/bench/relays`.
    pub(crate) relays: PathBuf,
    /// The Python that has what the relay needs.
    pub(crate) python: PathBuf,
    pub(crate) cores: Cores,
}

/// A server that serves.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    child: Child,
    /// Where a hub keeps its log, unless it was told where.
    folder: Option<tempfile::TempDir>,
}

impl Programs {
    /// Starts one; a hub with a new store.
    pub(crate) fn start(&self, kind: Kind) -> Result<Server, AnyError> {
        if kind != Kind::Hub {
            return self.spawn(kind, &mut self.command(kind));
        }
        let folder = tempfile::tempdir_in(&self.built)?;
        let mut server = self.start_hub(&format!("sqlite:{}", folder.path().join("hub.db").display()))?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts a hub on this store.
    pub(crate) fn start_hub(&self, store: &str) -> Result<Server, AnyError> {
        self.spawn(Kind::Hub, self.command(Kind::Hub).args(["--store", store]))
    }

    fn command(&self, kind: Kind) -> Command {
        let mut command = match kind {
            Kind::Hub => {
                let mut command = Command::new(self.built.join("ragpulse"));
                command.args(["serve", "--listen", "127.0.0.1:0"]);
                command
            }
            Kind::Bare => {
                let mut command = Command::new(self.built.join("ragpulse-bench"));
                command.arg("bare");
                command
            }
            Kind::Plain => Command::new(self.built.join("ragpulse-plain-relay")),
            Kind::Node => {
                let mut command = Command::new("node");
                command.arg(self.relays.join("node/relay.mjs")).env("NODE_ENV", "production");
                command
            }
            Kind::Python | Kind::Polled | Kind::PolledKept => {
                let mut command = Command::new(&self.python);
                let name = if kind == Kind::Python { "relay.py" } else { "polled.py" };
                command.arg(self.relays.join("python").join(name));
                if kind == Kind::PolledKept {
                    command.arg("--keep-alive");
                }
                command
            }
        };
        // Each with its defaults.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RAGPULSE_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn spawn(&self, kind: Kind, command: &mut Command) -> Result<Server, AnyError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = self.cores.as_server(|| command.spawn());
        let child = child.map_err(|error| format!("cannot start {}: {error}", kind.name()))?;
        let mut server = Server { host: String::new(), child, folder: None };
        let out = server.child.stdout.take().ok_or("it has no output")?;
        let (said, says) = mpsc::channel();
        // Read to the end, so that it is never stopped by a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let line = says
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("{} ended, or said nothing; its reason stands above", kind.name()))?;
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        address
            .ok_or_else(|| format!("{} did not say where it is: {line}", kind.name()))?
            .clone_into(&mut server.host);
        Ok(server)
    }
}

impl Server {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers.
    pub(crate) fn ready(&self) -> Result<(), AnyError> {
        let start = Instant::now();
        loop {
            let answer = Http::to(&self.host).and_then(|mut http| http.get("/health"));
            match answer {
                Ok((200, _)) => return Ok(()),
                other if start.elapsed() > PATIENCE => {
                    return Err(format!("{} does not answer: {other:?}", self.host).into());
                }
                _ => std::thread::sleep(Duration::from_micros(500)),
            }
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) -> Result<(), AnyError> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process")?;
        kill_process(id, Signal::TERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                return Err("a server does not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a path is there, said before anything is started.
pub(crate) fn must_be_there(path: &Path) -> Result<(), AnyError> {
    if path.exists() {
        return Ok(());
    }
    Err(format!("{} is missing; `cargo xtask bench` builds and installs all that is needed", path.display())
        .into())
}
