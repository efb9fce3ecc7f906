//! Tables and targets, for the terminal and for docs/benchmarks.md.
//!
//! *What it never does:* call a target held that is not, or leave out what was lost.

use std::fmt::Write;

use super::figures::{Spread, confidence, short};
use super::load::Outcome;

/// A figure of an outcome.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Outcome) -> f64,
}

impl Column {
    pub(crate) fn new(name: &'static str, of: fn(&Outcome) -> f64) -> Self {
        Self { name, of }
    }
}

/// What is to hold.
pub(crate) struct Target {
    what: String,
    limit: f64,
    at_most: bool,
    unit: &'static str,
    /// Whether it is one that must hold; otherwise it is told for comparison.
    asked: bool,
}

impl Target {
    pub(crate) fn at_most(what: String, limit: f64, unit: &'static str) -> Self {
        Self { what, limit, at_most: true, unit, asked: true }
    }

    pub(crate) fn at_least(what: String, limit: f64, unit: &'static str) -> Self {
        Self { at_most: false, ..Self::at_most(what, limit, unit) }
    }

    pub(crate) fn asked(self, asked: bool) -> Self {
        Self { asked, ..self }
    }

    /// Whether it holds, in words: by the median; `, barely` where the interval says otherwise at one of its ends.
    fn holds(&self, measured: &Spread) -> String {
        let within = |value: f64| if self.at_most { value <= self.limit } else { value >= self.limit };
        let holds = within(measured.median);
        let sure = within(measured.low) == holds && within(measured.high) == holds;
        let word = if holds { "yes" } else { "NO" };
        let unsure = if sure { "" } else { ", not sure" };
        if self.asked { format!("{word}{unsure}") } else { format!("({}{unsure})", word.to_lowercase()) }
    }
}

struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// All that was found out.
pub(crate) struct Report {
    rounds: usize,
    tables: Vec<Table>,
    targets: Vec<Vec<String>>,
    failures: Vec<String>,
    remarks: Vec<String>,
    busy: Vec<String>,
}

const TARGETS: [&str; 4] = ["target", "measured", "wanted", "holds"];

impl Report {
    pub(crate) fn new(rounds: usize) -> Self {
        let none = Vec::new;
        Self { rounds, tables: vec![], targets: vec![], failures: none(), remarks: none(), busy: none() }
    }

    /// Takes a table, and prints it.
    pub(crate) fn table(&mut self, title: &str, columns: &[&str], rows: Vec<(String, Vec<Option<Spread>>)>) {
        let rows = rows.into_iter().map(|(name, cells)| {
            let mut row = vec![name];
            row.extend(cells.into_iter().map(cell));
            row
        });
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        let table = Table { title: title.to_owned(), columns, rows: rows.collect() };
        println!("\n{}\n{}", table.title, aligned(&table.columns, &table.rows));
        self.tables.push(table);
    }

    pub(crate) fn target(&mut self, target: Target, measured: Option<Spread>) {
        let sign = if target.at_most { "≤" } else { "≥" };
        let wanted = format!("{sign} {}{}", short(target.limit), target.unit);
        let holds =
            measured.as_ref().map_or_else(|| "not measured".to_owned(), |measured| target.holds(measured));
        let measured = format!("{}{}", cell(measured), target.unit);
        self.targets.push(vec![target.what, measured, wanted, holds]);
    }

    /// The hub broke a promise.
    pub(crate) fn failure(&mut self, line: String) {
        println!("FAILURE: {line}");
        self.failures.push(line);
    }

    /// Another server lost something: that is told, and no failure.
    pub(crate) fn remark(&mut self, line: String) {
        println!("note: {line}");
        self.remarks.push(line);
    }

    /// A run in which the generator may have been what was measured.
    pub(crate) fn busy(&mut self, title: &str, who: &str, generator: f64) {
        let line = format!(
            "{title}, {who}: the generator was {:.0} % busy; take no figure of it for the server's",
            generator * 100.0
        );
        println!("note: {line}");
        self.busy.push(line);
    }

    /// Prints the targets, and says whether nothing was lost.
    pub(crate) fn finish(&self) -> bool {
        let columns: Vec<String> = TARGETS.iter().map(|&name| name.to_owned()).collect();
        println!("\n{}", aligned(&columns, &self.targets));
        println!("{}", self.legend());
        for failure in &self.failures {
            println!("FAILURE: {failure}");
        }
        if self.failures.is_empty() {
            println!("The hub lost nothing, doubled nothing and swapped nothing.");
        }
        self.failures.is_empty()
    }

