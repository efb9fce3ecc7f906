//! Publishes what a scenario gives it, at once, through nothing that misbehaves: for measurements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{PipelineId, ReportedEvent};
use serde_json::json;

use super::workload::{Item, MARK};
use crate::client::http;
use crate::oracle::Oracle;
use crate::run::AnyError;

/// The name of its events, and the field with the time of the report in microseconds since the publisher was made.
const NAME: &str = "x:probe";
pub(crate) const SENT: &str = "sent_us";

/// One connection to a hub. Clones are further ones with events of their own.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pipeline: PipelineId,
    name: String,
    url: String,
    http: reqwest::Client,
    oracle: Arc<Oracle>,
    began: Instant,
    events: u64,
    padding: String,
}

impl Publisher {
    /// Makes a publisher whose events are about so many bytes.
    pub(crate) fn new(
        hub: &str,
        pipeline: &PipelineId,
        oracle: &Arc<Oracle>,
        bytes: usize,
    ) -> Result<Self, AnyError> {
        Ok(Self {
            pipeline: pipeline.clone(),
            name: "probe".to_owned(),
            url: format!("{hub}/api/pipelines/{pipeline}/events"),
            http: http(Duration::from_secs(30))?,
            oracle: oracle.clone(),
            began: Instant::now(),
            events: 0,
            // What the shared fields and the mark take.
            padding: "x".repeat(bytes.saturating_sub(220)),
        })
    }

    /// Another connection, whose events have other marks.
    pub(crate) fn another(&self, name: &str) -> Self {
        Self { name: name.to_owned(), events: 0, ..self.clone() }
    }

    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Opens the pipeline.
    pub(crate) async fn open(&mut self) -> Result<PublishReceipt, AnyError> {
        let online = self.item("pipeline:online", json!({ "pipeline_type": "local_files" }));
        self.publish(vec![online]).await
    }

    /// Publishes so many events in one request, and waits until they are acknowledged.
    pub(crate) async fn probe(&mut self, count: usize) -> Result<PublishReceipt, AnyError> {
        let items = (0..count)
            .map(|_| {
                let data = json!({ SENT: self.micros(), "padding": self.padding });
                self.item(NAME, data)
            })
            .collect();
        self.publish(items).await
    }

    fn item(&mut self, name: &str, mut data: serde_json::Value) -> Item {
        self.events += 1;
        let mark = format!("{}-{}", self.name, self.events);
        data[MARK] = mark.clone().into();
        let data = data.as_object().cloned().unwrap_or_default();
        let event =
            ReportedEvent { event: name.to_owned(), event_id: Some(mark.clone()), timestamp: None, data };
        Item { mark, event }
    }

    async fn publish(&self, items: Vec<Item>) -> Result<PublishReceipt, AnyError> {
        items.iter().for_each(|item| self.oracle.sending(&self.pipeline, &self.name, item));
        let events: Vec<&ReportedEvent> = items.iter().map(|item| &item.event).collect();
        let request = self.http.post(&self.url).header("ragpulse-reporter", "probe").json(&events);
        let answer = request.send().await?;
        if !answer.status().is_success() {
            return Err(format!("publishing failed: {}: {}", answer.status(), answer.text().await?).into());
        }
        let receipt: PublishReceipt = answer.json().await?;
        self.oracle.acked(&self.pipeline, items.iter().map(|item| item.mark.as_str()), &receipt);
        Ok(receipt)
    }
}
