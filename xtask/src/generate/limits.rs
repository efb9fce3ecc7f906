//! The table in docs/limits.md, from the one in crates/server/src/limits/table.rs. The rest of that page is written by hand,
//! and stays as it is.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The hub's own table, compiled by itself, as that of the metrics.
#[path = "../../../crates/server/src/limits/table.rs"]
#[allow(unreachable_pub, dead_code, unused_macros)]
mod table;

use table::LIMITS;

/// Where the table stands.
pub(crate) const PAGE: &str = "docs/limits.md";
const BEGIN: &str = "<!-- limits: begin -->\n";
const END: &str = "<!-- limits: end -->\n";

/// The page with the table as it is now.
///
/// # Errors
/// When the page cannot be read, or the marks around the table are gone.
pub(crate) fn page(root: &Path) -> Result<String> {
    let page = std::fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} lacks {}", BEGIN.trim()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks {}", END.trim()))?;
    ensure!(before.contains(super::MARKER), "{PAGE} does not say in its head that a part is generated");
    Ok(format!("{before}{BEGIN}{}{END}{after}", limits()))
}

fn limits() -> String {
    let mut out = String::from(
        "\n| name | default | may be | what it bounds | what is answered, and what becomes of the connection | counted |\n\
         |---|---|---|---|---|---|\n",
    );
    for limit in LIMITS {
        let what: Vec<&str> = limit.doc.iter().map(|line| line.trim()).collect();
        let most =
            if limit.most == 1 << 40 { "…".to_owned() } else { format!(" to {}", digits(limit.most)) };
        let counted = if limit.counted { "yes" } else { "no" };
        let _ = writeln!(
            out,
            "| `{}` | {} | {}{most} | {} | {} | {counted} |",
            limit.name,
            digits(limit.default),
            digits(limit.least),
            what.join(" "),
            limit.answer
        );
    }
    out.push('\n');
    out
}

/// A number that people can read.
fn digits(number: u64) -> String {
    let plain = number.to_string();
    let mut out = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([1, 999, 1_000, 1_048_576].map(digits), ["1", "999", "1,000", "1,048,576"]);
    }

    #[test]
    fn every_limit_says_what_it_bounds_and_what_is_answered() {
        for limit in LIMITS {
            assert!(!limit.doc.is_empty() && limit.answer.ends_with('.'), "{}", limit.name);
            assert!((limit.least..=limit.most).contains(&limit.default), "{}", limit.name);
        }
    }
}
