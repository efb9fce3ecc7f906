//! `cargo xtask bench`: publish → subscriber callback, in release builds. A benchmark, not a test: no other task runs it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, target_dir};

/// Builds the hub and the generator, and runs the generator with `options`.
pub(crate) fn run(root: &Path, options: &[String]) -> Result<()> {
    let mut steps = Steps::new("bench");
    let build = ["build", "--release", "-p", "ragpulse-cli", "-p", "ragpulse-bench", "--locked", "--quiet"];
    steps.command("build", cargo(root).args(build))?;
    let folder = target_dir(root)?.join("release");
    let program = |name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let generator = program("ragpulse-bench");
    if !generator.is_file() {
        bail!("cargo has built no ragpulse-bench where it was looked for");
    }
    let mut command = std::process::Command::new(generator);
    command.args(options).env("RAGPULSE_BIN", program("ragpulse"));
    steps.command("publish → callback", &mut command)?;
    steps.finish();
    Ok(())
}
