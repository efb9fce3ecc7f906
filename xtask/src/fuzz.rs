//! `cargo xtask fuzz`: random inputs for what faces the network, each target for some seconds, under libFuzzer on nightly.
//!
//! What is fuzzed stands in tests/fuzz, whose tests run the seeds and everything found so far on stable. What this finds
//! is left in fuzz/artifacts; once repaired, it belongs into tests/fuzz/regressions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, output, target_dir, tool};

/// How much memory one input may take, in MiB.
const MEMORY: u32 = 2_048;

/// Runs a target, or all of them, for `seconds` each.
pub(crate) fn run(root: &Path, seconds: u32, target: Option<&str>) -> Result<()> {
    let mut steps = Steps::new("fuzz");
    let targets = targets(root)?;
    let chosen: Vec<&String> = match target {
        None => targets.iter().collect(),
        Some(target) => match targets.iter().find(|known| *known == target) {
            Some(known) => vec![known],
            None => bail!("there is no target '{target}'; there are: {}", targets.join(", ")),
        },
    };
    steps.step("nightly", nightly_is_there)?;
    let tool = steps.step("cargo-fuzz", || fuzzer(root))?;
    // Built apart: other flags, another compiler.
    let built = target_dir(root)?.join("fuzz");
    for target in chosen {
        let corpus = root.join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let seeds = ["run", "--quiet", "--locked", "-p", "ragpulse-fuzz", "--", target.as_str()];
        steps.command(&format!("seeds of {target}"), cargo(root).args(seeds).arg(&corpus))?;
        // Without a sanitizer: nothing here is unsafe, and it finds more in the same time.
        let mut command = Command::new(&tool);
        command
            .current_dir(root)
            .env("RUSTUP_TOOLCHAIN", "nightly")
            // Those of the cargo that runs this are of another toolchain.
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env("CARGO_TARGET_DIR", &built)
            .args(["fuzz", "run", "--sanitizer", "none", target.as_str()])
            .arg(&corpus);
        let regressions = root.join("tests/fuzz/regressions").join(target);
        if regressions.is_dir() {
            command.arg(regressions);
        }
        command.args(["--", &format!("-max_total_time={seconds}"), &format!("-rss_limit_mb={MEMORY}")]);
        command.args(["-timeout=20", "-max_len=8192", "-print_final_stats=1"]);
        steps.command(target, &mut command)?;
    }
    steps.finish();
    Ok(())
}

/// The names of the targets, by the manifest.
fn targets(root: &Path) -> Result<Vec<String>> {
    let manifest = root.join("fuzz/Cargo.toml");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    Ok(names(&text))
}

fn names(manifest: &str) -> Vec<String> {
    let bins = manifest.split("[[bin]]").skip(1);
    bins.filter_map(|bin| bin.lines().find_map(|line| line.strip_prefix("name = ")))
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

fn nightly_is_there() -> Result<()> {
    let version = Command::new("rustc").arg("-V").env("RUSTUP_TOOLCHAIN", "nightly").output();
    if version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("nightly")) {
        return Ok(());
    }
    bail!("fuzzing needs a nightly compiler; run: rustup toolchain install nightly --profile minimal")
}

/// cargo-fuzz: as it is installed, else built into the target directory.
fn fuzzer(root: &Path) -> Result<PathBuf> {
    if output(Command::new("cargo-fuzz").arg("--version")).is_ok() {
        return Ok("cargo-fuzz".into());
    }
    tool(root, "cargo-fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_manifest() {
        let manifest =
            "[package]\nname = \"no\"\n[[bin]]\nname = \"a\"\npath = \"x\"\n\n[[bin]]\nname = \"b\"\n";
        assert_eq!(names(manifest), ["a", "b"]);
        let all = targets(&crate::workspace::root()).unwrap();
        assert!(all.contains(&"report".to_owned()), "{all:?}");
    }
}
