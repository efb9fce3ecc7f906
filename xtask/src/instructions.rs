//! `cargo xtask instructions`: what metrics cost, in instructions of the hub per delivery.
//!
//! A bare hub on one thread runs under callgrind, built with and without counting, and `ragpulse-bench lockstep` gives both the same
//! work. Instructions, because they hardly change from run to run; time does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::steps::Steps;
use crate::workspace::{apt_install, cargo, output, target_dir};

/// How often each build is measured; the least counts, as what comes between only adds.
const RUNS: usize = 2;
const SUBSCRIBERS: u64 = 50;
/// Two lengths, so that their difference is free of the start and the end.
const EVENTS: [u64; 2] = [100, 700];
/// The most that metrics may cost, in per cent.
const MOST: f64 = 3.0;

/// Builds both, measures both, and compares.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut steps = Steps::new("instructions");
    steps.step("valgrind", || {
        if output(Command::new("valgrind").arg("--version")).is_err() {
            apt_install("valgrind", "counting instructions")?;
        }
        Ok(())
    })?;
    let folder = target_dir(root)?.join("release");
    // The generator's own speed does not matter.
    let build = ["build", "--locked", "--quiet", "-p", "ragpulse-bench"];
    steps.command("build the generator", cargo(root).args(build))?;
    let generator = target_dir(root)?.join("debug/ragpulse-bench");
    let mut programs = Vec::new();
    for (name, off) in [("off", true), ("on", false)] {
        let mut command = cargo(root);
        command.args(["build", "--release", "--locked", "--quiet", "-p", "ragpulse-bare-hub"]);
        command.env_remove("RAGPULSE_NO_METRICS");
        if off {
            command.env("RAGPULSE_NO_METRICS", "1");
        }
        steps.command(&format!("build with metrics {name}"), &mut command)?;
        let program = folder.join(format!("ragpulse-bare-hub-{name}"));
        std::fs::copy(folder.join("ragpulse-bare-hub"), &program).context("cargo has built no hub")?;
        programs.push(program);
    }
    let mut each = Vec::new();
    for program in &programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        each.push(steps.step(&name, || per_delivery(&generator, program))?);
    }
    steps.finish();
    let [off, on] = each[..] else { bail!("two builds give two figures") };
    let cost = (on / off - 1.0) * 100.0;
    println!("instructions of the hub per delivery: {off:.0} without metrics, {on:.0} with, {cost:+.2} %");
    ensure!(cost < MOST, "metrics cost {cost:.2} %, and may cost {MOST} %");
    Ok(())
}

/// The instructions that one more delivery costs.
fn per_delivery(generator: &Path, program: &Path) -> Result<f64> {
    let mut least = [u64::MAX; EVENTS.len()];
    for _ in 0..RUNS {
        for (least, events) in least.iter_mut().zip(EVENTS) {
            *least = instructions(generator, program, events)?.min(*least);
        }
    }
    let more = least[1].checked_sub(least[0]).context("more work took fewer instructions")?;
    #[allow(clippy::cast_precision_loss)]
    Ok(more as f64 / ((EVENTS[1] - EVENTS[0]) * SUBSCRIBERS) as f64)
}

/// The instructions of a hub that delivers so many events.
fn instructions(generator: &Path, program: &Path, events: u64) -> Result<u64> {
    let profile: PathBuf = program.with_extension("callgrind");
    let _ = std::fs::remove_file(&profile);
    let status = Command::new(generator)
        .args(["lockstep", "--events", &events.to_string(), "--subscribers", &SUBSCRIBERS.to_string()])
        .env("RAGPULSE_BIN", program)
        .env("RAGPULSE_CALLGRIND", &profile)
        .status()
        .context("cannot run ragpulse-bench")?;
    ensure!(status.success(), "ragpulse-bench failed; what it said stands above");
    let text = std::fs::read_to_string(&profile).context("callgrind has left no profile")?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    total.and_then(|total| total.trim().parse().ok()).context("the profile has no total")
}
