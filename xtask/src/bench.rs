//! `cargo xtask bench`: the hub beside what would be used in its place, in release builds. A benchmark, not a test: no other
//! task runs it.
//!
//! What may come in: options of the generator (tests/bench). What it never does: install outside of the target directory and
//! tests/bench/relays/node, but for Debian's packages that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::npm::npm;
use crate::python::python_is_there;
use crate::steps::Steps;
use crate::workspace::{cargo, output, redis_server_is_there, target_dir};

const RELAYS: &str = "tests/bench/relays";

/// Builds the hub and the generator, and measures publish → callback of the client library.
pub(crate) fn callback(root: &Path, options: &[String]) -> Result<()> {
    let mut steps = Steps::new("bench");
    let folder = build(root, &mut steps, &["ragpulse-cli", "ragpulse-bench"])?;
    let mut command = Command::new(folder.join("ragpulse-bench"));
    command.arg("callback").args(options).env("RAGPULSE_BIN", folder.join("ragpulse"));
    steps.command("publish → callback", &mut command)?;
    steps.finish();
    Ok(())
}

/// Builds and installs all servers, and runs the suite with `options`.
pub(crate) fn suite(root: &Path, options: &[String]) -> Result<()> {
    let mut steps = Steps::new("bench");
    steps.step("python", python_is_there)?;
    if options.iter().any(|option| option.contains("redis")) {
        steps.step("redis-server", redis_server_is_there)?;
    }
    let folder = build(root, &mut steps, &["ragpulse-cli", "ragpulse-bench", "ragpulse-plain-relay"])?;
    let mut install = npm(root);
    install.current_dir(root.join(RELAYS).join("node"));
    steps.command("npm ci", install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    let python = steps.step("python-socketio", || {
        let mut make = Command::new("python3");
        make.arg(root.join(RELAYS).join("python/install.py")).arg(target_dir(root)?.join("bench-python"));
        let python = output(make.current_dir(root))?;
        Ok(PathBuf::from(python.lines().last().context("the environment was not made")?.trim()))
    })?;
    let mut command = Command::new(folder.join("ragpulse-bench"));
    command.arg("suite").arg("--root").arg(root).arg("--python").arg(python).args(options);
    steps.command("the suite", &mut command)?;
    steps.finish();
    Ok(())
}

/// Builds in release, and says where that is.
fn build(root: &Path, steps: &mut Steps, packages: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["build", "--release", "--locked", "--quiet"]);
    command.args(packages.iter().flat_map(|package| ["-p", *package]));
    steps.command("build", &mut command)?;
    Ok(target_dir(root)?.join("release"))
}

#[cfg(test)]
mod tests {
    use super::RELAYS;

    #[test]
    fn the_relays_are_where_they_are_looked_for() {
        let relays = crate::workspace::root().join(RELAYS);
        for name in
            ["node/package-lock.json", "python/install.py", "python/requirements.txt", "plain/Cargo.toml"]
        {
            assert!(relays.join(name).is_file(), "{name}");
        }
    }
}
