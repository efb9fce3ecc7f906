//! The scenarios: each sets a stage, lets things go wrong on it, and waits for the quiet in which everything must be
//! whole.

mod avalanche;
mod cast;
mod cutoff;
mod flushed;
mod frozen;
mod ingest;
mod jitter;
mod kills;
mod leases;
mod losses;
mod nodes;
mod outage;
mod probe;
mod restarts;
mod shutdown;
mod sleepers;
mod stage;
mod stalled;

use std::time::{Instant, SystemTime};

use crate::hubs::Plan;
use crate::options::{Fsync, Name, Options, StoreKind};
use crate::run::{AnyError, Failure, Run};
use crate::table::Table;

/// What a scenario is told.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) options: Options,
    pub(crate) seed: u64,
    /// What this scenario runs on.
    pub(crate) plan: Plan,
}

/// Seed of the short form where none is given: the same for everybody.
const SHORT_SEED: u64 = 1;

impl Order {
    fn new(options: &Options, seed: u64, scenario: &Scenario) -> Self {
        let (store, hubs) = match scenario.about {
            About::Hub => (StoreKind::Sqlite, 1),
            About::Redis(_) | About::Hubs => (StoreKind::Redis, 2),
        };
        let fsync = match scenario.about {
            About::Redis(Some(fsync)) => fsync,
            _ => options.appendfsync,
        };
        let plan = Plan {
            store: options.store.unwrap_or(store),
            hubs: options.hubs.unwrap_or(hubs),
            fsync,
            durability: options.durability.clone(),
            apart: false,
        };
        Self { options: options.clone(), seed, plan }
    }

    /// A number of the full form at three minutes, scaled by the minutes asked for; in the short form another number.
    pub(crate) fn scaled(&self, full: f64, short: f64) -> f64 {
        if self.options.short { short } else { full * self.options.minutes / 3.0 }
    }

    pub(crate) fn either<T>(&self, full: T, short: T) -> T {
        if self.options.short { short } else { full }
    }

    /// What repeats a scenario.
    fn command(&self, name: &str) -> String {
        let options = &self.options;
        let length =
            if options.short { "--short".to_owned() } else { format!("--minutes {}", options.minutes) };
        let mut command = format!("cargo xtask chaos {length} --seed {} --only {name}", self.seed);
        if let Some(store) = options.store {
            command.push_str(&format!(" --store {}", format!("{store:?}").to_lowercase()));
        }
        if let Some(hubs) = options.hubs {
            command.push_str(&format!(" --hubs {hubs}"));
        }
        if options.appendfsync == Fsync::Everysec {
            command.push_str(" --appendfsync everysec");
        }
        command
    }
}

/// What a scenario is about, and so what it can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// A hub, whatever its store.
    Hub,
    /// Redis, and when it waits for the disk, where that matters.
    Redis(Option<Fsync>),
    /// Several hubs.
    Hubs,
}

/// One row of the list of scenarios.
struct Scenario {
    name: Name,
    label: &'static str,
    about: About,
}

const fn row(name: Name, label: &'static str, about: About) -> Scenario {
    Scenario { name, label, about }
}

const ALL: &[Scenario] = &[
    row(Name::Kills, "kills", About::Hub),
    row(Name::Jitter, "jitter", About::Hub),
    row(Name::Avalanche, "avalanche", About::Hub),
    row(Name::Sleepers, "sleepers", About::Hub),
    row(Name::Stalled, "stalled", About::Hub),
    row(Name::Shutdown, "shutdown", About::Hub),
    row(Name::Ingest, "ingest", About::Hub),
    row(Name::Nodes, "nodes", About::Hubs),
    row(Name::Restarts, "restarts", About::Redis(Some(Fsync::Always))),
    row(Name::Losses, "losses", About::Redis(Some(Fsync::Everysec))),
    row(Name::Frozen, "frozen", About::Redis(None)),
    row(Name::Flushed, "flushed", About::Redis(None)),
    row(Name::Cutoff, "cutoff", About::Hubs),
    row(Name::Leases, "leases", About::Hubs),
];

impl Scenario {
    /// Why it cannot run on what the options say, where it cannot.
    fn refuses(&self, options: &Options) -> Option<&'static str> {
        let plan = Order::new(options, 0, self).plan;
        match (self.about, plan.store, plan.hubs) {
            (About::Redis(_) | About::Hubs, StoreKind::Memory | StoreKind::Sqlite, _) => {
                Some("it needs --store redis")
            }
            (_, StoreKind::Memory | StoreKind::Sqlite, 2..) => {
                Some("several hubs need a store that they share: --store redis")
            }
            (About::Hubs, _, ..2) => Some("it needs --hubs 2 or more"),
            _ => None,
        }
    }

    /// Whether it may go beside others in the short form: it mostly waits.
    fn waits(&self) -> bool {
        use Name::{Cutoff, Frozen, Kills, Leases, Nodes, Restarts, Shutdown};
        matches!(self.name, Kills | Shutdown | Nodes | Restarts | Frozen | Cutoff | Leases)
    }
}

pub(crate) async fn run_all(options: Options) -> Result<bool, AnyError> {
    let by_clock = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    };
    let seed = options.seed.unwrap_or_else(|| if options.short { SHORT_SEED } else { by_clock() });
    println!("chaos: seed {seed}, {}", options.bin.display());
    let mut wanted = Vec::new();
    for scenario in ALL.iter().filter(|one| options.only.is_empty() || options.only.contains(&one.name)) {
        match scenario.refuses(&options) {
            None => wanted.push((scenario, Order::new(&options, seed, scenario))),
            Some(why) if options.only.is_empty() => println!("chaos: {} is left out: {why}", scenario.label),
            Some(why) => return Err(format!("--only {}: {why}", scenario.label).into()),
        }
    }
    // What mostly waits may go beside what mostly works. Where speeds are measured, everything is alone.
    let (waits, works): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|(scenario, _)| options.short && scenario.waits());
    let (first, second) = tokio::join!(in_turn(&waits), in_turn(&works));
    println!("\n{}{}", first.0, second.0);
    Ok(first.1 && second.1)
}

/// Runs scenarios one after another; the numbers, and whether every promise was kept.
async fn in_turn(scenarios: &[(&Scenario, Order)]) -> (Table, bool) {
    let (mut table, mut good) = (Table::default(), true);
    for (scenario, order) in scenarios {
        let label = scenario.label;
        let begun = Instant::now();
        let run = Run::new(order.seed);
        table.add(label, "store; hubs", order.plan.to_string());
        let result = match scenario.name {
            Name::Kills => kills::run(order, &run, &mut table).await,
            Name::Jitter => jitter::run(order, &run, &mut table).await,
            Name::Avalanche => avalanche::run(order, &run, &mut table).await,
            Name::Sleepers => sleepers::run(order, &run, &mut table).await,
            Name::Stalled => stalled::run(order, &run, &mut table).await,
            Name::Shutdown => shutdown::run(order, &run, &mut table).await,
            Name::Ingest => ingest::run(order, &run, &mut table).await,
            Name::Nodes => nodes::run(order, &run, &mut table).await,
            Name::Restarts => restarts::run(order, &run, &mut table).await,
            Name::Losses => losses::run(order, &run, &mut table).await,
            Name::Frozen => frozen::run(order, &run, &mut table).await,
            Name::Flushed => flushed::run(order, &run, &mut table).await,
            Name::Cutoff => cutoff::run(order, &run, &mut table).await,
            Name::Leases => leases::run(order, &run, &mut table).await,
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
