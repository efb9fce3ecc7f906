//! Reporter and subscriber against a real hub, through a network that fails.
#![allow(clippy::unwrap_used)]

#[path = "support/hub.rs"]
mod hub;
#[path = "support/proxy.rs"]
mod proxy;

use std::time::Duration;

use hub::TestHub;
use proxy::Proxy;
use ragpulse_client::protocol::http::TransportFlag;
use ragpulse_client::protocol::parts::{FileReport, Results};
use ragpulse_client::protocol::report::PipelineOnlineReport;
use ragpulse_client::protocol::status::ResetReason;
use ragpulse_client::protocol::{Code, Cursor, Object, PipelineId, Problem, Report};
use ragpulse_client::{Cause, Reporter, Subscriber, Transport, TransportChoice, Update, What};
use ragpulse_server::auth::{Act, Authoriser, BoxFuture, Principal};
use ragpulse_server::{Config, Hub};

const SOON: Duration = Duration::from_secs(10);

fn reporter(url: &str, pipeline: &str) -> Reporter {
    let wait = Duration::from_millis(20);
    Reporter::builder(url).pipeline(pipeline, "local_files").backoff(wait, wait * 10).build().unwrap()
}

fn p() -> PipelineId {
    PipelineId::new("p").unwrap()
}

async fn say(reporter: &Reporter, number: u64) {
    let data = Object::from_iter([("n".to_owned(), number.into())]);
    reporter.report(Report::Custom { name: "x:n".into(), data }).await.unwrap();
}

/// Follows a subscriber, and finds any hole, repeat or swap.
struct Follower {
    subscriber: Subscriber,
    at: Option<Cursor>,
    snapshots: Vec<Option<ResetReason>>,
    events: u64,
}

impl Follower {
    fn new(subscriber: Subscriber) -> Self {
        Self { subscriber, at: None, snapshots: Vec::new(), events: 0 }
    }

    async fn next(&mut self) -> Update {
        let next = tokio::time::timeout(Duration::from_secs(30), self.subscriber.recv()).await;
        let update = next.expect("nothing came").expect("the stream ended");
        assert_eq!(update.anomalies, []);
        match &update.what {
            What::Event(event) => {
                let cursor = event.shared().cursor();
                match &self.at {
                    None => assert_eq!(cursor.seq, 1),
                    Some(at) => assert_eq!((&cursor.epoch, cursor.seq), (&at.epoch, at.seq + 1)),
                }
                self.at = Some(cursor);
                self.events += 1;
            }
            What::Snapshot { state, reason } => {
                self.at = Some(state.cursor());
                self.snapshots.push(reason.clone());
            }
            What::Reset | What::Removed => self.at = None,
            _ => {}
        }
        update
    }

    async fn until(&mut self, mut found: impl FnMut(&Update) -> bool) -> Update {
        loop {
            let update = self.next().await;
            if found(&update) {
                return update;
            }
        }
    }

    async fn transport(&mut self, wanted: Option<Transport>) -> Option<Cause> {
        let by =
            |update: &Update| matches!(&update.what, What::Connection(status) if status.transport == wanted);
        match self.until(by).await.what {
            What::Connection(status) => status.cause,
            _ => None,
        }
    }

    async fn number(&mut self, number: u64) {
        self.until(|update| match &update.what {
            What::Event(event) => event.payload()["n"].as_u64() == Some(number),
            _ => false,
        })
        .await;
    }

    /// Follows until it stands where the hub stands, and compares the states.
    async fn settle(&mut self, hub: &Hub) {
        let head = hub.state(&p()).unwrap().cursor();
        while self.at.as_ref() != Some(&head) {
            self.next().await;
        }
        assert_eq!(*self.subscriber.state(&p()).unwrap(), hub.state(&p()).unwrap());
    }
}

