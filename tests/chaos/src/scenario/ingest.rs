//! How fast events are acknowledged with one live subscriber, beside the same rows inserted plainly into SQLite by this
//! process. Both take turns in one run, so that what else the machine does befalls both.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::PipelineId;
use rusqlite::{Connection, params};

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client;
use crate::report::publisher::Publisher;
use crate::run::{AnyError, Run};
use crate::table::{Table, percentile};

const LABEL: &str = "ingest";
const BYTES: usize = 300;
const BATCH: usize = 100;
/// How many connections publish without batches.
const CONNECTIONS: usize = 8;

/// Events a second of each kind, a value a turn.
#[derive(Debug, Default)]
struct Rates {
    batches: Vec<f64>,
    singles: Vec<f64>,
    rows_in_batches: Vec<f64>,
    rows_singly: Vec<f64>,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let (turns, events) = order.either((5, 20_000), (1, 1_000));
    let mut stage = Stage::set(order, run).await?;
    let setup = stage.setup();
    let pipeline = pipelines(1)?.remove(0);
    let mut publisher = Publisher::new(&stage.hubs.url(), &pipeline, &stage.oracle, BYTES)?;
    publisher.open().await?;
    let options = client::socket::Options { keeps_state: false, ..Default::default() };
    let address = stage.hubs.address();
    let clients = [client::socket::start(&setup, "subscriber", address, None, &pipeline, options)];
    publisher.probe(BATCH).await?;

    let folder = tempfile::Builder::new().prefix("ragpulse-chaos-rows-").tempdir()?;
    let mut others: Vec<Publisher> =
        (0..CONNECTIONS).map(|number| publisher.another(&format!("single{number}"))).collect();
    let mut rates = Rates::default();
    for turn in 0..turns {
        let begun = Instant::now();
        for _ in 0..events / BATCH {
            publisher.probe(BATCH).await?;
        }
        rates.batches.push(rate(events, begun));
        let begun = Instant::now();
        others = publish_singly(others, events / 10).await?;
        rates.singles.push(rate(events / 10, begun));
        let path = folder.path().join(format!("rows-{turn}.sqlite"));
        let id = pipeline.clone();
        let inserted = tokio::task::spawn_blocking(move || insert(&path, &id, events)).await??;
        rates.rows_in_batches.push(inserted.0);
        rates.rows_singly.push(inserted.1);
    }

    stage.quiet();
    let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
    let stuck = stage.whole(&clients, &logs).await;
    let findings = stage.judge(&clients, &logs, &[]);
    stage.end();

    let median = |values: &[f64]| percentile(values, 50.0);
    let (batches, singles) = (median(&rates.batches), median(&rates.singles));
    let (rows, row_by_row) = (median(&rates.rows_in_batches), median(&rates.rows_singly));
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("events of 300 B; turns", format!("{}; {turns}", findings.promised));
    row("acknowledged a second, in batches of 100", format!("{batches:.0}"));
    row(
        "SQLite itself, 100 rows a transaction",
        format!("{rows:.0} rows/s: {:.1} times that", rows / batches),
    );
    row("acknowledged a second, one a request", format!("{singles:.0} on {CONNECTIONS} connections"));
    row(
        "SQLite itself, a row a transaction",
        format!("{row_by_row:.0} rows/s: {:.1} times that", row_by_row / singles),
    );
    row("events lost; doubled; clients stuck", format!("{}; {}; {stuck}", findings.lost, findings.doubled));
    stage.hubs.kill().await
}

#[allow(clippy::cast_precision_loss)]
fn rate(events: usize, since: Instant) -> f64 {
    events as f64 / since.elapsed().as_secs_f64()
}

/// Publishes one event a request on every connection at once.
async fn publish_singly(publishers: Vec<Publisher>, events: usize) -> Result<Vec<Publisher>, AnyError> {
    let share = events / publishers.len();
    let tasks: Vec<_> = publishers
        .into_iter()
        .map(|mut publisher| {
            tokio::spawn(async move {
                for _ in 0..share {
                    publisher.probe(1).await?;
                }
                Ok::<_, AnyError>(publisher)
            })
        })
        .collect();
    let mut back = Vec::new();
    for task in tasks {
        back.push(task.await??);
    }
    Ok(back)
}

/// Inserts rows like those of a log, in batches and then singly; rows a second of each.
fn insert(path: &Path, pipeline: &PipelineId, events: usize) -> Result<(f64, f64), AnyError> {
    let mut rows = Connection::open(path)?;
    rows.pragma_update(None, "journal_mode", "WAL")?;
    rows.pragma_update(None, "synchronous", "NORMAL")?;
    rows.busy_timeout(Duration::from_secs(5))?;
    rows.execute_batch(
        "CREATE TABLE events (
            pipeline TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL,
            PRIMARY KEY (pipeline, seq)
         ) WITHOUT ROWID;
         CREATE UNIQUE INDEX ids ON events (pipeline, id);",
    )?;
    let payload = "x".repeat(BYTES);
    let sql = "INSERT INTO events (pipeline, seq, id, payload) VALUES (?1, ?2, ?3, ?4)";
    let begun = Instant::now();
    let mut seq = 0_i64;
    for _ in 0..events / BATCH {
        let transaction = rows.transaction()?;
        {
            let mut statement = transaction.prepare_cached(sql)?;
            for _ in 0..BATCH {
                seq += 1;
                statement.execute(params![pipeline.as_str(), seq, format!("probe-{seq}"), payload])?;
            }
        }
        transaction.commit()?;
    }
    let in_batches = rate(events, begun);
    let begun = Instant::now();
    for _ in 0..events / 10 {
        seq += 1;
        let mut statement = rows.prepare_cached(sql)?;
        statement.execute(params![pipeline.as_str(), seq, format!("probe-{seq}"), payload])?;
    }
    Ok((in_batches, rate(events / 10, begun)))
}
