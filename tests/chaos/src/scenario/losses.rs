//! Redis writes to the disk once a second, and loses what it had not written: what was on the disk stays, everybody is told of new
//! epochs, and no hub shows what the log has no more.

use std::sync::Arc;

use super::Order;
use super::outage::Outage;
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "losses";
/// How long Redis lives before and after its file is known, in milliseconds, and how long it is dead.
const LIVES: std::ops::RangeInclusive<u64> = 300..=3_000;
const UNWRITTEN: std::ops::RangeInclusive<u64> = 0..=1_000;
const DEAD: std::ops::RangeInclusive<u64> = 0..=2_000;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let losses = order.scaled(12.0, 2.0).ceil() as u32;
    let mut outage = Outage::set(order, run, LABEL).await?;
    for _ in 0..losses {
        tokio::time::sleep(millis(&mut outage.rng, LIVES)).await;
        let mut epochs = Vec::new();
        for pipeline in &outage.pipelines {
            let head = outage.stage.hubs.redis()?.head(pipeline).await?;
            epochs.extend(head.map(|(epoch, _)| (pipeline, epoch)));
        }
        let acks = outage.stage.oracle.acks();
        let keep = outage.stage.hubs.redis()?.written().await?;
        epochs.iter().for_each(|(pipeline, epoch)| outage.stage.oracle.secure(pipeline, epoch, acks));
        tokio::time::sleep(millis(&mut outage.rng, UNWRITTEN)).await;
        outage.stage.oracle.loses_end();
        outage.stage.hubs.redis()?.lose_power(keep, &mut outage.rng).await?;
        tokio::time::sleep(millis(&mut outage.rng, DEAD)).await;
        outage.stage.hubs.redis()?.restart().await?;
        outage.over().await?;
        outage.stage.follows_the_log(&outage.pipelines).await?;
        if run.has_failed() {
            break;
        }
    }

    let done = ("losses of power under Redis", outage.times().to_string());
    outage.finish(table, done, " answers", None).await
}
