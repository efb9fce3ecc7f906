//! The most that a server delivers: events as fast as they arrive, with 32 of them under way, so that no buffer of a plain
//! relay overflows and nobody is measured while it loses.

use std::time::Duration;

use super::Context;
use crate::AnyError;
use crate::suite::event::Shape;
use crate::suite::load::{self, Follow, Pace, Plan};
use crate::suite::report::Column;

const UNDER_WAY: u64 = 32;

/// Runs it with 1,000 subscribers.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = format!("saturation: 1,000 subscribers, {UNDER_WAY} events under way");
    let plan = Plan {
        follow: Follow::One(1_000),
        pace: Pace::UnderWay(UNDER_WAY),
        shape: Shape::Custom,
        warm: context.length(Duration::from_secs(1), Duration::from_millis(300)),
        window: context.length(Duration::from_secs(5), Duration::from_secs(1)),
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
            Column::new("deliveries/s", |outcome| outcome.deliveries_per_second),
            Column::new("CPU µs/delivery", |outcome| outcome.cpu_per_delivery),
            Column::new("p50 ms", |outcome| outcome.p50),
            Column::new("p99 ms", |outcome| outcome.p99),
            Column::new("events/s", |outcome| outcome.rate),
        ],
        &results,
    );
    Ok(())
}