fn follow(url: &str, choice: TransportChoice) -> Follower {
    Follower::new(Subscriber::builder(url).pipeline("p").transport(choice).connect().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reported_is_heard_on_both_transports_with_the_same_state() {
    let hub = TestHub::start().await;
    let reporter = reporter(&hub.url(), "p");
    let mut by_socket = follow(&hub.url(), TransportChoice::Websocket);
    let mut by_polling = follow(&hub.url(), TransportChoice::Polling);
    assert_eq!(by_socket.transport(Some(Transport::Websocket)).await, None);

    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    for name in ["a.pdf", "b.pdf"] {
        let mut file = reporter.file(FileReport::named(name));
        file.queued().await.unwrap();
        file.processing("extraction").await.unwrap();
        file.progress("extraction", 0.5).unwrap();
        file.completed(Results { chunks_created: Some(7), ..Results::default() }).await.unwrap();
    }
    drop({
        let mut left = reporter.file(FileReport::named("left.pdf"));
        left.processing("chunking").await.unwrap();
        left
    });
    reporter.close(SOON).await.unwrap();
    assert_eq!(reporter.status().borrow().rejected, 0);

    // What was accepted is in the log; the hub's own state follows a moment later.
    while hub.hub.state(&p()).is_none_or(|state| state.status != "offline") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for follower in [&mut by_socket, &mut by_polling] {
        follower.settle(&hub.hub).await;
        let state = follower.subscriber.state(&p()).unwrap();
        assert_eq!((state.counts.completed, state.counts.failed), (2, 1));
    }
    drop((by_socket, by_polling));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_resumed_by_replay() {
    let hub = TestHub::start().await;
    let proxy = Proxy::before(hub.address).await;
    let reporter = reporter(&hub.url(), "p");
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let mut follower = follow(&proxy.url(), TransportChoice::Auto);
    follower.transport(Some(Transport::Websocket)).await;
    let mut said = 0;
    for round in 0..4 {
        proxy.cut();
        for _ in 0..20 {
            said += 1;
            say(&reporter, said).await;
            tokio::time::sleep(Duration::from_millis(round)).await;
        }
        follower.number(said).await;
    }
    follower.settle(&hub.hub).await;
    assert!(follower.snapshots.len() <= 1, "{:?}", follower.snapshots);
    assert!(follower.events >= said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_dead_without_a_word_is_found_by_silence_and_resumed_by_replay() {
    let hub = TestHub::start().await;
    let proxy = Proxy::before(hub.address).await;
    let reporter = reporter(&hub.url(), "p");
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let mut follower = follow(&proxy.url(), TransportChoice::Auto);
    follower.transport(Some(Transport::Websocket)).await;
    say(&reporter, 1).await;
    follower.number(1).await;
    proxy.stall();
    for number in 2..50 {
        say(&reporter, number).await;
    }
    let cause = follower.transport(None).await;
    assert!(matches!(cause, Some(Cause::Silence(_))), "{cause:?}");
    follower.number(49).await;
    follower.settle(&hub.hub).await;
    assert!(follower.snapshots.len() <= 1, "{:?}", follower.snapshots);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hub_finds_wrong_is_set_aside_and_the_rest_arrives() {
    let hub = TestHub::start().await;
    let reporter = reporter(&hub.url(), "p");
    // Without `pipeline:online` first: the hub does not know the pipeline, and the reporter opens it.
    say(&reporter, 1).await;
    reporter.report(Report::Custom { name: "file:complted".into(), data: Object::new() }).await.unwrap();
    let text = Object::from_iter([("text".to_owned(), "x".repeat(100_000).into())]);
    reporter.report(Report::Custom { name: "x:larger-than-a-hub-takes".into(), data: text }).await.unwrap();
    say(&reporter, 2).await;
    reporter.close(SOON).await.unwrap();
    let status = reporter.status().borrow().clone();
    assert_eq!((status.rejected, status.accepted, status.queued), (2, 4, 0), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sockets_it_polls_and_it_returns_when_they_can_be_had() {
    let hub = TestHub::start().await;
    let proxy = Proxy::before(hub.address).await;
    proxy.refuse_sockets(true);
    let reporter = reporter(&hub.url(), "p");
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let mut follower = follow(&proxy.url(), TransportChoice::Auto);
    let cause = follower.transport(Some(Transport::Polling)).await;
    assert!(matches!(cause, Some(Cause::Failed(_) | Cause::Refused(_))), "{cause:?}");
    say(&reporter, 1).await;
    follower.number(1).await;

    proxy.refuse_sockets(false);
    let talking = {
        let reporter = reporter.clone();
        tokio::spawn(async move {
            for number in 2..400 {
                say(&reporter, number).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    assert_eq!(follower.transport(Some(Transport::Websocket)).await, None);
    follower.number(399).await;
    talking.await.unwrap();

    proxy.refuse_sockets(true);
    proxy.cut();
    say(&reporter, 400).await;
    follower.transport(Some(Transport::Polling)).await;
    say(&reporter, 401).await;
    if follower.at != hub.hub.state(&p()).map(|state| state.cursor()) {
        follower.number(401).await;
    }
    follower.settle(&hub.hub).await;
    assert!(follower.snapshots.len() <= 1, "{:?}", follower.snapshots);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_restarts_without_memory_is_told_again_and_followed_again() {
    for choice in [TransportChoice::Auto, TransportChoice::Polling] {
        let hub = TestHub::start().await;
        let (url, address) = (hub.url(), hub.address);
        let reporter = reporter(&url, "p");
        reporter.online(PipelineOnlineReport::default()).await.unwrap();
        let mut open = reporter.file(FileReport::named("open.pdf"));
        open.processing("embedding").await.unwrap();
        let mut follower = follow(&url, choice);
        follower.until(|_| true).await;
        while follower.at.as_ref().is_none_or(|at| at.seq < 2) {
            follower.next().await;
        }
        let before = follower.at.clone().unwrap();
        hub.stop().await;

        let hub = TestHub::at(address, Hub::builder()).await;
        open.completed(Results::default()).await.unwrap();
        say(&reporter, 1).await;
        while follower.at.as_ref().is_none_or(|at| at.epoch == before.epoch || at.seq < 4) {
            follower.next().await;
        }
        follower.settle(&hub.hub).await;
        let state = follower.subscriber.state(&p()).unwrap();
        assert_eq!((state.counts.completed, state.counts.processing), (1, 0), "told anew as begun and ended");
        reporter.close(SOON).await.unwrap();
        drop(follower);
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_another_reporter_told_again_is_told_the_open_files_of_this_one_too() {
    let hub = TestHub::start().await;
    let (url, address) = (hub.url(), hub.address);
    // The hub's closing ends what is open only where a reporter leaves: these two stay.
    let [first, second] = [1, 2].map(|_| {
        let wait = Duration::from_millis(20);
        let builder = Reporter::builder(&url).pipeline("p", "local_files").lease_seconds(3);
        builder.backoff(wait, wait * 10).build().unwrap()
    });
    first.online(PipelineOnlineReport::default()).await.unwrap();
    let mut open = second.file(FileReport::named("open.pdf"));
    open.processing("embedding").await.unwrap();
    second.status().wait_for(|status| status.queued == 0 && status.accepted > 0).await.unwrap();
    hub.stop().await;

    let hub = TestHub::at(address, Hub::builder()).await;
    say(&first, 1).await;
    // The second says nothing, but for its heartbeats.
    let processing = async {
        while hub.hub.state(&p()).is_none_or(|state| state.counts.processing == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), processing).await.unwrap();
    open.completed(Results::default()).await.unwrap();
    second.close(SOON).await.unwrap();
    first.close(SOON).await.unwrap();
    while hub.hub.state(&p()).unwrap().status != "offline" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let counts = hub.hub.state(&p()).unwrap().counts;
    assert_eq!((counts.completed, counts.failed, counts.processing), (1, 0, 0));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_of_a_type_and_all_are_followed_as_they_come() {
    let hub = TestHub::start().await;
    let subscribe = |choice, all| {
        let builder = Subscriber::builder(hub.url()).transport(choice);
        let builder = if all { builder.all_pipelines() } else { builder.pipeline_type("local_files") };
        builder.connect().unwrap()
    };
    let first = reporter(&hub.url(), "first");
    first.online(PipelineOnlineReport::default()).await.unwrap();
    let choices = [TransportChoice::Websocket, TransportChoice::Polling];
    for (choice, all) in choices.into_iter().flat_map(|choice| [(choice, false), (choice, true)]) {
        let mut subscriber = subscribe(choice, all);
        let id = format!("later-{choice:?}-{all}");
        let later = reporter(&hub.url(), &id);
        let (mut seen_first, mut seen_later, mut said) = (false, false, false);
        while !(seen_first && seen_later) {
            let update =
                tokio::time::timeout(Duration::from_secs(30), subscriber.recv()).await.unwrap().unwrap();
            let known = update.pipeline_id.as_ref().map(PipelineId::as_str);
            let state = matches!(update.what, What::Event(_) | What::Snapshot { .. });
            seen_first |= state && known == Some("first");
            seen_later |= state && known == Some(&id);
            if seen_first && !said {
                said = true;
                later.online(PipelineOnlineReport::default()).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_ends_in_the_exact_state() {
    let hub = TestHub::start().await;
    let reporter = reporter(&hub.url(), "p");
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let subscriber = Subscriber::builder(hub.url()).pipeline("p").capacity(1).connect().unwrap();
    let mut follower = Follower::new(subscriber);
    follower.transport(Some(Transport::Websocket)).await;
    for number in 0..3_000 {
        say(&reporter, number).await;
    }
    reporter.status().wait_for(|status| status.queued == 0).await.unwrap();
    // Longer than silence is borne: what is slow is the consumer, not the hub.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        follower.next().await;
    }
    follower.settle(&hub.hub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_closes_ends_no_subscriber_and_closing_ends_the_stream() {
    let hub = TestHub::start().await;
    let (address, url) = (hub.address, hub.url());
    let mut follower = follow(&url, TransportChoice::Auto);
    follower.transport(Some(Transport::Websocket)).await;
    hub.stop().await;
    let cause = follower.transport(None).await;
    assert!(matches!(cause, Some(Cause::HubClosing(_))), "{cause:?}");
    let _hub = TestHub::at(address, Hub::builder()).await;
    follower.transport(Some(Transport::Websocket)).await;
    follower.subscriber.handle().close();
    follower.until(|update| matches!(&update.what, What::Connection(status) if status.closed)).await;
    assert_eq!(follower.subscriber.recv().await, None);
}

struct Keys;

impl Authoriser for Keys {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        let result = match token {
            Some(name @ ("reader" | "stranger")) => Ok(Principal::named(name)),
            _ => Err(Problem::new(Code::Unauthorized, "No valid token. Ask the operator for one.")),
        };
        Box::pin(std::future::ready(result))
    }

    fn allows(&self, who: &Principal, _: Act, _: Option<&PipelineId>) -> bool {
        who.name == "reader"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_ends_the_subscriber_with_the_hubs_word_on_every_transport() {
    let hub = TestHub::at("127.0.0.1:0", Hub::builder().authoriser(Keys)).await;
    for choice in [TransportChoice::Auto, TransportChoice::Websocket, TransportChoice::Polling] {
        let connect = |token: &str| {
            let builder = Subscriber::builder(hub.url()).pipeline("p").token(token).transport(choice);
            Follower::new(builder.connect().unwrap())
        };
        for (token, code) in [("wrong", Code::Unauthorized), ("stranger", Code::Forbidden)] {
            let mut follower = connect(token);
            let ends = |update: &Update| matches!(&update.what, What::Connection(status) if status.closed);
            let What::Connection(status) = follower.until(ends).await.what else { panic!() };
            let said = matches!(&status.cause, Some(Cause::Rejected { code: c, .. }) if *c == code);
            assert!(said, "{choice:?} {token}: {status:?}");
        }
        let transport = match choice {
            TransportChoice::Polling => Transport::Polling,
            TransportChoice::Auto | TransportChoice::Websocket => Transport::Websocket,
        };
        if choice != TransportChoice::Polling {
            connect("reader").transport(Some(transport)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hubs_advice_is_followed_unless_the_caller_chose() {
    let advising = |transport, rollout_percentage| {
        let mut config = Config::default();
        (config.transport, config.rollout_percentage) = (transport, rollout_percentage);
        TestHub::at("127.0.0.1:0", Hub::builder().config(config))
    };
    for (transport, rollout) in [(TransportFlag::Polling, 100), (TransportFlag::Auto, 0)] {
        let hub = advising(transport, rollout).await;
        let reporter = reporter(&hub.url(), "p");
        reporter.online(PipelineOnlineReport::default()).await.unwrap();
        let mut follower = follow(&hub.url(), TransportChoice::Auto);
        assert_eq!(follower.transport(Some(Transport::Polling)).await, Some(Cause::Advised));
        say(&reporter, 1).await;
        follower.number(1).await;
        let mut chosen = follow(&hub.url(), TransportChoice::Websocket);
        assert_eq!(chosen.transport(Some(Transport::Websocket)).await, None);
    }
    // By its id a client is always in the same part: CRC-32 of it, modulo 100, is 62 here.
    for (rollout, transport) in [(62, Transport::Polling), (63, Transport::Websocket)] {
        let hub = advising(TransportFlag::Auto, rollout).await;
        // A poll for what does not exist would be held.
        reporter(&hub.url(), "p").online(PipelineOnlineReport::default()).await.unwrap();
        let subscriber = Subscriber::builder(hub.url()).pipeline("p").client_id("123456789");
        Follower::new(subscriber.connect().unwrap()).transport(Some(transport)).await;
    }
}
