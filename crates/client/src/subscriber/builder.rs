//! How a subscriber is set up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::ids::InvalidName;
use ragpulse_protocol::{PipelineId, PipelineType};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::driver::{Driver, Shared};
use super::error::SubscribeError;
use super::handle::Subscriber;
use super::http::Http;
use super::pipelines::Target;
use super::session::{Machine, TransportChoice, part_of};
use super::socket::SocketConnector;
use super::socketio::Connector;
use super::update::ConnectionStatus;
use crate::backoff::chance;
use crate::endpoint::Endpoint;
use crate::token::{Given, TokenSource};

/// How many updates wait for the consumer unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 256;

/// How long a source of tokens may take: less than opening a socket may.
const TOKEN_WITHIN: Duration = Duration::from_secs(8);

/// Sets up a [`Subscriber`]. Made by [`Subscriber::builder`].
#[must_use = "a subscriber is made by `.connect()`"]
pub struct SubscriberBuilder {
    url: String,
    token: Given,
    pipelines: BTreeSet<PipelineId>,
    kind: Option<PipelineType>,
    all: bool,
    bad_name: Option<InvalidName>,
    choice: TransportChoice,
    client_id: Option<String>,
    capacity: usize,
    connector: Option<Arc<dyn SocketConnector>>,
}

impl std::fmt::Debug for SubscriberBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriberBuilder")
            .field("pipelines", &self.pipelines)
            .field("pipeline_type", &self.kind)
            .field("all", &self.all)
            .field("transport", &self.choice)
            .finish_non_exhaustive()
    }
}

impl SubscriberBuilder {
    pub(crate) fn new(url: String, token: Given) -> Self {
        Self {
            url,
            token,
            pipelines: BTreeSet::new(),
            kind: None,
            all: false,
            bad_name: None,
            choice: TransportChoice::default(),
            client_id: None,
            capacity: DEFAULT_CAPACITY,
            connector: None,
        }
    }

    /// Follows this pipeline, whether it exists yet or not; call it again for more. Names match `[A-Za-z0-9._-]{1,128}`.
    pub fn pipeline(mut self, id: impl AsRef<str>) -> Self {
        match PipelineId::new(id) {
            Ok(id) => drop(self.pipelines.insert(id)),
            Err(error) => self.bad_name = Some(error),
        }
        self
    }

    /// Follows these pipelines; as [`pipeline`](Self::pipeline).
    pub fn pipelines(self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        ids.into_iter().fold(self, Self::pipeline)
    }

    /// Follows all pipelines of a type, later ones too.
    pub fn pipeline_type(mut self, kind: impl AsRef<str>) -> Self {
        match PipelineType::new(kind) {
            Ok(kind) => self.kind = Some(kind),
            Err(error) => self.bad_name = Some(error),
        }
        self
    }

    /// Follows all pipelines that may be seen, later ones too.
    pub fn all_pipelines(mut self) -> Self {
        self.all = true;
        self
    }

    /// By what to connect. Default [`TransportChoice::Auto`]: as the hub advises in `GET /api/socket/info`, which is read
    /// before the first socket and before later ones, at most every 30 s. When it cannot be read, nothing changes.
    pub fn transport(mut self, choice: TransportChoice) -> Self {
        self.choice = choice;
        self
    }

    /// A name for this client that stays the same, by which it is, or is not, among those that a hub's rollout lets use the
    /// socket. Default: random, and so drawn anew for each subscriber. It is not sent.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// The token, sent in the socket's authentication and as `Authorization: Bearer`. Default: none. When it has ended so
    /// has the subscriber; [`token_source`](Self::token_source) goes on. The later call of the two holds.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Given::Fixed(token.into());
        self
    }

    /// Where tokens come from: an async closure, a [`TokenFile`](crate::TokenFile), or another [`TokenSource`]. It is asked
    /// before a socket or a poll where there is no token yet, where the last one ends within 30 s, and where the hub answered
    /// that it is `unauthorized`, upon which another one is tried at once. An open socket is brought the next token before
    /// the last one ends. While the source gives none the subscriber tries again, and never ends for it.
    pub fn token_source(mut self, source: impl TokenSource) -> Self {
        self.token = Given::Source(Arc::new(source));
        self
    }

    /// How many updates may wait for the consumer, at least 1; then the hub is held up. Default [`DEFAULT_CAPACITY`].
    pub fn capacity(mut self, updates: usize) -> Self {
        self.capacity = updates;
        self
    }

    /// Opens sockets by something else than rust_socketio.
    pub fn connector(mut self, connector: Arc<dyn SocketConnector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Makes the subscriber and spawns the task that connects. Does not wait for the hub, which need not be there.
    ///
    /// # Errors
    /// When a setting is wrong, or outside of a tokio runtime.
    pub fn connect(self) -> Result<Subscriber, SubscribeError> {
        if let Some(error) = self.bad_name {
            return Err(error.into());
        }
        let target = match (self.pipelines.is_empty(), self.kind, self.all) {
            (true, None, false) => return Err(SubscribeError::NoTarget),
            (false, None, false) => Target::Pipelines(self.pipelines),
            (true, Some(kind), false) => Target::Type(kind),
            (true, None, true) => Target::All,
            _ => return Err(SubscribeError::TwoTargets),
        };
        if self.capacity == 0 {
            return Err(SubscribeError::NoCapacity);
        }
        let renews = self.token.is_source();
        let endpoint = Endpoint::new(&self.url, self.token, TOKEN_WITHIN)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| SubscribeError::NoRuntime)?;
        let (updates, received) = mpsc::channel(self.capacity);
        let part = match &self.client_id {
            Some(id) => part_of(id),
            None => fastrand::u8(..100),
        };
        let mut machine = Machine::new(target, self.choice, part, chance);
        machine.set_renews(renews);
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            stop: Notify::new(),
            connection: watch::Sender::new(ConnectionStatus::default()),
        });
        let connector = self.connector.unwrap_or_else(|| Arc::new(Connector { endpoint: endpoint.clone() }));
        // Each poll has a limit of its own, which is shorter.
        let client = endpoint.client(Duration::from_secs(60))?;
        let driver = Driver {
            shared: Arc::clone(&shared),
            connector,
            http: Http { endpoint, client },
            updates,
            started: Instant::now(),
        };
        runtime.spawn(driver.drive());
        Ok(Subscriber::new(shared, received))
    }
}
