//! Redis is killed and started again, and had written each event to the disk before it acknowledged it: hubs stay up, and the
//! same sequences go on without loss.

use std::sync::Arc;

use super::probe::Probe;
use super::stage::{Stage, pipelines};
use super::{Order, cast};
use crate::run::{AnyError, Run, millis};
use crate::table::{Table, percentile};

const LABEL: &str = "restarts";
/// How long Redis lives, in milliseconds, and how long it is dead.
const LIVES: std::ops::RangeInclusive<u64> = 300..=4_000;
const DEAD: std::ops::RangeInclusive<u64> = 0..=3_000;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kills = order.scaled(15.0, 2.0).ceil() as u32;
    let mut stage = Stage::set(order, run).await?;
    let pipelines = pipelines(3)?;
    let probes = Probe::each(&stage)?;
    let cast = cast::enter(&stage, &pipelines, order.either(30, 6)).await?;
    stage.opened(&pipelines).await?;
    let mut rng = run.rng(LABEL);
    let mut resumed = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(millis(&mut rng, LIVES)).await;
        stage.hubs.redis()?.kill().await?;
        tokio::time::sleep(millis(&mut rng, DEAD)).await;
        stage.hubs.redis()?.restart().await?;
        resumed.push(Probe::all_take(&probes).await?.as_secs_f64() * 1_000.0);
        stage.hubs.live()?;
        stage.follows_the_log(&pipelines).await?;
        if run.has_failed() {
            break;
        }
    }

    let outcome = cast.finish(&stage, &pipelines).await?;
    table.add(LABEL, "SIGKILLs of Redis", resumed.len().to_string());
    let (median, most) = (percentile(&resumed, 50.0), percentile(&resumed, 100.0));
    table.add(
        LABEL,
        "hubs take events after it answers, median; most",
        format!("{median:.0} ms; {most:.0} ms"),
    );
    outcome.tell(table, LABEL);
    Ok(())
}
