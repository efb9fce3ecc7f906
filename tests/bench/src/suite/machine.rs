//! On what was measured: date, versions, processor, kernel.
//!
//! *What it never does:* fail; what cannot be found out is left out.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::cores::Cores;
use super::server::Programs;

/// A line for each.
pub(crate) fn describe(root: &Path, programs: &Programs, quick: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let date = jiff::Timestamp::now().to_string();
    let commit = said(Command::new("git").current_dir(root).args(["rev-parse", "--short", "HEAD"]));
    let form = if quick { "`--quick`: short runs, to see that all works" } else { "the whole suite" };
    lines.push(format!(
        "{} UTC, commit {}, {form}",
        &date[..16].replace('T', " "),
        commit.unwrap_or_default()
    ));
    lines.push(processor(&programs.cores));
    lines.push(versions(root, programs));
    lines
}

fn processor(cores: &Cores) -> String {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "a processor without a name".to_owned());
    let count = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = count.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let memory = memory.map(|kilobytes| format!(", {} GB", kilobytes / 1_000_000)).unwrap_or_default();
    format!("{model}, {count} cores{memory}, Linux {}; {}", kernel.trim(), cores.line())
}

fn versions(root: &Path, programs: &Programs) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, version: Option<String>| {
        if let Some(version) = version.filter(|version| !version.is_empty()) {
            parts.push(format!("{name} {version}"));
        }
    };
    let rust = said(Command::new("rustc").arg("--version"));
    add("rustc", rust.and_then(|line| line.split(' ').nth(1).map(str::to_owned)));
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    for name in ["socketioxide", "axum", "tokio"] {
        add(name, locked(&lock, name));
    }
    add(
        "Node",
        said(Command::new("node").arg("--version")).map(|version| version.trim_start_matches('v').to_owned()),
    );
    let package = fs::read_to_string(programs.relays.join("node/package.json")).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap_or_default();
    add("socket.io", package["dependencies"]["socket.io"].as_str().map(str::to_owned));
    let python = said(Command::new(&programs.python).arg("--version"));
    add("Python", python.and_then(|line| line.split(' ').nth(1).map(str::to_owned)));
    let required = fs::read_to_string(programs.relays.join("python/requirements.txt")).unwrap_or_default();
    for name in ["python-socketio", "uvicorn", "uvloop", "httptools", "websockets"] {
        let line = required.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("=="));
        add(name, line.map(|line| line.split(';').next().unwrap_or_default().to_owned()));
    }
    parts.join(", ")
}

/// The version of a package in Cargo.lock.
fn locked(lock: &str, name: &str) -> Option<String> {
    let at = lock.find(&format!("name = \"{name}\"\n"))?;
    let line = lock[at..].lines().nth(1)?;
    Some(line.split('"').nth(1)?.to_owned())
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::locked;

    #[test]
    fn versions_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"axum-core\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"axum\"\nversion = \"0.8.9\"\n";
        assert_eq!(locked(lock, "axum").as_deref(), Some("0.8.9"));
        assert_eq!(locked(lock, "other"), None);
    }
}
