//! `cargo xtask chaos`: the harness in tests/chaos against hubs and Redis servers that it kills, and its short form for
//! `cargo xtask test`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::npm::npm;
use crate::python;
use crate::steps::Steps;
use crate::test::node_is_there;
use crate::workspace::{cargo, redis_server_is_there, target_dir};

/// Builds hub and harness, and runs the harness with `options`.
pub(crate) fn run(root: &Path, profile: &str, options: &[String]) -> Result<()> {
    let mut steps = Steps::new("chaos");
    steps.step("redis-server", redis_server_is_there)?;
    let is_given = |name: &str| options.iter().any(|option| option.starts_with(name));
    let mut more: Vec<OsString> = Vec::new();
    // The official clients take memory and time that the short form has not.
    if !["--short", "--node-modules", "--python", "--help"].iter().any(|name| is_given(name)) {
        more.extend(["--node-modules".into(), steps.step("socket.io-client", || node_modules(root))?.into()]);
        more.extend([
            "--python".into(),
            steps.step("python-socketio", || python::with_socketio(root))?.into(),
        ]);
    }
    let build =
        ["build", "--profile", profile, "-p", "ragpulse-cli", "-p", "ragpulse-chaos", "--locked", "--quiet"];
    steps.command("build", cargo(root).args(build))?;
    let hub = program(root, profile, "ragpulse")?;
    let mut command = Command::new(program(root, profile, "ragpulse-chaos")?);
    steps.command("chaos", command.args(options).args(more).env("RAGPULSE_BIN", hub))?;
    steps.finish();
    Ok(())
}

/// The short form as steps of another task, against a hub that is built already.
pub(crate) fn short(root: &Path, steps: &mut Steps, hub: &Path) -> Result<()> {
    let build = ["build", "-p", "ragpulse-chaos", "--locked", "--quiet"];
    steps.command("build ragpulse-chaos", cargo(root).args(build))?;
    let mut command = Command::new(program(root, "dev", "ragpulse-chaos")?);
    steps.command("chaos, short", command.arg("--short").env("RAGPULSE_BIN", hub))
}

/// The `node_modules` of the workspace, with socket.io-client in it.
fn node_modules(root: &Path) -> Result<PathBuf> {
    let modules = root.join("node_modules");
    if !modules.join("socket.io-client").is_dir() {
        node_is_there()?;
        let status = npm(root).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).status()?;
        if !status.success() {
            bail!("npm ci failed; what it said stands above");
        }
    }
    Ok(modules)
}

fn program(root: &Path, profile: &str, name: &str) -> Result<PathBuf> {
    let folder = if profile == "dev" { "debug" } else { profile };
    let path = target_dir(root)?.join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        bail!("cargo has built no {name} where it was looked for");
    }
    Ok(path)
}
