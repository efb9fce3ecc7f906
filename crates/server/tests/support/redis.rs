//! Logs in Redis for tests: a redis-server for all tests of a process, on a free port, which ends with the process however that ends;
//! and servers of a test's own, to kill, stop and empty. Where there is no redis-server the tests fail.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ragpulse_server::clock::Clock;
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::redis::RedisOptions;
use ragpulse_server::log::{EventLog, RedisLog};

/// How long a server may take to answer after it was started.
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// A server that a test does things to. Dropped, it is killed.
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    /// A shell that ends the server when this process is gone: nobody writes to it, and so what it reads ends only then.
    child: Option<(Child, u32)>,
    /// `None` for one that writes nothing there, since it ends with the process, when nobody clears up.
    directory: Option<tempfile::TempDir>,
}

impl Redis {
    /// Starts one with these arguments beside the usual ones.
    pub fn start(arguments: &[&str]) -> Self {
        Self::in_directory(arguments, Some(tempfile::tempdir().unwrap()))
    }

    fn in_directory(arguments: &[&str], directory: Option<tempfile::TempDir>) -> Self {
        let arguments = arguments.iter().map(|&one| one.to_owned()).collect();
        let mut server = Self { port: 0, arguments, child: None, directory };
        server.start_again();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Starts it, on what it left, and waits until it answers.
    pub fn start_again(&mut self) {
        for _ in 0..10 {
            // Another process may take the port before the server does; then another is tried.
            if self.port == 0 {
                self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            }
            if self.spawn() {
                return;
            }
            self.port = 0;
        }
        panic!("redis-server ended whatever port it was given");
    }

    fn spawn(&mut self) -> bool {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if let Err(error) = found {
            panic!("redis-server ({error}): install Debian's package redis-server");
        }
        let script =
            r#"redis-server "$@" >/dev/null 2>&1 & echo $!; read -r nothing; kill -9 $! 2>/dev/null; wait"#;
        let mut child = Command::new("sh")
            .args(["-c", script, "sh", "--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(
                self.directory
                    .as_ref()
                    .map_or_else(std::env::temp_dir, |directory| directory.path().to_owned()),
            )
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        self.child = Some((child, pid));
        let until = Instant::now() + STARTED_WITHIN;
        while Instant::now() < until {
            if !std::path::Path::new(&format!("/proc/{pid}/exe")).exists() {
                return false;
            }
            if answers(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("redis-server did not answer within {STARTED_WITHIN:?}");
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let (_, pid) = self.child.as_ref().unwrap();
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Has it end in order, with everything written.
    pub async fn stop(&mut self) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        // It answers by ending.
        let _: Result<redis::Value, _> = redis::cmd("SHUTDOWN").query_async(&mut connection).await;
        self.kill();
    }

    /// Says something to it.
    pub async fn say(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    /// A log in it. Logs with the same prefix are one.
    pub async fn log(&self, prefix: &str) -> Arc<RedisLog> {
        let mut options = RedisOptions::new(self.url());
        options.prefix = prefix.to_owned();
        options.shards = 4;
        Arc::new(RedisLog::open(options).await.unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether something answers to a `PING`, be it that it wants a password.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut line = String::new();
    stream.write_all(b"PING\r\n").is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && (line.starts_with("+PONG") || line.starts_with("-NOAUTH"))
}

/// The server of this process.
fn common() -> &'static Redis {
    static COMMON: OnceLock<Redis> = OnceLock::new();
    COMMON.get_or_init(|| Redis::in_directory(&[], None))
}

/// How a log in the server of this process is opened, apart from all others.
fn options(limits: &HubLimits, clock: impl Clock) -> RedisOptions {
    static PREFIXES: AtomicU32 = AtomicU32::new(0);
    let mut options = RedisOptions::new(common().url());
    options.prefix = format!("test-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
    options.shards = 4;
    options.limits = limits.clone();
    // As much as the log in memory would keep.
    options.retention.events_per_pipeline = limits.log_events as u64;
    options.bytes_per_pipeline = limits.log_bytes as u64;
    options.retention.events_guaranteed = 0;
    options.clock = Some(Arc::new(clock));
    // Clocks that tests move jump.
    options.unwatched = Duration::from_secs(1_000_000_000);
    options
}

/// A log of its own.
pub async fn log(limits: &HubLimits, clock: impl Clock) -> Arc<dyn EventLog> {
    Arc::new(RedisLog::open(options(limits, clock)).await.unwrap())
}

/// One log for each of so many hubs, which are one.
pub async fn shared_logs(hubs: usize, clock: impl Clock) -> Vec<Arc<dyn EventLog>> {
    let options = options(&HubLimits::default(), clock);
    let mut logs: Vec<Arc<dyn EventLog>> = Vec::new();
    for _ in 0..hubs {
        logs.push(Arc::new(RedisLog::open(options.clone()).await.unwrap()));
    }
    logs
}

/// A way to a server that can be cut and mended.
pub struct Proxy {
    port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let open = tokio::sync::watch::Sender::new(true);
        let watching = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut open = watching.clone();
                tokio::spawn(async move {
                    if !*open.borrow() {
                        return;
                    }
                    let Ok(mut server) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { port: own, open }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends all connections, and lets none pass.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}
