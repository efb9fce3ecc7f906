//! `cargo xtask coverage`: how many lines of each crate its Rust tests run, and of each npm package its own tests, with a
//! floor under the libraries.

mod packages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::Steps;
use crate::workspace::{apt_install, output, redis_server_is_there, target_dir, tool};

/// Crates below this share of lines fail, in percent.
const FLOOR: f64 = 90.0;
const WITH_FLOOR: &[&str] = &["protocol", "server", "client"];

/// Measures, prints and judges.
pub(crate) fn run(root: &Path, only_packages: bool) -> Result<()> {
    let mut steps = Steps::new("coverage");
    let mut figures = Vec::new();
    let mut low = Vec::new();
    if !only_packages {
        let crates = crates(root, &mut steps)?;
        low.extend(too_low(&crates));
        figures.extend(crates);
    }
    let packages = packages::measure(root, &mut steps)?;
    low.extend(packages.iter().filter_map(|(name, lines)| is_low(name, *lines)));
    figures.extend(packages);
    println!("{:<20} {:>7} {:>7} {:>8}", "", "lines", "run", "share");
    for (name, lines) in &figures {
        println!("{name:<20} {:>7} {:>7} {:>6.1} %", lines.count, lines.covered, lines.percent());
    }
    steps.step("floor", || if low.is_empty() { Ok(()) } else { bail!("{}", low.join("; ")) })?;
    steps.finish();
    Ok(())
}

fn crates(root: &Path, steps: &mut Steps) -> Result<BTreeMap<String, Lines>> {
    steps.step("redis-server", redis_server_is_there)?;
    let tool = steps.step("cargo-llvm-cov", || tool(root, "cargo-llvm-cov"))?;
    let (cov, profdata) = steps.step("llvm", llvm)?;
    let json = target_dir(root)?.join("coverage.json");
    // Called by its path, as cargo would call a subcommand.
    let mut measure = Command::new(tool);
    measure
        .current_dir(root)
        .args([
            "llvm-cov",
            "--workspace",
            "--exclude",
            "xtask",
            "--all-features",
            "--no-cfg-coverage",
            "--locked",
            "--quiet",
        ])
        .args(["--json", "--summary-only", "--output-path"])
        // Named from the root, as it is repeated on the terminal.
        .arg(json.strip_prefix(root).unwrap_or(&json))
        .env("LLVM_COV", cov)
        .env("LLVM_PROFDATA", profdata);
    steps.command("cargo llvm-cov", &mut measure)?;
    let text = std::fs::read_to_string(&json).context("cargo llvm-cov wrote no figures")?;
    Ok(per_crate(root, &serde_json::from_str(&text).context("the figures are not JSON")?))
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.count == 0 { 100.0 } else { self.covered as f64 * 100.0 / self.count as f64 }
    }
}

/// Sums the figures of files by the folder of their crate; test modules do not count.
fn per_crate(root: &Path, report: &Value) -> BTreeMap<String, Lines> {
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in report["data"][0]["files"].as_array().into_iter().flatten() {
        let path = Path::new(file["filename"].as_str().unwrap_or_default());
        let Ok(path) = path.strip_prefix(root.join("crates")) else { continue };
        let is_test = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|s| s == "tests" || s.ends_with("_tests"));
        let Some(name) = path.iter().next().filter(|_| !is_test) else { continue };
        let lines = crates.entry(name.to_string_lossy().into_owned()).or_default();
        lines.count += file["summary"]["lines"]["count"].as_u64().unwrap_or(0);
        lines.covered += file["summary"]["lines"]["covered"].as_u64().unwrap_or(0);
    }
    crates
}

fn too_low(figures: &BTreeMap<String, Lines>) -> Vec<String> {
    WITH_FLOOR
        .iter()
        .filter_map(|name| match figures.get(*name) {
            None => Some(format!("nothing was measured of crates/{name}")),
            Some(lines) => is_low(&format!("crates/{name}"), *lines),
        })
        .collect()
}

fn is_low(name: &str, lines: Lines) -> Option<String> {
    let percent = lines.percent();
    (percent < FLOOR).then(|| format!("{name} is at {percent:.1} %, below {FLOOR} %"))
}

/// llvm-cov and llvm-profdata of the LLVM that rustc was built with: older ones cannot read what it writes. Named
/// outright, because cargo-llvm-cov would otherwise change the toolchain.
fn llvm() -> Result<(PathBuf, PathBuf)> {
    let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let version = output(rustc().arg("-vV"))?;
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let major =
        field("LLVM version:").and_then(|v| v.split('.').next()).context("rustc names no version of LLVM")?;
    let sysroot = output(rustc().args(["--print", "sysroot"]))?;
    let host = field("host:").unwrap_or_default();
    let find = || {
        let component = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
        [
            (component.join("llvm-cov"), component.join("llvm-profdata")),
            (format!("/usr/bin/llvm-cov-{major}").into(), format!("/usr/bin/llvm-profdata-{major}").into()),
        ]
        .into_iter()
        .find(|(cov, profdata)| cov.exists() && profdata.exists())
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install(&format!("llvm-{major}"), "coverage")?;
    find().with_context(|| format!("llvm-{major} is installed, and yet there is no llvm-cov-{major}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        let file = |name: &str, count: u64, covered: u64| json!({ "filename": format!("/r/crates/{name}"), "summary": { "lines": { "count": count, "covered": covered } } });
        json!({ "data": [{ "files": [
            file("protocol/src/a.rs", 60, 60),
            file("protocol/src/b.rs", 40, 31),
            file("protocol/src/b_tests.rs", 500, 500),
            file("server/src/lib.rs", 10, 10),
            { "filename": "/elsewhere/lib.rs", "summary": { "lines": { "count": 9, "covered": 0 } } },
        ] }] })
    }

    #[test]
    fn figures_are_summed_by_crate() {
        let figures = per_crate(Path::new("/r"), &report());
        let expected = [
            ("protocol".to_owned(), Lines { count: 100, covered: 91 }),
            ("server".to_owned(), Lines { count: 10, covered: 10 }),
        ];
        assert_eq!(figures, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_low_or_missing_is_named() {
        let mut figures = per_crate(Path::new("/r"), &report());
        assert_eq!(too_low(&figures), ["nothing was measured of crates/client"]);
        figures.insert("client".to_owned(), Lines { count: 1000, covered: 899 });
        assert_eq!(too_low(&figures), ["crates/client is at 89.9 %, below 90 %"]);
    }
}
