//! `cargo xtask test`: what every change needs, in Rust, JavaScript and Python. Nothing is ever skipped silently.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::chaos;
use crate::npm::{npm, npm_members};
use crate::python;
use crate::steps::Steps;
use crate::workspace::{apt_install, cargo, output, redis_server_is_there, target_dir};

const NODE: u32 = 20;
const CHROMIUM: &str = "/usr/bin/chromium";
/// What the tests of ops/ call, and the packages of Debian that have it. What is only for root stands in /usr/sbin.
const FOR_OPS: &[(&str, &str)] = &[
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("prometheus", "prometheus"),
    ("sqlite3", "sqlite3"),
    ("systemd-analyze", "systemd"),
];

/// The tests of the hub that run on each of its stores; the others bring their own, or have none.
const ON_EVERY_STORE: &[&str] = &[
    "auth_expiry",
    "auth_matrix",
    "auth_redaction",
    "authoriser",
    "close",
    "conflation",
    "http",
    "ingest",
    "invariants",
    "leases",
    "metrics",
    "reference",
    "refusals",
    "resume",
    "socket",
];

/// Those of several hubs, which share a log in memory elsewhere.
const ON_REDIS_TOO: &[&str] = &["two_hubs"];

// A browser suite is a member of the npm workspace in tests/browser with a script `test:browser`; it finds the program
// in RAGPULSE_BIN and the browser in CHROMIUM_BIN.

/// Runs the tests, with `full` the slow ones too.
pub(crate) fn run(root: &Path, full: bool) -> Result<()> {
    let mut steps = Steps::new("test");
    // First what is missing on the machine: it would be a pity to learn of it after the Rust tests.
    steps.step("node and npm", node_is_there)?;
    steps.step("python", python::python_is_there)?;
    steps.step("promtool", promtool_is_there)?;
    steps.step("redis-server", redis_server_is_there)?;
    let browser = root.join("tests/browser");
    let with_browser = full && browser.join("package.json").is_file();
    if with_browser {
        steps.step("chromium", chromium_is_there)?;
    }
    if full {
        steps.step("programs for ops", programs_for_ops_are_there)?;
    }

    steps.command("alerts", promtool(root).args(["test", "rules", "ops/prometheus/alerts_test.yml"]))?;
    steps.command(
        "cargo test",
        // All that fails is told, not only what fails first.
        cargo(root).args(["test", "--workspace", "--all-features", "--locked", "--quiet", "--no-fail-fast"]),
    )?;
    // What a hub promises holds on every store.
    for (shown, store, more) in [("SQLite", "sqlite", &[][..]), ("Redis", "redis", ON_REDIS_TOO)] {
        let mut on_store = cargo(root);
        on_store.args([
            "test",
            "-p",
            "ragpulse-server",
            "--all-features",
            "--locked",
            "--quiet",
            "--no-fail-fast",
        ]);
        on_store.args(ON_EVERY_STORE.iter().chain(more).flat_map(|name| ["--test", name]));
        steps.command(&format!("cargo test, on {shown}"), on_store.env("RAGPULSE_TEST_STORE", store))?;
    }
    let build = ["build", "-p", "ragpulse-cli", "--bin", "ragpulse", "--locked", "--quiet"];
    steps.command("build ragpulse", cargo(root).args(build))?;
    let binary = binary(root)?;
    chaos::short(root, &mut steps, &binary)?;

    steps.command("npm ci", npm(root).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    steps.command("npm run build", npm(root).args(["run", "build", "--silent"]))?;
    for member in npm_members(root)? {
        // Each alone: what failed then stands last, and nothing hides it.
        let run = ["run", "test", "--silent", "--if-present", "--workspace", &member];
        steps.command(&format!("npm test {member}"), npm(root).args(run).env("RAGPULSE_BIN", &binary))?;
    }
    steps.command("python", python::check(root).env("RAGPULSE_BIN", &binary))?;
    if full {
        steps.command("python adapters", python::check_adapters(root).env("RAGPULSE_BIN", &binary))?;
        steps.command("python guide", python::check_guide(root).env("RAGPULSE_BIN", &binary))?;
        steps.command("python example", python::check_example(root).env("RAGPULSE_BIN", &binary))?;
        steps.command("ops", python::check_ops(root).env("RAGPULSE_BIN", &binary))?;
        steps.command("hostile clients", python::check_security(root).env("RAGPULSE_BIN", &binary))?;
        let run = ["run", "test:full", "--silent", "--workspaces", "--if-present"];
        steps.command(
            "npm run test:full",
            npm(root).args(run).env("RAGPULSE_BIN", &binary).env("CHROMIUM_BIN", CHROMIUM),
        )?;
    }
    if with_browser {
        let mut command = npm(root);
        command.args(["run", "test:browser", "--silent", "--workspace", "tests/browser"]);
        steps.command("browser", command.env("RAGPULSE_BIN", &binary).env("CHROMIUM_BIN", CHROMIUM))?;
    }
    if full && !with_browser {
        println!("--- test: there is no tests/browser, so --full added nothing");
    }
    steps.finish();
    Ok(())
}

/// The program under test, as built by cargo.
fn binary(root: &Path) -> Result<PathBuf> {
    let path = target_dir(root)?.join("debug").join(format!("ragpulse{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        bail!("cargo has built no ragpulse where it was looked for");
    }
    Ok(path)
}

pub(crate) fn node_is_there() -> Result<()> {
    let advice = format!(
        "the tests need Node.js {NODE} or newer with npm; install both from https://nodejs.org/, or on Debian 13 or newer \
         run: apt-get install -y nodejs npm"
    );
    let Ok(version) = output(Command::new("node").arg("--version")) else {
        bail!("there is no node; {advice}")
    };
    match major(&version) {
        Some(found) if found >= NODE => {}
        _ => bail!("node is {}; {advice}", version.trim()),
    }
    if output(Command::new("npm").arg("--version")).is_err() {
        bail!("there is no npm; {advice}");
    }
    Ok(())
}

fn chromium_is_there() -> Result<()> {
    if !Path::new(CHROMIUM).exists() {
        apt_install("chromium", "the browser suite")?;
    }
    Ok(())
}

fn promtool_is_there() -> Result<()> {
    if output(Command::new("promtool").arg("--version")).is_err() {
        apt_install("prometheus", "the test of /metrics")?;
    }
    Ok(())
}

fn promtool(root: &Path) -> Command {
    let mut command = Command::new("promtool");
    command.current_dir(root);
    command
}

fn programs_for_ops_are_there() -> Result<()> {
    for (program, package) in FOR_OPS {
        let there = |folder: &&str| Path::new(folder).join(program).is_file();
        if !["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].iter().any(there) {
            apt_install(package, "the test of ops/")?;
        }
    }
    Ok(())
}

/// The major version in `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("nonsense"), None);
    }
}
