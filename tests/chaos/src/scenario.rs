//! The scenarios: each sets a stage, lets things go wrong on it, and waits for the quiet in which everything must be
//! whole.

mod avalanche;
mod ingest;
mod jitter;
mod kills;
mod shutdown;
mod sleepers;
mod stage;
mod stalled;

use std::time::{Instant, SystemTime};

use crate::hub::Store;
use crate::options::{Name, Options, StoreKind};
use crate::run::{AnyError, Failure, Run};
use crate::table::Table;

/// What a scenario is told.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) options: Options,
    pub(crate) seed: u64,
}

/// Seed of the short form where none is given: the same for everybody.
const SHORT_SEED: u64 = 1;

impl Order {
    /// A number of the full form at three minutes, scaled by the minutes asked for; in the short form another number.
    pub(crate) fn scaled(&self, full: f64, short: f64) -> f64 {
        if self.options.short { short } else { full * self.options.minutes / 3.0 }
    }

    pub(crate) fn either<T>(&self, full: T, short: T) -> T {
        if self.options.short { short } else { full }
    }

    fn store(&self, folder: &std::path::Path) -> Store {
        match self.options.store {
            StoreKind::Memory => Store::Memory,
            StoreKind::Sqlite => Store::Sqlite(folder.join("hub.sqlite"), self.options.durability.clone()),
        }
    }

    /// What repeats a scenario.
    fn command(&self, name: &str) -> String {
        let options = &self.options;
        let length =
            if options.short { "--short".to_owned() } else { format!("--minutes {}", options.minutes) };
        let store = match options.store {
            StoreKind::Memory => " --store memory",
            StoreKind::Sqlite => "",
        };
        format!("cargo xtask chaos {length} --seed {} --only {name}{store}", self.seed)
    }
}

const ALL: &[(Name, &str)] = &[
    (Name::Kills, "kills"),
    (Name::Jitter, "jitter"),
    (Name::Avalanche, "avalanche"),
    (Name::Sleepers, "sleepers"),
    (Name::Stalled, "stalled"),
    (Name::Shutdown, "shutdown"),
    (Name::Ingest, "ingest"),
];

pub(crate) async fn run_all(options: Options) -> Result<bool, AnyError> {
    let by_clock = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    };
    let seed = options.seed.unwrap_or_else(|| if options.short { SHORT_SEED } else { by_clock() });
    println!("chaos: seed {seed}, {}", options.bin.display());
    let order = Order { options, seed };
    let wanted =
        ALL.iter().filter(|(name, _)| order.options.only.is_empty() || order.options.only.contains(name));
    // What mostly waits may go beside what mostly works. Where speeds are measured, everything is alone.
    let (waits, works): (Vec<_>, Vec<_>) =
        wanted.partition(|(name, _)| order.options.short && matches!(name, Name::Kills | Name::Shutdown));
    let (first, second) = tokio::join!(in_turn(&order, &waits), in_turn(&order, &works));
    println!("\n{}{}", first.0, second.0);
    Ok(first.1 && second.1)
}

/// Runs scenarios one after another; the numbers, and whether every promise was kept.
async fn in_turn(order: &Order, scenarios: &[&(Name, &str)]) -> (Table, bool) {
    let (mut table, mut good) = (Table::default(), true);
    for (name, label) in scenarios {
        let begun = Instant::now();
        let run = Run::new(order.seed);
        let result = match name {
            Name::Kills => kills::run(order, &run, &mut table).await,
            Name::Jitter => jitter::run(order, &run, &mut table).await,
            Name::Avalanche => avalanche::run(order, &run, &mut table).await,
            Name::Sleepers => sleepers::run(order, &run, &mut table).await,
            Name::Stalled => stalled::run(order, &run, &mut table).await,
            Name::Shutdown => shutdown::run(order, &run, &mut table).await,
            Name::Ingest => ingest::run(order, &run, &mut table).await,
        };
        let failures = run.failures();
        tell(label, order, &failures);
        if let Err(error) = &result {
            println!("chaos: {label} could not be run to its end: {error}");
            println!("    again: {}", order.command(label));
        }
        let whole = result.is_ok() && failures.is_empty();
        let verdict = if whole { "ok" } else { "FAILED" };
        println!("chaos: {label} {verdict} in {:.1} s", begun.elapsed().as_secs_f64());
        good &= whole;
    }
    (table, good)
}

/// How many failures are told in full.
const IN_FULL: usize = 3;

fn tell(label: &str, order: &Order, failures: &[Failure]) {
    for failure in failures.iter().take(IN_FULL) {
        println!("\nFAILURE in {label}, seed {}: {}: {}", order.seed, failure.who, failure.what);
        failure.history.iter().for_each(|line| println!("    {line}"));
        println!("    again: {}", order.command(label));
    }
    for failure in failures.iter().skip(IN_FULL) {
        println!("FAILURE in {label}: {}: {}", failure.who, failure.what);
    }
}
