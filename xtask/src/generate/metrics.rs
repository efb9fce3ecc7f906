//! The table in docs/metrics.md, from the one in crates/server/src/metrics/table.rs. The rest of that page is written by
//! hand, and stays as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The hub's own table, compiled by itself: that the hub does not build, because the contract changes, must not keep the
/// files from being made by which it builds again.
#[path = "../../../crates/server/src/metrics/table.rs"]
#[allow(unreachable_pub, dead_code, unused_macros)]
mod table;

use table::{FAMILIES, Kind, Label};

/// Where the table stands.
pub(crate) const PAGE: &str = "docs/metrics.md";
const BEGIN: &str = "<!-- families: begin -->\n";
const END: &str = "<!-- families: end -->\n";
/// How many values stand in a row; more stand below.
const IN_A_ROW: usize = 9;

/// The page with the table as it is now.
///
/// # Errors
/// When the page cannot be read, or the marks around the table are gone.
pub(crate) fn page(root: &Path) -> Result<String> {
    let page = std::fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} lacks {}", BEGIN.trim()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks {}", END.trim()))?;
    ensure!(before.contains(super::MARKER), "{PAGE} does not say in its head that a part is generated");
    Ok(format!("{before}{BEGIN}{}{END}{after}", families()))
}

fn families() -> String {
    let mut out = String::from("\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    // Long lists by their name, each once.
    let mut long: BTreeMap<String, &[&str]> = BTreeMap::new();
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = family.labels.iter().map(|label| shown(label, family.name, &mut long));
        let labels = labels.collect::<Vec<_>>().join("; ");
        let _ = writeln!(out, "| `{}` | {kind} | {labels} | {} |", family.name, family.help);
    }
    out.push_str("\nBuckets, upper bounds in seconds, each included:\n\n");
    for family in FAMILIES.iter().filter(|family| !family.buckets.is_empty()) {
        let bounds: Vec<String> = family.buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "- `{}`: {}", family.name, bounds.join(", "));
    }
    out.push_str("\nValues of the labels with many:\n\n");
    for (name, values) in long {
        let _ = writeln!(out, "- {name}: {}", values.join(", "));
    }
    out.push('\n');
    out
}

fn shown(label: &Label, family: &str, long: &mut BTreeMap<String, &'static [&'static str]>) -> String {
    if label.name == "version" {
        return "`version`: the one that runs".to_owned();
    }
    if label.values.len() <= IN_A_ROW {
        return format!("`{}`: {}", label.name, label.values.join(", "));
    }
    long.insert(format!("`{}` of `{family}`", label.name), label.values);
    format!("`{}`: {}, as below", label.name, label.values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_their_unit_and_labels_have_values() {
        for family in FAMILIES {
            assert!(family.name.starts_with("ragpulse_"), "{}", family.name);
            let is_counter = family.kind == Kind::Counter;
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            let name = family.name.trim_end_matches("_total");
            let end = match family.measure {
                table::Measure::Count => "",
                table::Measure::Seconds => "_seconds",
                table::Measure::Bytes => "_bytes",
                table::Measure::Ratio => "_ratio",
            };
            assert!(name.ends_with(end), "{}", family.name);
            assert_eq!(family.buckets.is_empty(), family.kind != Kind::Histogram, "{}", family.name);
            assert!(family.buckets.is_sorted(), "{}", family.name);
            assert!(family.labels.iter().all(|label| !label.values.is_empty()), "{}", family.name);
        }
    }
}
