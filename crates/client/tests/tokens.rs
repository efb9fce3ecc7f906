//! Reporter and subscriber that outlive their tokens, against a real hub with real keys whose tokens live a few seconds; and
//! against a clock that the test moves.
#![allow(clippy::unwrap_used)]

#[path = "support/hub.rs"]
mod hub;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hub::TestHub;
use parking_lot::Mutex;
use ragpulse_client::protocol::{Object, PipelineId, Report, Timestamp};
use ragpulse_client::reporter::ReporterConnection;
use ragpulse_client::token::BoxError;
use ragpulse_client::{Reporter, Subscriber, TokenFile, TransportChoice, What};
use ragpulse_server::Hub;
use ragpulse_server::auth::{Keys, NewToken, Role, SigningKey};
use ragpulse_server::clock::{Clock, ManualClock, SystemClock};

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
/// How long a token lives here, beside the leeway of 5 s that a hub grants.
const TTL: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(40);

/// Mints by a clock, and counts.
#[derive(Clone)]
struct Issuer {
    clock: Arc<dyn Clock>,
    ttl: Duration,
    minted: Arc<AtomicU32>,
    /// While it is set nothing is minted.
    away: Arc<Mutex<bool>>,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Issuer {
    fn new(clock: impl Clock, ttl: Duration) -> Self {
        Self {
            clock: Arc::new(clock),
            ttl,
            minted: Arc::default(),
            away: Arc::default(),
            tokens: Arc::default(),
        }
    }

    fn mint(&self) -> Result<String, BoxError> {
        if *self.away.lock() {
            return Err("the issuer is away".into());
        }
        self.minted.fetch_add(1, Ordering::SeqCst);
        let wanted = NewToken {
            name: "tokens".to_owned(),
            role: Some(Role::Admin),
            pipelines: vec!["*".to_owned()],
            ttl: self.ttl,
            ..NewToken::default()
        };
        let token = SigningKey::from_secret(SECRET)?.mint(&wanted, self.clock.now())?.0;
        self.tokens.lock().push(token.clone());
        Ok(token)
    }

    fn source(&self) -> impl Fn() -> std::future::Ready<Result<String, BoxError>> + Send + Sync + use<> {
        let issuer = self.clone();
        move || std::future::ready(issuer.mint())
    }

    fn count(&self) -> u32 {
        self.minted.load(Ordering::SeqCst)
    }
}

async fn guarded(clock: impl Clock + Clone) -> TestHub {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), SECRET).unwrap();
    let text = "[[jwt]]\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n";
    let keys = Keys::from_toml(text, directory.path()).unwrap().with_clock(clock.clone());
    TestHub::at("127.0.0.1:0", Hub::builder().clock(clock).authoriser(Arc::new(keys))).await
}

fn manual() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(SystemClock::default().now().as_millis()))
}

fn builder(url: &str) -> ragpulse_client::reporter::ReporterBuilder {
    let wait = Duration::from_millis(20);
    Reporter::builder(url).pipeline("p", "local_files").backoff(wait, wait * 5)
}

async fn say(reporter: &Reporter, number: u64) {
    let data = Object::from_iter([("n".to_owned(), number.into())]);
    reporter.report(Report::Custom { name: "x:n".into(), data }).await.unwrap();
}

