//! One of several hubs is killed at random moments, while every connection misbehaves and each new one may go to another
//! hub: nobody may notice more than a cut.

use std::sync::Arc;
use std::time::Duration;

use super::stage::{Stage, pipelines};
use super::{Order, cast};
use crate::proxy::Lane;
use crate::run::{AnyError, Run, millis};
use crate::table::{Table, percentile};

const LABEL: &str = "nodes";
/// How long all hubs live, in milliseconds, and how long one is dead.
const LIVE: std::ops::RangeInclusive<u64> = 150..=1_800;
const DEAD: std::ops::RangeInclusive<u64> = 0..=1_200;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kills = order.scaled(60.0, 4.0).ceil() as u32;
    let mut stage = Stage::set(order, run).await?;
    let pipelines = pipelines(3)?;
    let cast = cast::enter(&stage, &pipelines, order.either(40, 8)).await?;
    let mut rng = run.rng(LABEL);
    let (mut killed, mut stops, mut moves, mut starts) = (0, 0, 0, Vec::new());
    while killed < kills && !run.has_failed() {
        tokio::time::sleep(millis(&mut rng, LIVE)).await;
        let hub = stage.hubs.one(rng.usize(0..usize::from(order.plan.hubs)))?;
        match rng.u32(0..10) {
            0 | 1 => {
                // Everybody at once moves, and nobody is killed.
                cast.lanes.iter().for_each(Lane::cut);
                moves += 1;
                continue;
            }
            2 => {
                hub.terminate(Duration::from_secs(15)).await?;
                stops += 1;
            }
            _ => {
                hub.kill().await?;
                killed += 1;
            }
        }
        tokio::time::sleep(millis(&mut rng, DEAD)).await;
        if rng.u32(0..6) == 0 {
            hub.die_starting(millis(&mut rng, 0..=60)).await?;
            killed += 1;
        }
        starts.push(hub.restart().await?.as_secs_f64() * 1_000.0);
        stage.hubs.live()?;
    }

    let outcome = cast.finish(&stage, &pipelines).await?;
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("SIGKILLs of one hub; orderly stops between", format!("{killed}; {stops}"));
    row("times everybody moved at once", moves.to_string());
    let (median, most) = (percentile(&starts, 50.0), percentile(&starts, 100.0));
    row("it serves again after, median; most", format!("{median:.0} ms; {most:.0} ms"));
    outcome.tell(table, LABEL);
    Ok(())
}
