//! A server of a test's own: started, killed, started again on what it wrote.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Value};

use super::super::keys::Keys;
use super::super::reply::Fault;
use super::super::session::Session;

/// How long a server may take to answer after it was started.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// How it keeps what it has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disk {
    /// Not at all.
    None,
    /// Each write waits for the disk.
    Always,
    /// Once a second.
    EverySecond,
}

pub(super) struct Server {
    directory: tempfile::TempDir,
    port: u16,
    disk: Disk,
    more: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub(super) async fn start(disk: Disk) -> Self {
        Self::with(disk, &[]).await
    }

    pub(super) async fn with(disk: Disk, more: &[&str]) -> Self {
        let mut server = Self {
            directory: tempfile::tempdir().unwrap(),
            port: 0,
            disk,
            more: more.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        };
        server.start_again().await;
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn client(&self) -> Client {
        Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    /// Starts it on what it left, and waits until it answers.
    pub(super) async fn start_again(&mut self) {
        // Another process may take the port before the server does; then another is tried.
        for _ in 0..10 {
            if self.port == 0 {
                self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            }
            if self.spawn().await {
                return;
            }
            self.port = 0;
        }
        panic!("redis-server ended whatever port it was given; see {}", self.directory.path().display());
    }

    async fn spawn(&mut self) -> bool {
        let append = if matches!(self.disk, Disk::None) { "no" } else { "yes" };
        let fsync = if matches!(self.disk, Disk::Always) { "always" } else { "everysec" };
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", append, "--appendfsync", fsync, "--daemonize", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server ({error}): install Debian's package redis-server"));
        let child = self.child.insert(child);
        let client = Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        let until = Instant::now() + STARTED_WITHIN;
        while Instant::now() < until {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server did not answer within {STARTED_WITHIN:?}");
    }

    /// Kills it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Has it end in order, with everything written.
    pub(super) async fn stop(&mut self) {
        let mut connection = self.client().get_multiplexed_async_connection().await.unwrap();
        // It answers by ending.
        let _: Result<Value, _> = redis::cmd("SHUTDOWN").query_async(&mut connection).await;
        if let Some(mut child) = self.child.take() {
            tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        }
    }

    pub(super) async fn session(&self, prefix: &str) -> Session {
        self.try_session(prefix, false).await.unwrap()
    }

    pub(super) async fn try_session(&self, prefix: &str, renew: bool) -> Result<Session, Fault> {
        Session::open(&self.client(), &Keys::new(prefix, 2).unwrap(), renew).await
    }

    /// Says something to it.
    pub(super) async fn say(&self, words: &[&str]) -> Value {
        let mut connection = self.client().get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