async fn until(what: &str, mut found: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !found() {
        assert!(begun.elapsed() < LONG, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn update(subscriber: &mut Subscriber) -> What {
    tokio::time::timeout(LONG, subscriber.recv()).await.expect("in time").expect("it goes on").what
}

/// Takes the first state.
async fn begin(subscriber: &mut Subscriber) {
    while !matches!(update(subscriber).await, What::Snapshot { reason: None, .. }) {}
}

/// Takes the numbers that come, each of which has to be the next one, until this one. `stays`: nothing may be lost of the
/// connection either.
async fn follow(subscriber: &mut Subscriber, next: &mut u64, last: u64, stays: bool) {
    while *next <= last {
        match update(subscriber).await {
            What::Event(event) if event.name() == "x:n" => {
                let value = event.payload();
                assert_eq!(value["n"], *next, "{value}");
                *next += 1;
            }
            What::Snapshot { reason, .. } => panic!("a state in place of what was to be had: {reason:?}"),
            What::Ended(code) => panic!("ended: {code}"),
            What::Connection(status) if stays => assert!(status.transport.is_some(), "{status:?}"),
            _ => {}
        }
    }
}

async fn outlives(choice: TransportChoice) {
    let hub = guarded(SystemClock::default()).await;
    let issuer = Issuer::new(SystemClock::default(), TTL);
    let reporter = builder(&hub.url()).token_source(issuer.source()).build().unwrap();
    reporter.online(Default::default()).await.unwrap();
    until("the pipeline", || reporter.status().borrow().accepted == 1).await;
    let watching = Issuer::new(SystemClock::default(), TTL);
    let mut subscriber = Subscriber::builder(hub.url())
        .pipeline("p")
        .transport(choice)
        .token_source(watching.source())
        .connect()
        .unwrap();
    begin(&mut subscriber).await;
    let (mut said, mut next) = (0, 0);
    // Longer than the first token with its leeway.
    let begun = Instant::now();
    while begun.elapsed() < TTL + Duration::from_secs(7) {
        say(&reporter, said).await;
        follow(&mut subscriber, &mut next, said, choice == TransportChoice::Websocket).await;
        said += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = reporter.status().borrow().clone();
    assert_eq!((status.rejected, status.duplicates), (0, 0));
    reporter.close(LONG).await.unwrap();
    assert!(issuer.count() >= 3, "tokens are kept for half of so short a life: {}", issuer.count());
    assert!(issuer.count() <= 14 && watching.count() <= 14, "no more than one a second or so");
}

#[tokio::test]
async fn reporter_and_subscriber_by_socket_outlive_their_tokens_and_lose_and_double_nothing() {
    outlives(TransportChoice::Websocket).await;
}

#[tokio::test]
async fn reporter_and_subscriber_by_polling_outlive_their_tokens_and_lose_and_double_nothing() {
    outlives(TransportChoice::Polling).await;
}

#[tokio::test]
async fn where_the_hub_ends_what_is_followed_a_fresh_token_goes_on_from_the_cursor() {
    let clock = manual();
    let hub = guarded(clock.clone()).await;
    // By this machine's clock the tokens hold for an hour: only the hub knows that they ended.
    let issuer = Issuer::new(clock.clone(), Duration::from_secs(3_600));
    let reporter = builder(&hub.url()).token_source(issuer.source()).build().unwrap();
    reporter.online(Default::default()).await.unwrap();
    until("the pipeline", || reporter.status().borrow().accepted == 1).await;
    let watching = Issuer::new(clock.clone(), Duration::from_secs(3_600));
    let mut subscriber = Subscriber::builder(hub.url())
        .pipeline("p")
        .transport(TransportChoice::Websocket)
        .token_source(watching.source())
        .connect()
        .unwrap();
    begin(&mut subscriber).await;
    let mut next = 0;
    say(&reporter, 0).await;
    follow(&mut subscriber, &mut next, 0, true).await;
    assert_eq!((issuer.count(), watching.count()), (1, 1));
    clock.advance_millis(3_700_000);
    for number in 1..20 {
        say(&reporter, number).await;
    }
    until("the end of the subscriber's token", || watching.count() > 1).await;
    for number in 20..30 {
        say(&reporter, number).await;
    }
    follow(&mut subscriber, &mut next, 29, false).await;
    reporter.close(LONG).await.unwrap();
    assert_eq!((issuer.count(), watching.count()), (2, 2), "one try with a fresh token is enough");
}

#[tokio::test]
async fn while_the_source_fails_everything_waits_and_nothing_is_thrown_away() {
    let hub = guarded(SystemClock::default()).await;
    let issuer = Issuer::new(SystemClock::default(), Duration::from_secs(3_600));
    *issuer.away.lock() = true;
    let reporter = builder(&hub.url()).token_source(issuer.source()).build().unwrap();
    for number in 0..20 {
        say(&reporter, number).await;
    }
    let why = |status: &ragpulse_client::ReporterStatus| match &status.connection {
        ReporterConnection::Retrying { cause, failures, .. } if *failures > 2 => Some(cause.clone()),
        _ => None,
    };
    until("some tries", || why(&reporter.status().borrow()).is_some()).await;
    let cause = why(&reporter.status().borrow()).unwrap();
    assert!(cause.contains("the issuer is away"), "{cause}");
    *issuer.away.lock() = false;
    reporter.close(LONG).await.unwrap();
    let status = reporter.status().borrow().clone();
    assert_eq!((status.accepted, status.rejected, status.duplicates), (22, 0, 0), "with online and offline");
}

fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_when_the_hub_refuses_what_was_in_it() {
    let clock = manual();
    let hub = guarded(clock.clone()).await;
    let issuer = Issuer::new(clock.clone(), Duration::from_secs(3_600));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let reporter = builder(&hub.url()).token_source(TokenFile::new(&path)).build().unwrap();
    reporter.online(Default::default()).await.unwrap();
    until("the missing file", || {
        matches!(reporter.status().borrow().connection, ReporterConnection::Retrying { .. })
    })
    .await;
    write(&path, &format!("{}\n", issuer.mint().unwrap()));
    until("the first token", || reporter.status().borrow().accepted == 1).await;
    clock.advance_millis(3_700_000);
    say(&reporter, 0).await;
    until("the refusal", || {
        matches!(reporter.status().borrow().connection, ReporterConnection::Refused { .. })
    })
    .await;
    say(&reporter, 1).await;
    write(&path, &issuer.mint().unwrap());
    until("the other token", || reporter.status().borrow().accepted == 3).await;
    reporter.close(LONG).await.unwrap();
    assert_eq!(reporter.status().borrow().duplicates, 0);
}

#[tokio::test]
async fn no_token_is_ever_shown() {
    let hub = guarded(SystemClock::default()).await;
    let issuer = Issuer::new(SystemClock::default(), Duration::from_secs(3_600));
    let builder = builder(&hub.url()).token_source(issuer.source());
    let mut shown = format!("{builder:?}");
    let reporter = builder.build().unwrap();
    reporter.online(Default::default()).await.unwrap();
    until("the first event", || reporter.status().borrow().accepted == 1).await;
    let watching = Subscriber::builder(hub.url()).pipeline("p").token_source(issuer.source());
    shown += &format!("{watching:?}");
    let mut subscriber = watching.connect().unwrap();
    let state = PipelineId::new("p").unwrap();
    while subscriber.state(&state).is_none() {
        let update = tokio::time::timeout(LONG, subscriber.recv()).await.unwrap();
        shown += &format!("{update:?}");
    }
    shown += &format!("{reporter:?} {:?} {subscriber:?}", *reporter.status().borrow());
    assert!(!issuer.tokens.lock().is_empty());
    for token in issuer.tokens.lock().iter() {
        assert!(token.split('.').all(|part| !shown.contains(part)), "{shown}");
    }
}