    fn legend(&self) -> String {
        format!(
            "Medians of {} in turns, and in brackets the interval of the median by order statistics ({:.1} % sure). \
             Ratios are formed round by round. \"not sure\": the target lies in the interval. In brackets: told for comparison.",
            if self.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", self.rounds) },
            confidence(self.rounds) * 100.0
        )
    }

    /// The whole as a page.
    pub(crate) fn markdown(&self, machine: &[String], how: &str) -> String {
        let mut text = format!("{how}\n## This run\n\n");
        for line in machine {
            let _ = writeln!(text, "- {line}");
        }
        let _ = writeln!(text, "- {}", self.legend());
        text.push_str("\n## Targets\n\n");
        let columns: Vec<String> = TARGETS.iter().map(|&name| name.to_owned()).collect();
        text.push_str(&piped(&columns, &self.targets));
        for table in &self.tables {
            let mut title = table.title.clone();
            if let Some(first) = title.get(..1).map(str::to_uppercase) {
                title.replace_range(..1, &first);
            }
            let _ = write!(text, "\n## {title}\n\n{}", piped(&table.columns, &table.rows));
        }
        text.push_str("\n## What was lost\n\n");
        if self.failures.is_empty() {
            text.push_str("By the hub: nothing, in no run; nothing doubled, nothing swapped.\n");
        }
        let mut marked = self.failures.iter().chain(&self.remarks).chain(&self.busy).peekable();
        if marked.peek().is_some() {
            text.push('\n');
        }
        for line in marked {
            let _ = writeln!(text, "- {line}");
        }
        text
    }
}

fn cell(spread: Option<Spread>) -> String {
    match spread {
        None => "–".to_owned(),
        Some(spread) => format!("{} [{}, {}]", short(spread.median), short(spread.low), short(spread.high)),
    }
}

/// A table for a terminal.
fn aligned(columns: &[String], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).chain(columns.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &[String]| {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(at, cell)| {
                let space = " ".repeat(width(at).saturating_sub(cell.chars().count()));
                if at == 0 { format!("{cell}{space}") } else { format!("{space}{cell}") }
            })
            .collect();
        format!("  {}", cells.join("  ").trim_end())
    };
    std::iter::once(line(columns)).chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n")
}

/// A table for a page.
fn piped(columns: &[String], rows: &[Vec<String>]) -> String {
    let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
    let rule: Vec<String> =
        columns.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "--:" }.to_owned()).collect();
    let mut text = line(columns) + &line(&rule);
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(low: f64, median: f64, high: f64) -> Spread {
        Spread { median, low, high }
    }

    #[test]
    fn a_target_holds_by_its_median_and_is_not_sure_where_the_interval_goes_past_it() {
        let most = || Target::at_most("a".to_owned(), 1.1, "×");
        assert_eq!(most().holds(&spread(0.9, 1.0, 1.05)), "yes");
        assert_eq!(most().holds(&spread(0.9, 1.0, 1.2)), "yes, not sure");
        assert_eq!(most().holds(&spread(1.0, 1.2, 1.3)), "NO, not sure");
        let least = Target::at_least("a".to_owned(), 20.0, "×");
        assert_eq!(least.holds(&spread(18.0, 19.0, 19.5)), "NO");
        assert_eq!(most().asked(false).holds(&spread(1.2, 1.3, 1.4)), "(no)");
    }

    #[test]
    fn the_page_has_targets_tables_and_what_was_lost() {
        let mut report = Report::new(7);
        report.table(
            "some load",
            &["server", "ms"],
            vec![("hub".to_owned(), vec![Some(spread(1.0, 2.0, 3.0)), None])],
        );
        report.target(Target::at_most("a".to_owned(), 1.1, "×"), Some(spread(0.9, 1.0, 1.05)));
        report.failure("two lost".to_owned());
        assert!(!report.finish());
        let page = report.markdown(&["2 cores".to_owned()], "# Benchmarks\n");
        for part in [
            "- 2 cores",
            "98.4 %",
            "| a | 1.00 [0.90, 1.05]× | ≤ 1.10× | yes |",
            "## Some load",
            "- two lost",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("nothing, in no run"));
    }
}
