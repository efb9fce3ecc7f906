//! `cargo xtask fuzz`: random inputs for what faces the network, under libFuzzer on nightly: each target for some seconds,
//! or a number of executions over all of them.
//!
//! What is fuzzed stands in tests/fuzz, whose tests run the seeds and everything found so far on stable. What this finds
//! is left in fuzz/artifacts; once repaired, it belongs into tests/fuzz/regressions.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::Steps;
use crate::workspace::{cargo, output, target_dir, tool};

/// How much memory one input may take, in MiB.
const MEMORY: u32 = 2_048;

/// Targets that start a whole hub for each input, or fold a whole life: some hundred times slower than a decoder.
const SLOW: &[&str] = &["fold", "http", "socket"];
/// Of so many executions such a target gets one.
const SHARE_OF_SLOW: u64 = 200;

/// How much is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Effort {
    /// For each target.
    Seconds(u32),
    /// Over all targets; each is given at least its share.
    Executions(u64),
}

/// What a target has done, by libFuzzer's own words.
#[derive(Default, Debug, PartialEq, Clone, Copy)]
struct Done {
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
    /// Seconds.
    took: u64,
}

/// Runs a target, or all of them.
pub(crate) fn run(root: &Path, effort: Effort, target: Option<&str>) -> Result<()> {
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
    let shares = shares(effort, &chosen);
    let mut table = Vec::new();
    for (target, share) in chosen.into_iter().zip(shares) {
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
        command.args(["--", &share, &format!("-rss_limit_mb={MEMORY}")]);
        command.args(["-timeout=20", "-max_len=8192", "-print_final_stats=1"]);
        let done = steps.step(target, || fuzz(&mut command))?;
        table.push((target.as_str(), done));
    }
    println!("{}", shown(&table));
    steps.finish();
    if let Effort::Executions(wanted) = effort {
        let total: u64 = table.iter().map(|(_, done)| done.executions).sum();
        if total < wanted {
            bail!("{total} executions of the {wanted} that were asked for");
        }
    }
    Ok(())
}

/// What each target is told to do.
fn shares(effort: Effort, chosen: &[&String]) -> Vec<String> {
    let executions = match effort {
        Effort::Seconds(seconds) => return vec![format!("-max_total_time={seconds}"); chosen.len()],
        Effort::Executions(executions) => executions,
    };
    let is_slow = |target: &str| SLOW.contains(&target);
    let slow = chosen.iter().filter(|target| is_slow(target)).count() as u64;
    let fast = chosen.len() as u64 - slow;
    let of_slow = if fast == 0 { executions.div_ceil(slow.max(1)) } else { executions / SHARE_OF_SLOW };
    let of_fast = (executions - (of_slow * slow).min(executions)).div_ceil(fast.max(1));
    let share = |target: &&String| if is_slow(target) { of_slow } else { of_fast };
    // None would be without an end.
    chosen.iter().map(|target| format!("-runs={}", share(target).max(1))).collect()
}

/// Runs libFuzzer, passes on what it says, and counts.
fn fuzz(command: &mut Command) -> Result<Done> {
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot run cargo-fuzz")?;
    let said = child.stderr.take().context("cargo-fuzz has no standard error")?;
    let mut done = Done::default();
    for line in BufReader::new(said).split(b'\n') {
        let line = line.context("cannot read what cargo-fuzz says")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        done.hear(&line);
    }
    let status = child.wait().context("cannot wait for cargo-fuzz")?;
    if !status.success() {
        bail!("it found something: the input is in fuzz/artifacts, and what went wrong stands above");
    }
    if done.executions == 0 {
        bail!("libFuzzer did not say how many inputs it ran");
    }
    Ok(done)
}

impl Done {
    /// A line of libFuzzer's.
    fn hear(&mut self, line: &str) {
        let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:").and_then(number) {
            self.executions = count;
        }
        if line.starts_with('#')
            && let Some(count) = line.split_once(" cov: ").and_then(|(_, rest)| number(rest))
        {
            self.coverage = count;
        }
        let took = line.strip_prefix("Done ").and_then(|rest| rest.split_once(" runs in "));
        if let Some(seconds) = took.and_then(|(_, rest)| number(rest)) {
            self.took = seconds;
        }
    }
}

/// The table of all, for people and for docs.
fn shown(table: &[(&str, Done)]) -> String {
    let mut lines = vec![
        "| target | executions | coverage, edges | seconds |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let row = |name: &str, done: &Done| {
        let Done { executions, coverage, took } = done;
        format!("| {name} | {executions} | {coverage} | {took} |")
    };
    lines.extend(table.iter().map(|(target, done)| row(&format!("`{target}`"), done)));
    let executions: u64 = table.iter().map(|(_, done)| done.executions).sum();
    let took: u64 = table.iter().map(|(_, done)| done.took).sum();
    lines.push(format!("| all | {executions} | | {took} |"));
    lines.join("\n")
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
    #[test]
    fn executions_are_shared_so_that_they_add_up() {
        let names: Vec<String> = ["event", "http", "names", "socket"].map(str::to_owned).to_vec();
        let all: Vec<&String> = names.iter().collect();
        let runs = |effort, chosen: &[&String]| -> Vec<u64> {
            let shares = shares(effort, chosen);
            shares.iter().map(|share| share.strip_prefix("-runs=").unwrap().parse().unwrap()).collect()
        };
        assert_eq!(runs(Effort::Executions(1_001), &all), [496, 5, 496, 5]);
        assert_eq!(runs(Effort::Executions(7), &all[1..2]), [7]);
        assert_eq!(runs(Effort::Executions(0), &all[..2]), [1, 1]);
        assert_eq!(shares(Effort::Seconds(9), &all[..1]), ["-max_total_time=9"]);
    }

    #[test]
    fn what_libfuzzer_says_is_counted() {
        let mut done = Done::default();
        for line in [
            "INFO: seed corpus: files: 12",
            "#4096\tpulse  cov: 812 ft: 1911 corp: 99/10Kb exec/s: 2048 rss: 60Mb",
            "#5000\tDONE   cov: 815 ft: 1920 corp: 101/11Kb exec/s: 2500 rss: 61Mb",
            "Done 5000 runs in 2 second(s)",
            "stat::number_of_executed_units: 5000",
        ] {
            done.hear(line);
        }
        assert_eq!(done, Done { executions: 5_000, coverage: 815, took: 2 });
        assert!(shown(&[("event", done), ("names", done)]).ends_with("| all | 10000 | | 4 |"));
    }
}
