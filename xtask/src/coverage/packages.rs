//! The npm packages: how many lines of each its own tests run.
//!
//! What may come in: the summaries that Vitest writes. What it never does: count a package that was not measured as good.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Lines;
use crate::npm::npm;
use crate::steps::Steps;

/// The folders of the packages with a script `coverage`, which writes coverage/coverage-summary.json.
const PACKAGES: &[&str] = &["bindings/typescript", "bindings/react"];

/// Measures each package.
pub(super) fn measure(root: &Path, steps: &mut Steps) -> Result<Vec<(String, Lines)>> {
    steps.command("npm ci", npm(root).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    steps.command("npm run build", npm(root).args(["run", "build", "--silent"]))?;
    let mut figures = Vec::new();
    for folder in PACKAGES {
        let run = ["run", "coverage", "--silent", "--workspace", folder];
        steps.command(&format!("coverage of {folder}"), npm(root).args(run))?;
        let summary = root.join(folder).join("coverage/coverage-summary.json");
        let text = std::fs::read_to_string(&summary).with_context(|| format!("{folder} wrote no figures"))?;
        let lines = total(&serde_json::from_str(&text).context("the figures are not JSON")?)?;
        figures.push(((*folder).to_owned(), lines));
    }
    Ok(figures)
}

fn total(summary: &Value) -> Result<Lines> {
    let lines = &summary["total"]["lines"];
    let (Some(count), Some(covered)) = (lines["total"].as_u64(), lines["covered"].as_u64()) else {
        bail!("the figures have no total of lines");
    };
    if count == 0 {
        bail!("no line was measured");
    }
    Ok(Lines { count, covered })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_total_is_read_and_nothing_is_not_good() {
        let summary = |total: u64| json!({ "total": { "lines": { "total": total, "covered": total / 2 } } });
        assert_eq!(total(&summary(100)).ok(), Some(Lines { count: 100, covered: 50 }));
        assert!(total(&summary(0)).is_err());
        assert!(total(&json!({})).is_err());
    }
}
