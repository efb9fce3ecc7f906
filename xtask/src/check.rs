//! `cargo xtask check`: what can be found wrong without running the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

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
    let mut checks = vec!["--log-level", "error", "check", "licenses", "bans", "sources"];
    if advisories {
        checks.push("advisories");
    } else {
        println!("--- check: advisories are looked up by: cargo xtask check --advisories");
    }
    steps.command("licences, bans, sources", Command::new(deny).current_dir(root).args(checks))?;
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

fn wasm_is_installed() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let dir = output(Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]))?;
    Ok(PathBuf::from(dir.trim()).is_dir())
}
