//! The client library's own `Subscriber`, as an application uses it, by each of its transports.

use std::sync::Arc;

use parking_lot::Mutex;
use ragpulse_client::subscriber::SubscriberHandle;
use ragpulse_client::{Subscriber, TransportChoice, What};
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus};

use super::tracker::mark_of;
use super::{Client, Counts, Phase, Setup, View, at_least};
use crate::oracle::{Delivered, Oracle, Via};
use crate::proxy::Lane;
use crate::run::{AnyError, Witness};

struct Application {
    pipeline: PipelineId,
    handle: SubscriberHandle,
    oracle: Arc<Oracle>,
    witness: Mutex<Witness>,
    seen: Mutex<(Option<Cursor>, Counts)>,
}

impl View for Application {
    /// Where the stream of updates is, which is what an application has seen.
    fn at(&self) -> Option<Cursor> {
        self.seen.lock().0.clone()
    }

    fn state(&self) -> Option<PipelineStatus> {
        self.handle.state(&self.pipeline).map(|state| (*state).clone())
    }

    fn counts(&self) -> Counts {
        self.seen.lock().1
    }
}

/// Starts a subscriber through a lane.
pub(crate) fn start(
    setup: &Setup,
    name: &str,
    lane: &Lane,
    pipeline: &PipelineId,
    choice: TransportChoice,
) -> Result<Client, AnyError> {
    let mut subscriber = Subscriber::builder(lane.url()).pipeline(pipeline).transport(choice).connect()?;
    let witness = setup.witness(name, Some(lane));
    let application = Arc::new(Application {
        pipeline: pipeline.clone(),
        handle: subscriber.handle(),
        oracle: setup.oracle.clone(),
        witness: Mutex::new(witness.clone()),
        seen: Mutex::default(),
    });
    let view: Arc<dyn View> = application.clone();
    let mut phase = setup.phase.clone();
    let task = tokio::spawn(async move {
        loop {
            let update = tokio::select! {
                update = subscriber.recv() => update,
                () = at_least(&mut phase, Phase::End) => return,
            };
            match update {
                Some(update) => application.take(&update.what),
                None => return application.fail("the subscriber ended by itself"),
            }
        }
    });
    Ok(Client::new(pipeline.clone(), view, witness, task))
}

impl Application {
    fn fail(&self, what: impl Into<String>) {
        self.witness.lock().fail(what);
    }

    fn take(&self, what: &What) {
        let (at, mut counts) = self.seen.lock().clone();
        let next = match what {
            What::Event(event) => {
                let place = event.shared().cursor();
                let follows = match &at {
                    Some(at) => at.epoch == place.epoch && at.seq + 1 == place.seq,
                    None => place.seq == 1,
                };
                if !follows {
                    self.fail(format!("{} {place} was handed out after {at:?}", event.name()));
                }
                let payload = event.payload();
                let delivered = Delivered { name: event.name(), mark: mark_of(&payload), text: None };
                if let Err(what) = self.oracle.saw(&self.pipeline, &place, delivered) {
                    self.fail(what);
                }
                self.witness.lock().journal().event(&place);
                counts.events += 1;
                Some(place)
            }
            What::Snapshot { state, reason } => {
                let place = state.cursor();
                self.witness.lock().journal().note(format!("snapshot {place} ({reason:?})"));
                counts.snapshots += 1;
                if let Some(at) = &at {
                    self.may_reset(at, reason.as_ref(), Some(&place));
                    counts.reset += 1;
                }
                Some(place)
            }
            What::Reset => {
                self.witness.lock().journal().note("reset: the hub does not know the pipeline");
                if let Some(at) = &at {
                    self.may_reset(at, Some(&ResetReason::UnknownPipeline), None);
                }
                counts.reset += 1;
                None
            }
            What::Removed => {
                self.witness.lock().journal().note(format!("removed after {at:?}"));
                if !self.oracle.was_emptied() {
                    self.fail("the hub says that the pipeline is gone, and nobody removed it");
                }
                None
            }
            What::Connection(connection) => {
                let text = format!("{:?}: {:?}", connection.transport, connection.cause);
                self.witness.lock().journal().note(text);
                return;
            }
            What::Liveness(_) => return,
            other => return self.fail(format!("nobody asked for this: {other:?}")),
        };
        *self.seen.lock() = (next, counts);
    }

    fn may_reset(&self, at: &Cursor, reason: Option<&ResetReason>, given: Option<&Cursor>) {
        let permitted = self.oracle.may_reset(&self.pipeline, Via::Either, at, reason, given);
        if let Err(what) = permitted {
            self.fail(what);
        }
    }
}
