//! Steady loads on all four servers: what a delivery costs, and how late it is.

use std::time::Duration;

use super::Context;
use crate::AnyError;
use crate::suite::event::Shape;
use crate::suite::figures::whole;
use crate::suite::load::{self, Follow, Pace, Plan};
use crate::suite::report::{Column, Target};
use crate::suite::server::Kind;

/// Subscribers and events a second.
const LOADS: [(u64, u32); 3] = [(1_000, 20), (100, 1_000), (1_000, 100)];

/// Runs the three loads.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    for (subscribers, rate) in LOADS {
        let title = format!("{} subscribers × {} events/s", whole(subscribers), whole(u64::from(rate)));
        let plan = Plan {
            follow: Follow::One(subscribers),
            pace: Pace::Rate(f64::from(rate)),
            shape: Shape::Custom,
            warm: context.length(Duration::from_secs(2), Duration::from_millis(400)),
            window: context.length(Duration::from_secs(8), Duration::from_millis(1_250)),
        };
        let results = context.interleaved(&title, |context, kind| {
            let server = context.programs.start(kind)?;
            load::run(&plan, &server, &server, &[&server], &context.programs.cores)
        })?;
        for (kind, outcomes) in &results {
            context.check(&title, *kind, outcomes);
        }
        context.table(
            &title,
            &[
                Column::new("CPU µs/delivery", |outcome| outcome.cpu_per_delivery),
                Column::new("p50 ms", |outcome| outcome.p50),
                Column::new("p99 ms", |outcome| outcome.p99),
                Column::new("p99.9 ms", |outcome| outcome.p999),
                Column::new("events/s", |outcome| outcome.rate),
                Column::new("bytes", |outcome| outcome.bytes_per_delivery),
            ],
            &results,
        );
        // The numbers are for the first two; the third is told beside them.
        let asked = (subscribers, rate) != (1_000, 100);
        for (peer, most) in [(Kind::Plain, 1.10), (Kind::Node, 0.65), (Kind::Python, 0.20)] {
            let what = format!("CPU per delivery, hub / {}, at {title}", peer.name());
            context.ratio(Target::at_most(what, most, "×").asked(asked), &results, peer, |outcome| {
                outcome.cpu_per_delivery
            });
        }
        let what = format!("p99, hub / {}, at {title}", Kind::Plain.name());
        context.ratio(Target::at_most(what, 1.3, "×").asked(asked), &results, Kind::Plain, |outcome| {
            outcome.p99
        });
    }
    Ok(())
}
