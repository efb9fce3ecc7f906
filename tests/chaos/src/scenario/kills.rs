//! SIGKILL at random moments under load, while every connection misbehaves: nothing that was acknowledged may be lost or
//! doubled, and everybody must be whole in the end.

use std::sync::Arc;
use std::time::Duration;

use super::stage::{Stage, pipelines};
use super::{Order, cast};
use crate::proxy::{Down, Lane};
use crate::run::{AnyError, Run, millis};
use crate::table::{Table, percentile};

const LABEL: &str = "kills";
/// How long a hub lives, in milliseconds, and how long it is dead.
const LIVES: std::ops::RangeInclusive<u64> = 150..=2_200;
const DEAD: std::ops::RangeInclusive<u64> = 0..=400;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kills = order.scaled(100.0, 4.0).ceil() as u32;
    let sockets = order.either(40, 10);
    let mut stage = Stage::set(order, run).await?;
    let pipelines = pipelines(3)?;
    let cast = cast::enter(&stage, &pipelines, sockets).await?;
    let mut rng = run.rng(LABEL);
    let (mut stops, mut starts) = (0, Vec::new());
    tokio::time::sleep(Duration::from_millis(300)).await;
    while stage.hubs.kills() < kills && !run.has_failed() {
        tokio::time::sleep(millis(&mut rng, LIVES)).await;
        match rng.u32(0..12) {
            0 => {
                // An orderly stop among the crashes.
                stage.hubs.terminate(Duration::from_secs(15)).await?;
                stops += 1;
            }
            1 => {
                let how = if rng.bool() { Down::Refuse } else { Down::Swallow };
                cast.lanes.iter().for_each(|lane| lane.down(how));
                tokio::time::sleep(millis(&mut rng, 100..=1_500)).await;
                cast.lanes.iter().for_each(Lane::up);
                continue;
            }
            2 => {
                // Everybody at once comes back, to a hub that lives.
                cast.lanes.iter().for_each(Lane::cut);
                continue;
            }
            _ => stage.hubs.kill().await?,
        }
        tokio::time::sleep(millis(&mut rng, DEAD)).await;
        if rng.u32(0..6) == 0 {
            stage.hubs.die_starting(millis(&mut rng, 0..=60)).await?;
        }
        starts.push(stage.hubs.restart().await?.as_secs_f64() * 1_000.0);
    }

    let outcome = cast.finish(&stage, &pipelines).await?;
    table.add(LABEL, "SIGKILLs; orderly stops between", format!("{}; {stops}", stage.hubs.kills()));
    let (median, most) = (percentile(&starts, 50.0), percentile(&starts, 100.0));
    table.add(LABEL, "hub serves again after, median; most", format!("{median:.0} ms; {most:.0} ms"));
    outcome.tell(table, LABEL);
    Ok(())
}
