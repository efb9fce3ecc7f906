//! `cargo xtask check`: what can be found wrong without running the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, output, tool};
use crate::{closure, generate, page, python};

const WASM: &str = "wasm32-unknown-unknown";

/// Runs every check; with `advisories` also what is known of the dependencies, whose database comes over the network.
pub(crate) fn run(root: &Path, advisories: bool) -> Result<()> {
    let mut steps = Steps::new("check");
    steps.command("fmt", cargo(root).args(["fmt", "--all", "--check"]))?;
    steps.step("gen --check", || generate::check(root))?;
    steps.step("models for Python", || python::check_models(root))?;
    steps.step("page", || page::check(root))?;
    steps.step("protocol dependencies", || closure::check(root))?;
    let deny = steps.step("cargo-deny", || tool(root, "cargo-deny"))?;
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(root).args(["--log-level", "error"]).args(arguments);
        command
    };
    steps.command("licences, bans, sources", &mut ask(&["check", "licenses", "bans", "sources"]))?;
    if advisories {
        steps.step("advisory database", || fetched(ask(&["fetch", "db"])))?;
        steps.command("advisories", &mut ask(&["check", "--disable-fetch", "advisories"]))?;
    } else {
        println!("--- check: advisories are looked up by: cargo xtask check --advisories");
    }
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    steps.command("clippy", cargo(root).args(clippy))?;
    if wasm_is_installed()? {
        let build = ["build", "-p", "ragpulse-protocol", "--target", WASM, "--locked", "--quiet"];
        steps.command("protocol for wasm32", cargo(root).args(build))?;
    } else {
        println!("--- check: the target {WASM} is not installed, so the protocol is not built for it");
    }
    steps.finish();
    Ok(())
}

/// Brings the database of advisories here. Without it nothing is known, which is not the same as that nothing is wrong.
fn fetched(mut fetch: Command) -> Result<()> {
    if fetch.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "the database of advisories (RustSec's advisory-db, at the address in deny.toml) cannot be had from here, so nothing \
         was looked up; run this where it can be, such as in CI with a network"
    )
}

fn wasm_is_installed() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let dir = output(Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]))?;
    Ok(PathBuf::from(dir.trim()).is_dir())
}
