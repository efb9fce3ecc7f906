//! Redis is killed and started again, and had written each event to the disk before it acknowledged it: hubs stay up, and the
//! same sequences go on without loss.

use std::sync::Arc;

use super::Order;
use super::outage::Outage;
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "restarts";
/// How long Redis lives, in milliseconds, and how long it is dead.
const LIVES: std::ops::RangeInclusive<u64> = 300..=4_000;
const DEAD: std::ops::RangeInclusive<u64> = 0..=3_000;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kills = order.scaled(15.0, 2.0).ceil() as u32;
    let mut outage = Outage::set(order, run, LABEL).await?;
    for _ in 0..kills {
        tokio::time::sleep(millis(&mut outage.rng, LIVES)).await;
        outage.stage.hubs.redis()?.kill().await?;
        tokio::time::sleep(millis(&mut outage.rng, DEAD)).await;
        outage.stage.hubs.redis()?.restart().await?;
        outage.over().await?;
        outage.stage.follows_the_log(&outage.pipelines).await?;
        if run.has_failed() {
            break;
        }
    }

    let done = ("SIGKILLs of Redis", outage.times().to_string());
    outage.finish(table, done, " answers", None).await
}
