//! A hub in a process of its own, on a free port.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::AnyError;

/// A hub that serves.
pub(crate) struct ServedHub {
    pub(crate) url: String,
    child: Child,
}

impl ServedHub {
    pub(crate) async fn start(bin: &Path, store: &str) -> Result<Self, AnyError> {
        // Under callgrind, where somebody counts instructions.
        let mut command = match std::env::var("RAGPULSE_CALLGRIND") {
            Ok(profile) => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={profile}")]);
                command.arg(bin);
                command
            }
            Err(_) => Command::new(bin),
        };
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", bin.display()))?;
        let out = child.stdout.take().ok_or("the hub has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line())
            .await??
            .ok_or("the hub ended before it served")?;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .ok_or("the hub did not say where it is")?;
        Ok(Self { url: url.to_owned(), child })
    }

    /// Waits until a pipeline is known.
    pub(crate) async fn wait_for(&self, pipeline: &str) -> Result<(), AnyError> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        for _ in 0..500 {
            let status =
                http.get(format!("{}/api/rag-status?pipeline_id={pipeline}", self.url)).send().await?;
            if status.text().await?.contains("\"is_active\":true") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("the pipeline did not come online".into())
    }

    /// The processor time the hub has used, where the system tells.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let Some(id) = self.child.id() else { return 0.0 };
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in brackets, user and system time are fields 12 and 13, in hundredths of a second.
        let fields: Vec<&str> =
            text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// What of it is in memory.
    pub(crate) fn resident_bytes(&self) -> Result<u64, AnyError> {
        let id = self.child.id().ok_or("the hub has ended")?;
        let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix("kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok());
        Ok(kib.ok_or("the kernel does not tell what is resident")? * 1_024)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> Result<(), AnyError> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        rustix::process::kill_process(id.ok_or("the hub has ended")?, rustix::process::Signal::TERM)?;
        tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await??;
        Ok(())
    }

    pub(crate) async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}
