//! How findings look: a list for people, one JSON object for programs.
//!
//! *What it never does:* let text from outside move a terminal's cursor.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::finding::{Check, Fault, Finding, Verdict};
use crate::line::{json, plain};

/// Finding and check, as programs get it.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) check: Check,
    #[serde(flatten)]
    pub(super) finding: Finding,
}

/// Everything, as programs get it.
#[derive(Serialize)]
struct Report<'a> {
    url: &'a str,
    /// The version of this program.
    version: &'static str,
    verdict: Verdict,
    findings: &'a [Entry],
}

/// How findings are shown.
pub(super) struct Printer {
    json: bool,
    terminal: bool,
    colour: bool,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, terminal, colour }
    }

    pub(super) fn begin(&self, url: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{}\n", plain(&format!("ragpulse doctor {url}")))
    }

    /// Shows one at once, so that it is seen what takes its time.
    pub(super) fn show(&self, entry: &Entry) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let finding = &entry.finding;
        let sign = self.sign(finding.verdict);
        let code = match finding.verdict {
            Verdict::Failed | Verdict::Warning => format!("  [{}]", finding.code),
            Verdict::Passed | Verdict::Skipped => String::new(),
        };
        writeln!(out, "{sign} {:<11}  {}{code}", entry.check.id(), plain(&finding.seen))?;
        if matches!(finding.verdict, Verdict::Failed | Verdict::Warning) {
            let fault = finding.fault.map(Fault::words);
            let rows = [
                ("tried", Some(finding.tried.as_str())),
                ("fault", fault),
                ("do", finding.advice.as_deref()),
            ];
            for (name, text) in rows {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    writeln!(out, "    {name:<6} {}", plain(text))?;
                }
            }
        }
        out.flush()
    }

    pub(super) fn end(&self, url: &str, findings: &[Entry]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let verdict = findings.iter().map(|entry| entry.finding.verdict).max().unwrap_or(Verdict::Passed);
            let report = Report { url, version: env!("CARGO_PKG_VERSION"), verdict, findings };
            return writeln!(out, "{}", json(&serde_json::to_string_pretty(&report)?));
        }
        let count = |verdict| findings.iter().filter(|entry| entry.finding.verdict == verdict).count();
        let (failed, warnings) = (count(Verdict::Failed), count(Verdict::Warning));
        let verdict = match (failed, warnings) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, 1) => "Nothing is broken; there is one warning.".to_owned(),
            (0, _) => format!("Nothing is broken; there are {warnings} warnings."),
            (1, _) => "One thing is broken.".to_owned(),
            _ => format!("{failed} things are broken."),
        };
        writeln!(out, "\n{verdict} ({} passed, {} skipped)", count(Verdict::Passed), count(Verdict::Skipped))
    }

    fn sign(&self, verdict: Verdict) -> String {
        if !self.terminal {
            let word = match verdict {
                Verdict::Passed => "ok",
                Verdict::Warning => "warning",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "skipped",
            };
            return format!("{word:<7}");
        }
        let (sign, colour) = match verdict {
            Verdict::Passed => ("✓", 32),
            Verdict::Warning => ("!", 33),
            Verdict::Failed => ("✗", 31),
            Verdict::Skipped => ("-", 2),
        };
        if self.colour { format!("\u{1b}[{colour}m{sign}\u{1b}[0m") } else { sign.to_owned() }
    }
}
