//! `cargo xtask chaos`: the harness in tests/chaos against a hub that it kills, and its short form for `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, target_dir};

/// Builds hub and harness, and runs the harness with `options`.
pub(crate) fn run(root: &Path, profile: &str, options: &[String]) -> Result<()> {
    let mut steps = Steps::new("chaos");
    let build =
        ["build", "--profile", profile, "-p", "ragpulse-cli", "-p", "ragpulse-chaos", "--locked", "--quiet"];
    steps.command("build", cargo(root).args(build))?;
    let hub = program(root, profile, "ragpulse")?;
    let mut command = Command::new(program(root, profile, "ragpulse-chaos")?);
    steps.command("chaos", command.args(options).env("RAGPULSE_BIN", hub))?;
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

fn program(root: &Path, profile: &str, name: &str) -> Result<PathBuf> {
    let folder = if profile == "dev" { "debug" } else { profile };
    let path = target_dir(root)?.join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        bail!("cargo has built no {name} where it was looked for");
    }
    Ok(path)
}
