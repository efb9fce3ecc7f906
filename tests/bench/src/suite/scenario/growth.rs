//! What more subscribers, pipelines and files cost the hub. Each step takes turns with the others, and is compared with the
//! first of its kind, round by round.

use std::time::Duration;

use super::Context;
use crate::AnyError;
use crate::suite::event::Shape;
use crate::suite::figures::{self, Spread};
use crate::suite::load::{self, Follow, Outcome, Pace, Plan};
use crate::suite::report::Target;
use crate::suite::server::Kind;

/// With more subscribers: about as many deliveries a second whatever their number.
pub(crate) fn subscribers(context: &mut Context<'_>) -> Result<(), AnyError> {
    let steps: &[(u64, f64)] = if context.quick {
        &[(10, 1_000.0), (1_000, 20.0), (5_000, 4.0)]
    } else {
        &[(10, 1_000.0), (100, 200.0), (1_000, 20.0), (5_000, 4.0)]
    };
    let plans: Vec<_> = steps
        .iter()
        .map(|(count, rate)| (*count, plan(context, Follow::One(*count), *rate, Shape::Custom)))
        .collect();
    let rounds = if context.quick { 1 } else { context.rounds };
    grow(context, "subscribers", rounds, &plans, "CPU µs/delivery", |outcome| outcome.cpu_per_delivery)
        .map(drop)
}

/// With more pipelines: each event goes to one of ten sockets, and each pipeline has one that follows it.
pub(crate) fn pipelines(context: &mut Context<'_>) -> Result<(), AnyError> {
    let counts: &[u64] = if context.quick { &[10, 10_000] } else { &[10, 100, 1_000, 10_000] };
    let plans: Vec<_> = counts
        .iter()
        .map(|count| {
            let follow = Follow::Spread { pipelines: *count, sockets: 10 };
            (*count, plan(context, follow, 1_000.0, Shape::Custom))
        })
        .collect();
    let last =
        grow(context, "pipelines", context.rounds, &plans, "CPU µs/event", |outcome| outcome.cpu_per_event)?;
    let what = "CPU per event, 10,000 pipelines / 10, one subscriber each".to_owned();
    context.target(Target::at_most(what, 1.2, "×"), Spread::of(last));
    Ok(())
}

/// With more open files of one pipeline, whose events go to ten.
pub(crate) fn files(context: &mut Context<'_>) -> Result<(), AnyError> {
    let counts: &[u64] = if context.quick { &[10, 10_000] } else { &[10, 100, 1_000, 10_000] };
    let plans: Vec<_> = counts
        .iter()
        .map(|count| (*count, plan(context, Follow::One(10), 1_000.0, Shape::Files(*count))))
        .collect();
    let rounds = if context.quick { 1 } else { context.rounds };
    grow(context, "open files", rounds, &plans, "CPU µs/event", |outcome| outcome.cpu_per_event).map(drop)
}

fn plan(context: &Context<'_>, follow: Follow, rate: f64, shape: Shape) -> Plan {
    let warm = context.length(Duration::from_secs(1), Duration::from_millis(400));
    let window = context.length(Duration::from_secs(6), Duration::from_millis(1_200));
    Plan { follow, pace: Pace::Rate(rate), shape, warm, window }
}

/// Runs the steps in turns, tells them, and gives the ratios of the last to the first.
fn grow(
    context: &mut Context<'_>,
    what: &str,
    rounds: usize,
    plans: &[(u64, Plan)],
    unit: &str,
    cost: impl Fn(&Outcome) -> f64,
) -> Result<Vec<f64>, AnyError> {
    // Those that have no target are only looked at where it has to be quick.
    let once = if rounds < context.rounds { ", one round" } else { "" };
    let title = format!("growth with {what}{once}");
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); plans.len()];
    for round in 0..rounds {
        for at in 0..plans.len() {
            let at = (at + round) % plans.len();
            let (count, plan) = &plans[at];
            context.tell(&title, round, &format!("{} {what}", figures::whole(*count)));
            let server = context.programs.start(Kind::Hub)?;
            outcomes[at].push(load::run(plan, &server, &server, &[&server], &context.programs.cores)?);
        }
    }
    let mut rows = Vec::new();
    let first: Vec<f64> = outcomes.first().into_iter().flatten().map(&cost).collect();
    let mut last = Vec::new();
    for ((count, _), outcomes) in plans.iter().zip(&outcomes) {
        context.check(&format!("{title}: {}", figures::whole(*count)), Kind::Hub, outcomes);
        let costs: Vec<f64> = outcomes.iter().map(&cost).collect();
        last = figures::ratios(&costs, &first);
        let cells = [
            Spread::of(costs),
            Spread::of(last.iter().copied()),
            Spread::of(outcomes.iter().map(|outcome| outcome.p99)),
            Spread::of(outcomes.iter().map(|outcome| outcome.rate)),
        ];
        rows.push((figures::whole(*count), cells.to_vec()));
    }
    context.rows(&title, &[what, unit, "× the first", "p99 ms", "events/s"], rows);
    Ok(last)
}
