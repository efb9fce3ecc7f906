//! Where things are, and what is there: the root, cargo, packages of the system.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A cargo command in the root, by the cargo that runs this.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// What a command prints.
///
/// # Errors
/// When it cannot be run, or fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{:?}", command.get_program());
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed");
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} does not print text"))
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir(root: &Path) -> Result<PathBuf> {
    let text = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target directory")
}

/// A program that is published as a crate, built into the target directory where it is missing.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn tool(root: &Path, name: &str) -> Result<PathBuf> {
    let tools = target_dir(root)?.join("tools");
    let tool = tools.join("bin").join(name);
    if !tool.is_file() {
        println!("installing {name} into the target directory; this takes a few minutes, once");
        let install = ["install", name, "--locked", "--quiet", "--root"];
        let status = cargo(root).args(install).arg(&tools).status().context("cannot run cargo install")?;
        if !status.success() {
            bail!("{name} cannot be installed; look above for the reason");
        }
    }
    Ok(tool)
}

/// Installs a package of Debian when this runs as root.
///
/// # Errors
/// When it does not, saying what to run, or when the installation fails.
pub(crate) fn apt_install(package: &str, what_for: &str) -> Result<()> {
    let by_hand = format!("{what_for} needs Debian's package {package}; run: apt-get install -y {package}");
    if output(Command::new("id").arg("-u")).map_or(true, |id| id.trim() != "0") {
        bail!("{by_hand}");
    }
    for args in [&["update"][..], &["install", "-y", "--no-install-recommends", package]] {
        let status = Command::new("apt-get")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
            .with_context(|| by_hand.clone())?;
        if !status.success() {
            bail!("{by_hand}");
        }
    }
    Ok(())
}

/// The server that tests and benchmarks start for themselves, installed where it is missing.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn redis_server_is_there() -> Result<()> {
    if output(Command::new("redis-server").arg("--version")).is_err() {
        apt_install("redis-server", "what hubs share where there are several")?;
    }
    Ok(())
}
