//! The Python package in bindings/python: its models, and its checks; and the tests of ops/, which are in Python too. Their own
//! scripts do the work, and make the virtual environments that they need.
//!
//! What may come in: any Python that the package supports. What it never does: install outside of these environments,
//! but for Debian's python3-venv where it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{apt_install, output};

/// The oldest Python that the package supports, 3.x.
const MINOR: u32 = 10;
const SCRIPTS: &str = "bindings/python/scripts";
/// The checks of a whole program beside the package, in an environment of its own.
const EXAMPLE: &str = "examples/python-pipeline/check.py";
/// Checks of what is in ops/, with the programs that it is for.
const OPS: &str = "tests/ops/check.py";
/// Hostile clients, in an environment of its own.
const SECURITY: &str = "tests/security/check.py";

/// A Python command in the root.
fn python(root: &Path) -> Command {
    let mut command = Command::new("python3");
    // What is written comes between the lines of the other steps where it belongs.
    command.current_dir(root).env("PYTHONUNBUFFERED", "1");
    command
}

/// Writes the models from bindings/json-schema.
///
/// # Errors
/// When they cannot be made.
pub(crate) fn write_models(root: &Path) -> Result<()> {
    models(root, &[])
}

/// Compares the models with what would be made from bindings/json-schema.
///
/// # Errors
/// When they differ.
pub(crate) fn check_models(root: &Path) -> Result<()> {
    models(root, &["--check"])
}

fn models(root: &Path, arguments: &[&str]) -> Result<()> {
    python_is_there()?;
    let status = python(root).arg(format!("{SCRIPTS}/generate.py")).args(arguments).status()?;
    if !status.success() {
        bail!("the models of bindings/python are not up to date, or cannot be made; run: cargo xtask gen");
    }
    Ok(())
}

/// Lint, types and tests of the package.
pub(crate) fn check(root: &Path) -> Command {
    let mut command = python(root);
    command.arg(format!("{SCRIPTS}/check.py"));
    command
}

/// Types and tests of the adapters, each beside its framework.
pub(crate) fn check_adapters(root: &Path) -> Command {
    let mut command = check(root);
    command.arg("--adapters");
    command
}

/// The examples of the guide that need more than the package.
pub(crate) fn check_guide(root: &Path) -> Command {
    let mut command = check(root);
    command.arg("--guide");
    command
}

/// Lint, types and tests of the example.
pub(crate) fn check_example(root: &Path) -> Command {
    let mut command = python(root);
    command.arg(EXAMPLE);
    command
}

/// Lint, types and tests of what is in ops/, beside live hubs.
pub(crate) fn check_ops(root: &Path) -> Command {
    let mut command = python(root);
    command.arg(OPS);
    command
}

/// The routes and the socket of a live hub against hostile clients, for a minute or two.
pub(crate) fn check_security(root: &Path) -> Command {
    let mut command = python(root);
    command.arg(SECURITY);
    command
}

/// The Python of the package's own environment, which has python-socketio. It is made where it is missing.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn with_socketio(root: &Path) -> Result<PathBuf> {
    python_is_there()?;
    let make =
        format!("import sys; sys.path.insert(0, {SCRIPTS:?}); import environment; environment.ready()");
    let status = python(root).args(["-c", &make]).status()?;
    if !status.success() {
        bail!("the environment of bindings/python cannot be made; what went wrong stands above");
    }
    let folder = root.join("bindings/python/.venv");
    Ok(folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" }))
}

/// Whether there is a Python that will do; Debian's package of what makes environments is installed where it is not.
///
/// # Errors
/// When there is none, saying what to install.
pub(crate) fn python_is_there() -> Result<()> {
    let advice = format!(
        "Python 3.{MINOR} or newer is needed as python3; on Debian run: apt-get install -y python3-venv"
    );
    let Ok(version) = output(Command::new("python3").arg("--version")) else {
        bail!("there is no python3; {advice}")
    };
    match minor(&version) {
        Some(found) if found >= MINOR => {}
        _ => bail!("python3 is {}; {advice}", version.trim()),
    }
    let imports = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    if !imports.is_ok_and(|imports| imports.status.success()) {
        apt_install("python3-venv", "the Python package")?;
    }
    Ok(())
}

/// The minor version in `Python 3.11.7`.
fn minor(version: &str) -> Option<u32> {
    version.trim().strip_prefix("Python 3.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_python_are_read() {
        assert_eq!(minor("Python 3.11.7\n"), Some(11));
        assert_eq!(minor("Python 3.14"), Some(14));
        assert_eq!(minor("Python 2.7.18"), None);
        assert_eq!(minor("nonsense"), None);
    }

    #[test]
    fn the_scripts_are_where_they_are_looked_for() {
        let root = crate::workspace::root();
        for name in ["check.py", "generate.py"] {
            assert!(root.join(SCRIPTS).join(name).is_file(), "{name}");
        }
        assert!(root.join(EXAMPLE).is_file());
        assert!(root.join(OPS).is_file());
        assert!(root.join(SECURITY).is_file());
    }
}
