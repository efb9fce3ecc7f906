//! Reporters of one pipeline come by several hubs, and die one after the other, while a hub stands still, and another time
//! is killed: what is declared lost is declared once, by one clock, and never of one that is heard by any hub.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::{FileState, PipelineId, PipelineStatus};

use super::Order;
use super::stage::Stage;
use crate::client::{self, Client};
use crate::oracle::Log;
use crate::proxy::{Act, Faults, Lane};
use crate::report::workload::Workload;
use crate::report::{self, Pace, Reporting};
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "leases";
/// How long a hub may take to notice the end of a lease on a machine that has much to do.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

/// What the log of a round tells.
#[derive(Debug, Default)]
struct Ends {
    offline: u64,
    interrupted: u64,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounds = order.scaled(6.0, 1.0).ceil() as usize;
    let lease = order.either(4, 3);
    let mut stage = Stage::set(order, run).await?;
    let mut sum = Ends::default();
    let mut clients = Vec::new();
    let mut logs = Vec::new();
    for round in 1..=rounds {
        let pipeline = PipelineId::new(format!("leases-{round}"))?;
        let setup = stage.setup();
        let (name, address) = (format!("subscriber {round}"), stage.hubs.address());
        clients.push(client::socket::start(
            &setup,
            &name,
            address,
            None,
            &pipeline,
            client::socket::Options::default(),
        ));
        one_by_one(&mut stage, &pipeline, round, lease).await?;
        let log = stage.logs(std::slice::from_ref(&pipeline)).await?.remove(0);
        let ends = check(&stage, &log);
        (sum.offline, sum.interrupted) = (sum.offline + ends.offline, sum.interrupted + ends.interrupted);
        logs.push(log);
        if run.has_failed() {
            break;
        }
    }
    stage.quiet();
    let stuck = stage.whole(&clients, &logs).await;
    let findings = stage.judge(&clients, &logs, &[]);
    stage.end();
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("rounds of three reporters that die; lease", format!("{}; {lease} s", logs.len()));
    row("pipelines declared offline; files interrupted", format!("{}; {}", sum.offline, sum.interrupted));
    row("events that must arrive; lost", format!("{}; {}", findings.promised, findings.lost));
    row("clients stuck", stuck.to_string());
    let _: &[Client] = &clients;
    Ok(())
}

/// Three reporters die: two while the third goes on, and then that one.
async fn one_by_one(
    stage: &mut Stage,
    pipeline: &PipelineId,
    round: usize,
    lease: u32,
) -> Result<(), AnyError> {
    let mut rng = stage.run.rng(&format!("{LABEL} {round}"));
    let ends_within = Duration::from_secs(u64::from(lease) * 2) + NOTICED_WITHIN;
    let mut reporters: Vec<(Reporting, Lane)> = Vec::new();
    for who in ["a", "b", "c"] {
        let name = format!("{who}{round}");
        // The one that stays comes by the first hub only, as the second shall stand still.
        let targets = stage.hubs.targets();
        let targets = if who == "a" { &targets[..1] } else { &targets[..] };
        let lane = Lane::open(&stage.run, &name, targets).await?;
        lane.misbehave(Faults { every: 300..=1_500, acts: &[Act::Reset], latency: 0..=4 });
        let workload = Workload::new(&name, stage.run.rng(&format!("workload {name}"))).with_lease(lease);
        let pace = Pace { rate: 25.0, batch: 6 };
        let url = stage.hubs.url();
        let reporter = report::light::start(&stage.setup(), &url, Some(&lane), pipeline, workload, pace)?;
        reporters.push((reporter, lane));
    }
    stage.opened(std::slice::from_ref(pipeline)).await?;
    tokio::time::sleep(millis(&mut rng, 1_500..=4_000)).await;

    // Without a word: what is under way may still arrive.
    let stays = reporters.remove(0);
    drop(reporters);
    let of_dead = |id: &str| !id.starts_with(&format!("a{round}/"));
    if round % 2 == 1 {
        // It wakes up with all leases over, as far as it has heard.
        stage.hubs.one(1)?.freeze()?;
        tokio::time::sleep(Duration::from_secs(u64::from(lease) + 1)).await;
        stage.hubs.one(1)?.thaw()?;
    } else {
        // It dies when the leases end, and so maybe while it declares that.
        tokio::time::sleep(Duration::from_millis(u64::from(lease) * 1_000 - 200)).await;
        tokio::time::sleep(millis(&mut rng, 0..=1_500)).await;
        stage.hubs.one(1)?.kill().await?;
        stage.hubs.one(1)?.restart().await?;
    }
    shows(stage, pipeline, ends_within, "the files of two that died are interrupted", |state| {
        let mut open = state.files.iter().filter(|file| of_dead(file.id.as_str()));
        !open.any(|file| file.state == FileState::Processing)
    })
    .await?;
    tokio::time::sleep(millis(&mut rng, 0..=1_000)).await;
    drop(stays);
    shows(stage, pipeline, ends_within, "the pipeline is offline after its last reporter died", |state| {
        state.status == "offline"
    })
    .await
}

/// Waits until each hub shows it.
async fn shows(
    stage: &Stage,
    pipeline: &PipelineId,
    within: Duration,
    what: &str,
    is: impl Fn(&PipelineStatus) -> bool,
) -> Result<(), AnyError> {
    let deadline = Instant::now() + within;
    for hub in stage.hubs.each() {
        while !is(&Log::shown(&stage.http, &hub.url(), pipeline).await?) {
            if Instant::now() > deadline {
                let journal = hub.journal();
                stage.fail(format!("{pipeline} at {}, after {within:?} not yet: {what}", journal.name()));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Once offline, at the end; each file interrupted once, and only one that was open; nothing of one that was heard.
fn check(stage: &Stage, log: &Log) -> Ends {
    let mut ends = Ends::default();
    let mut open: HashMap<&str, bool> = HashMap::new();
    let of_last = |mark: &Option<String>| mark.as_deref().is_some_and(|mark| mark.starts_with('a'));
    let last_heard = log.events.iter().filter(|event| of_last(&event.mark)).map(|event| event.seq).max();
    let last_heard = last_heard.unwrap_or(0);
    for event in &log.events {
        let seq = event.seq;
        if event.name == "pipeline:offline" {
            ends.offline += 1;
            if seq < last_heard {
                stage.fail(format!("{} is offline at {seq}, and heard until {last_heard}", log.pipeline));
            }
        }
        let Some(file) = event.file.as_deref() else { continue };
        if event.interrupted {
            ends.interrupted += 1;
            if open.insert(file, false) != Some(true) {
                stage.fail(format!("{file} is interrupted at {seq}, and was not open then"));
            }
            if file.starts_with('a') && seq < last_heard {
                stage.fail(format!(
                    "{file} is interrupted at {seq}, and its reporter heard until {last_heard}"
                ));
            }
        } else {
            let opens =
                matches!(&*event.name, "file:queued" | "file:processing" | "file:progress" | "file:retrying");
            open.insert(file, opens);
        }
    }
    if ends.offline != 1 {
        stage.fail(format!("{} went offline {} times", log.pipeline, ends.offline));
    }
    let left = open.iter().filter(|(_, open)| **open).count();
    if left > 0 {
        stage.fail(format!("{left} files of {} are open although nobody reports", log.pipeline));
    }
    ends
}
