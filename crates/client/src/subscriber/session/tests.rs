//! The rows of the session machine's table, one by one.

use ragpulse_protocol::command::{SubscribeAck, SubscribedPipeline};
use ragpulse_protocol::problem::CommandError;
use ragpulse_protocol::{Code, PipelineType, ServerMessage};
use serde_json::json;

use super::*;
use crate::subscriber::update::What;

const S: fn(u64) -> Duration = Duration::from_secs;

fn id(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

fn machine(choice: TransportChoice) -> Machine {
    Machine::new(Target::Pipelines([id("p")].into()), choice, 50, || Box::new(|| 1.0))
}

/// Hands an input to a machine whose questions for advice all fail at once.
fn handle(m: &mut Machine, now: Duration, input: Input) -> Vec<Command> {
    let (asked, mut commands): (Vec<_>, Vec<_>) =
        m.handle(now, input).into_iter().partition(|command| matches!(command, Command::AskAdvice { .. }));
    for command in asked {
        let Command::AskAdvice { ask } = command else { continue };
        commands.extend(m.handle(now, Input::NotAdvised { ask }));
    }
    commands
}

fn of_type() -> Machine {
    of(Target::Type(PipelineType::new("t").unwrap()))
}

fn of(target: Target) -> Machine {
    Machine::new(target, TransportChoice::Auto, 50, || Box::new(|| 1.0))
}

fn ack(names: &[&str]) -> Result<SubscribeAck, CommandError> {
    let pipelines = names
        .iter()
        .map(|name| SubscribedPipeline { pipeline_id: id(name), recovered: true, replayed: 0, reason: None })
        .collect();
    Ok(SubscribeAck { pipelines })
}

fn refusal(code: Code) -> Result<SubscribeAck, CommandError> {
    let message = "why".to_owned();
    Err(CommandError { code, message, retryable: code.retryable(), index: None, field: None })
}

fn lost(conn: u64) -> Input {
    Input::SocketLost { conn, cause: "gone".into() }
}

fn message(conn: u64, name: &str, payload: serde_json::Value) -> Input {
    Input::Message { conn, message: Box::new(ServerMessage::from_value(name, payload).unwrap()) }
}

fn event(name: &str, pipeline: &str, seq: u64) -> serde_json::Value {
    let time = "2026-01-01T00:00:00Z";
    assert!(name.starts_with("x:") || name == "pipeline:removed");
    json!({"pipeline_id": pipeline, "pipeline_type": "t", "epoch": "e", "seq": seq, "timestamp": time, "received_at": time})
}

fn connections(commands: &[Command]) -> Vec<ConnectionStatus> {
    let status = |command: &Command| match command {
        Command::Emit(Update { what: What::Connection(status), .. }) => Some(status.clone()),
        _ => None,
    };
    commands.iter().filter_map(status).collect()
}

fn opens(commands: &[Command]) -> bool {
    commands.iter().any(|command| matches!(command, Command::OpenSocket { .. }))
}

fn polls(commands: &[Command]) -> Vec<(u64, PipelineId)> {
    let poll = |command: &Command| match command {
        Command::Poll { poll, pipeline, .. } => Some((*poll, pipeline.clone())),
        _ => None,
    };
    commands.iter().filter_map(poll).collect()
}

/// A machine whose first socket is live and proven, at 0 s.
fn live() -> Machine {
    let mut m = machine(TransportChoice::Auto);
    go_live(&mut m, S(0), Input::Start, &["p"]);
    m
}

fn go_live(m: &mut Machine, now: Duration, start: Input, names: &[&str]) -> u64 {
    assert!(opens(&handle(m, now, start)));
    let conn = m.last_conn;
    let asked = handle(m, now, Input::SocketOpened { conn, renew_in: None });
    assert!(matches!(asked[..], [Command::Subscribe { .. }]), "{asked:?}");
    let pinged = handle(m, now, Input::Subscribed { conn, reply: ack(names) });
    assert!(pinged.contains(&Command::Ping { conn }), "{pinged:?}");
    assert_eq!(connections(&pinged)[0].transport, Some(Transport::Websocket));
    handle(m, now, Input::Pong { conn });
    assert!(matches!(m.phase, Phase::Live(_)));
    conn
}

/// A machine that polls because sockets failed three times; its first poll is under way.
fn polling() -> (Machine, u64) {
    let mut m = machine(TransportChoice::Auto);
    handle(&mut m, S(0), Input::Start);
    handle(&mut m, S(0), lost(1));
    handle(&mut m, S(1), Input::Tick);
    handle(&mut m, S(1), lost(2));
    handle(&mut m, S(2), Input::Tick);
    let commands = handle(&mut m, S(2), lost(3));
    (m, polls(&commands)[0].0)
}

#[test]
fn a_quiet_socket_is_pinged_every_five_seconds_and_lost_after_three_of_silence() {
    let mut m = live();
    assert_eq!(m.deadline(), Some(S(5)));
    assert_eq!(handle(&mut m, S(5), Input::Tick), [Command::Ping { conn: 1 }]);
    assert_eq!(m.deadline(), Some(S(8)));
    handle(&mut m, S(7), message(1, "x:a", event("x:a", "p", 1)));
    assert_eq!(m.deadline(), Some(S(10)), "anything heard is a sign of life");
    let commands = handle(&mut m, S(10), Input::Tick);
    assert_eq!(commands[0], Command::CloseSocket { conn: 1 });
    assert_eq!(connections(&commands)[0].cause, Some(Cause::Silence(S(3))));
    assert!(opens(&handle(&mut m, S(12), Input::Tick)));
}

#[test]
fn a_slow_consumer_is_no_silence() {
    let mut m = live();
    handle(&mut m, S(5), Input::Tick);
    assert_eq!(handle(&mut m, S(60), Input::CaughtUp), []);
    assert_eq!(m.deadline(), Some(S(63)));
}

#[test]
fn three_failures_or_one_refusal_lead_to_polling() {
    let (m, _) = polling();
    assert!(matches!(m.phase, Phase::Polling { probe_at: Some(_) }));

    let mut m = machine(TransportChoice::Auto);
    handle(&mut m, S(0), Input::Start);
    let commands = handle(&mut m, S(0), Input::SocketRefused { conn: 1, code: None, cause: "no".into() });
    assert_eq!(polls(&commands).len(), 1);
    assert_eq!(connections(&commands)[0].cause, Some(Cause::Refused("no".into())));
}

#[test]
fn a_refusal_by_the_hub_closes_if_it_is_final() {
    for (code, closed) in [(Code::Unauthorized, true), (Code::Closing, false)] {
        let mut m = machine(TransportChoice::Auto);
        handle(&mut m, S(0), Input::Start);
        handle(&mut m, S(0), Input::SocketRefused { conn: 1, code: Some(code), cause: "no".into() });
        assert_eq!(m.is_closed(), closed, "{code}");
        assert!(closed || matches!(m.phase, Phase::Waiting { .. }));
    }
}

#[test]
fn polling_stops_only_when_the_socket_is_both_subscribed_and_pinged() {
    let (mut m, poll) = polling();
    let page = Polled::Messages { messages: Vec::new(), undecodable: false, unknown: true };
    let answered = handle(&mut m, S(2), Input::PollAnswered { poll, subject: Some(id("p")), polled: page });
    assert_eq!(connections(&answered)[0].transport, Some(Transport::Polling));
    assert!(opens(&handle(&mut m, S(7), Input::Tick)), "the probe is due");
    handle(&mut m, S(7), Input::SocketOpened { conn: 4, renew_in: None });
    let commands = handle(&mut m, S(7), Input::Subscribed { conn: 4, reply: ack(&["p"]) });
    assert_eq!(commands, [Command::Ping { conn: 4 }]);
    let commands = handle(&mut m, S(7), Input::Pong { conn: 4 });
    assert_eq!(commands[0], Command::StopPolls);
    assert_eq!(
        connections(&commands)[0],
        ConnectionStatus { transport: Some(Transport::Websocket), ..ConnectionStatus::default() }
    );
}

#[test]
fn a_probe_that_fails_leaves_polling_as_it_was_and_comes_later() {
    let (mut m, _) = polling();
    handle(&mut m, S(7), Input::Tick);
    let commands = handle(&mut m, S(8), lost(4));
    assert_eq!(commands, [Command::CloseSocket { conn: 4 }]);
    assert!(matches!(m.phase, Phase::Polling { probe_at: Some(at) } if at == S(18)));
}

#[test]
fn with_sockets_only_nothing_is_polled_and_with_polling_only_no_socket_is_opened() {
    let mut m = machine(TransportChoice::Websocket);
    handle(&mut m, S(0), Input::Start);
    for conn in 1..10 {
        let commands =
            handle(&mut m, S(60 * conn), Input::SocketRefused { conn, code: None, cause: "no".into() });
        assert_eq!(polls(&commands), []);
        assert!(opens(&handle(&mut m, S(60 * conn + 59), Input::Tick)));
    }
    let mut m = machine(TransportChoice::Polling);
    let commands = handle(&mut m, S(0), Input::Start);
    assert_eq!(polls(&commands).len(), 1);
    assert_eq!(connections(&commands)[0].cause, Some(Cause::Chosen));
    assert_eq!(m.deadline(), None, "only the answer is waited for");
}

#[test]
fn a_closing_hub_is_left_alone_for_as_long_as_it_asks() {
    let mut m = live();
    let commands = handle(&mut m, S(1), message(1, "hub:closing", json!({"retry_after_ms": 4000})));
    assert_eq!(commands[0], Command::CloseSocket { conn: 1 });
    assert_eq!(m.deadline(), Some(S(7)), "and half as long again by chance");
    assert!(opens(&handle(&mut m, S(7), Input::Tick)));
}

#[test]
fn what_the_hub_refuses_for_good_closes_and_what_passes_is_tried_again() {
    for (code, closed) in [
        (Code::Forbidden, true),
        (Code::Unauthorized, true),
        (Code::Overloaded, false),
        (Code::InvalidCursor, false),
    ] {
        let mut m = machine(TransportChoice::Auto);
        handle(&mut m, S(0), Input::Start);
        handle(&mut m, S(0), Input::SocketOpened { conn: 1, renew_in: None });
        let commands = handle(&mut m, S(0), Input::Subscribed { conn: 1, reply: refusal(code) });
        assert_eq!(m.is_closed(), closed, "{code}");
        assert_eq!(connections(&commands)[0].closed, closed);
    }
}

#[test]
fn a_poll_without_a_valid_token_closes_and_a_forbidden_pipeline_ends() {
    let failed = |poll, code| {
        let failure = PollFailure { code: Some(code), message: "why".into(), retry_after: None };
        Input::PollFailed { poll, subject: Some(id("p")), failure }
    };
    let (mut m, poll) = polling();
    handle(&mut m, S(2), failed(poll, Code::Unauthorized));
    assert!(m.is_closed());
    let (mut m, poll) = polling();
    let commands = handle(&mut m, S(2), failed(poll, Code::Forbidden));
    assert!(commands.contains(&Command::Emit(Update::of(id("p"), What::Ended(Code::Forbidden)))));
    assert!(m.is_closed(), "it was the only one");
    let (mut m, poll) = polling();
    handle(&mut m, S(2), failed(poll, Code::StoreUnavailable));
    assert!(!m.is_closed());
    assert_eq!(m.deadline(), Some(Duration::from_millis(2500)));
}

#[test]
fn a_hole_is_asked_for_once_and_with_the_cursor() {
    let mut m = live();
    handle(&mut m, S(1), message(1, "x:a", event("x:a", "p", 1)));
    let commands = handle(&mut m, S(1), message(1, "x:a", event("x:a", "p", 3)));
    let [Command::Subscribe { request, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(request.cursors.as_ref().unwrap()[&id("p")].seq, 1);
    assert_eq!(handle(&mut m, S(1), message(1, "x:a", event("x:a", "p", 4))), []);
}

#[test]
fn a_heartbeat_of_a_sequence_of_which_nothing_came_is_asked_about() {
    let heartbeat = |seq: u64| {
        let value = json!({
            "pipeline_id": "p", "pipeline_type": "t", "epoch": "e", "seq": seq, "status": "alive",
            "timestamp": "2026-01-01T00:00:00Z", "liveness": "live", "uptime": 1.0, "active_files": 0,
        });
        message(1, "heartbeat", value)
    };
    let mut m = live();
    assert_eq!(handle(&mut m, S(1), heartbeat(0)), []);
    let commands = handle(&mut m, S(1), heartbeat(1));
    let [Command::Subscribe { request, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!((&request.pipeline_ids, &request.cursors), (&Some(vec![id("p")]), &None));
}

#[test]
fn an_ended_subscription_is_told_and_one_that_may_come_back_is_asked_for_again() {
    let mut m = live();
    let commands = handle(
        &mut m,
        S(1),
        message(1, "subscription:ended", json!({"pipeline_id": "p", "code": "overloaded"})),
    );
    assert_eq!(commands, []);
    assert!(matches!(handle(&mut m, S(2), Input::Tick)[..], [Command::Subscribe { .. }]));
    handle(&mut m, S(2), Input::Subscribed { conn: 1, reply: ack(&["p"]) });
    handle(&mut m, S(3), message(1, "subscription:ended", json!({"pipeline_id": "p", "code": "forbidden"})));
    assert!(m.is_closed());
}

#[test]
fn what_is_about_an_earlier_socket_is_ignored() {
    let mut m = live();
    handle(&mut m, S(1), lost(1));
    handle(&mut m, S(3), Input::Tick);
    for input in [
        lost(1),
        Input::SocketOpened { conn: 1, renew_in: None },
        Input::Pong { conn: 1 },
        message(1, "x:a", event("x:a", "p", 1)),
        Input::Subscribed { conn: 1, reply: ack(&[]) },
    ] {
        assert_eq!(handle(&mut m, S(3), input), []);
    }
}

#[test]
fn pipelines_of_a_type_come_and_go_on_both_transports() {
    come_and_go(of_type());
}

#[test]
fn all_pipelines_come_and_go_on_both_transports() {
    let mut asking = of(Target::All);
    handle(&mut asking, S(0), Input::Start);
    let commands = handle(&mut asking, S(0), Input::SocketOpened { conn: 1, renew_in: None });
    let request = commands.iter().find_map(|command| match command {
        Command::Subscribe { request, .. } => Some(request),
        _ => None,
    });
    let request = request.unwrap();
    assert_eq!((request.all, &request.pipeline_ids, &request.pipeline_type), (Some(true), &None, &None));
    come_and_go(of(Target::All));
}

fn come_and_go(mut m: Machine) {
    let conn = go_live(&mut m, S(0), Input::Start, &[]);
    handle(&mut m, S(1), message(conn, "x:a", event("x:a", "a", 1)));
    handle(&mut m, S(1), message(conn, "x:a", event("x:a", "b", 1)));
    handle(&mut m, S(1), message(conn, "pipeline:removed", event("pipeline:removed", "b", 2)));
    assert_eq!(m.pipelines.ids().cloned().collect::<Vec<_>>(), [id("a")]);

    let commands = handle(&mut m, S(2), Input::SocketRefused { conn, code: None, cause: "no".into() });
    assert_eq!(polls(&commands).len(), 1);
    let discover = commands.iter().find_map(|command| match command {
        Command::Discover { poll, .. } => Some(*poll),
        _ => None,
    });
    let polled = Polled::Pipelines([id("c")].into());
    let commands =
        handle(&mut m, S(3), Input::PollAnswered { poll: discover.unwrap(), subject: None, polled });
    assert!(commands.contains(&Command::Emit(Update::of(id("a"), What::Reset))));
    assert!(commands.contains(&Command::StopPoll { pipeline: id("a") }));
    assert_eq!(polls(&commands)[0].1, id("c"));
}

#[test]
fn a_pipeline_that_came_up_while_the_subscription_was_asked_for_stays() {
    let mut m = of_type();
    handle(&mut m, S(0), Input::Start);
    handle(&mut m, S(0), Input::SocketOpened { conn: 1, renew_in: None });
    handle(&mut m, S(0), message(1, "x:a", event("x:a", "new", 1)));
    handle(&mut m, S(0), Input::Subscribed { conn: 1, reply: ack(&[]) });
    assert!(m.pipelines.state(&id("new")).is_some());
    handle(&mut m, S(1), lost(1));
    handle(&mut m, S(3), Input::Tick);
    handle(&mut m, S(3), Input::SocketOpened { conn: 2, renew_in: None });
    let commands = handle(&mut m, S(3), Input::Subscribed { conn: 2, reply: ack(&[]) });
    assert!(commands.contains(&Command::Emit(Update::of(id("new"), What::Reset))), "the hub has it no more");
}

#[test]
fn stopping_closes_everything_once() {
    let (mut m, _) = polling();
    handle(&mut m, S(7), Input::Tick);
    let commands = handle(&mut m, S(8), Input::Stop);
    assert_eq!(commands[..2], [Command::CloseSocket { conn: 4 }, Command::StopPolls]);
    assert!(connections(&commands)[0].closed);
    assert_eq!(handle(&mut m, S(9), Input::Stop), []);
    assert_eq!(m.deadline(), None);
}

fn advice(transport: TransportChoice, rollout_percentage: u8) -> Advice {
    Advice { transport, rollout_percentage, retry_after: S(2) }
}

/// What a machine does that asks at this time and is told so.
fn advised(m: &mut Machine, now: Duration, input: Input, advice: Advice) -> Vec<Command> {
    let commands = m.handle(now, input);
    let [Command::AskAdvice { ask }] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(m.deadline(), Some(now + ASK_WITHIN));
    m.handle(now, Input::Advised { ask, advice })
}

#[test]
fn the_hub_is_asked_before_the_first_socket_and_again_after_a_loss_but_not_too_often() {
    let mut m = machine(TransportChoice::Auto);
    let commands = advised(&mut m, S(0), Input::Start, advice(TransportChoice::Auto, 100));
    assert_eq!(commands, [Command::OpenSocket { conn: 1 }]);
    m.handle(S(0), Input::SocketOpened { conn: 1, renew_in: None });
    m.handle(S(0), Input::Subscribed { conn: 1, reply: ack(&["p"]) });
    m.handle(S(0), Input::Pong { conn: 1 });
    m.handle(S(10), lost(1));
    assert_eq!(m.deadline(), Some(S(13)), "not before what the hub said, 2 s, and spread over 1 s more");
    assert_eq!(m.handle(S(13), Input::Tick), [Command::OpenSocket { conn: 2 }], "it was asked lately");
    m.handle(S(13), Input::SocketOpened { conn: 2, renew_in: None });
    m.handle(S(40), lost(2));
    let commands = m.handle(S(50), Input::Tick);
    assert!(matches!(commands[..], [Command::AskAdvice { ask: 2 }]), "{commands:?}");
    assert_eq!(m.handle(S(50), Input::NotAdvised { ask: 1 }), [], "of an earlier question");
    assert_eq!(m.handle(S(53), Input::Tick), [Command::OpenSocket { conn: 3 }], "no answer in time");
    let late = Input::Advised { ask: 2, advice: advice(TransportChoice::Polling, 0) };
    assert_eq!(m.handle(S(53), late), []);
}

#[test]
fn who_is_advised_to_poll_polls_and_asks_from_time_to_time_until_a_socket_is_wanted() {
    for polls in [advice(TransportChoice::Polling, 100), advice(TransportChoice::Auto, 50)] {
        let mut m = machine(TransportChoice::Auto);
        let commands = advised(&mut m, S(0), Input::Start, polls.clone());
        assert_eq!(super::tests::polls(&commands).len(), 1, "{commands:?}");
        assert_eq!(connections(&commands)[0].cause, Some(Cause::Advised));
        let asks = |m: &mut Machine, at| advised(m, at, Input::Tick, polls.clone());
        assert!(!opens(&asks(&mut m, S(30))));
        assert!(!opens(&asks(&mut m, S(60))));
        let commands = advised(&mut m, S(90), Input::Tick, advice(TransportChoice::Auto, 51));
        assert_eq!(commands, [Command::OpenSocket { conn: 1 }], "polls go on until it is proven");
        assert!(matches!(m.phase, Phase::Probing { .. }));
    }
    let mut m = machine(TransportChoice::Auto);
    advised(&mut m, S(0), Input::Start, advice(TransportChoice::Polling, 100));
    let commands = advised(&mut m, S(30), Input::Tick, advice(TransportChoice::Websocket, 100));
    assert_eq!(commands[..2], [Command::StopPolls, Command::OpenSocket { conn: 1 }]);
    assert!(matches!(m.phase, Phase::Connecting { .. }));
    for conn in 1..9 {
        m.handle(S(30 + conn * 60), lost(conn));
        let commands = handle(&mut m, S(60 + conn * 60), Input::Tick);
        assert_eq!((super::tests::polls(&commands), opens(&commands)), (vec![], true), "sockets only");
    }
}

#[test]
fn a_callers_choice_is_not_overruled() {
    let mut m = machine(TransportChoice::Websocket);
    let commands = advised(&mut m, S(0), Input::Start, advice(TransportChoice::Polling, 0));
    assert_eq!(commands, [Command::OpenSocket { conn: 1 }]);
    let mut m = machine(TransportChoice::Polling);
    let commands = m.handle(S(0), Input::Start);
    assert!(!commands.iter().any(|command| matches!(command, Command::AskAdvice { .. })));
    assert_eq!(m.deadline(), None);
}

/// When a thousand clients that lost one hub in the same moment come back to it, in milliseconds after it.
fn returns(lose: impl Fn(&mut Machine)) -> Vec<u128> {
    let mut times: Vec<u128> = (0..1_000)
        .map(|client: u64| {
            let target = Target::Pipelines([id("p")].into());
            let chance = || -> Chance {
                let mut rng = fastrand::Rng::with_seed(client);
                Box::new(move || rng.f64())
            };
            let mut m = Machine::new(target, TransportChoice::Auto, 0, chance);
            go_live(&mut m, S(0), Input::Start, &["p"]);
            lose(&mut m);
            let Phase::Waiting { until } = m.phase else { panic!("{:?}", m.phase) };
            (until - S(1)).as_millis()
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn a_thousand_clients_do_not_come_back_in_one_moment() {
    let closing = |asked: u64| {
        move |m: &mut Machine| {
            handle(m, S(1), message(1, "hub:closing", json!({"retry_after_ms": asked})));
        }
    };
    let abrupt = |m: &mut Machine| _ = handle(m, S(1), lost(1));
    for (least, times) in [
        (0, returns(abrupt)),
        (0, returns(closing(0))),
        (1_000, returns(closing(1_000))),
        (8_000, returns(closing(8_000))),
    ] {
        assert!(times[0] >= least, "{times:?}");
        assert!(times[999] - times[0] >= 800, "{times:?}");
        // Evenly spread over a second it were 20 in any fiftieth of it.
        let within = |from: &u128| times.iter().filter(|at| (*from..from + 20).contains(*at)).count();
        let crowd = times.iter().map(within).max();
        assert!(crowd <= Some(60), "{crowd:?}");
    }
}

/// As [`live`], with a source of tokens, and `left` until the socket's has to be followed by another.
fn live_for(left: Duration) -> Machine {
    let mut m = machine(TransportChoice::Auto);
    m.set_renews(true);
    handle(&mut m, S(0), Input::Start);
    handle(&mut m, S(0), Input::SocketOpened { conn: 1, renew_in: Some(left) });
    handle(&mut m, S(0), Input::Subscribed { conn: 1, reply: ack(&["p"]) });
    handle(&mut m, S(0), Input::Pong { conn: 1 });
    assert!(matches!(m.phase, Phase::Live(_)));
    m
}

fn ended(conn: u64) -> Input {
    message(conn, "subscription:ended", json!({"pipeline_id": "p", "code": "unauthorized"}))
}

#[test]
fn a_socket_is_brought_another_token_before_the_last_one_ends() {
    // By chance a quarter of the time early, the whole of what is left to chance.
    let mut m = live_for(S(4));
    assert_eq!(m.deadline(), Some(S(3)));
    assert_eq!(handle(&mut m, S(3), Input::Tick), [Command::AskToken { conn: 1 }]);
    assert_eq!(handle(&mut m, S(3), Input::TokenAsked { conn: 2, fresh: true }), []);
    let brought = handle(&mut m, S(3), Input::TokenAsked { conn: 1, fresh: true });
    assert_eq!(brought, [Command::Refresh { conn: 1 }]);
    assert_eq!(m.deadline(), Some(S(6)), "an answer is waited for no longer than any");
    let taken = Input::Refreshed { conn: 1, refusal: None, renew_in: Some(S(200)) };
    assert_eq!(handle(&mut m, S(4), taken), []);
    handle(&mut m, S(5), Input::Tick);
    handle(&mut m, S(5), Input::Pong { conn: 1 });
    // Of a longer time it is half a minute early at most.
    let Phase::Live(link) = &m.phase else { panic!() };
    assert_eq!(link.renew_at, Some(S(4 + 200 - 30)));
}

#[test]
fn where_there_is_no_other_token_it_is_asked_for_again_and_the_socket_stays() {
    let mut m = live_for(S(4));
    handle(&mut m, S(3), Input::Tick);
    assert_eq!(handle(&mut m, S(3), Input::TokenAsked { conn: 1, fresh: false }), []);
    handle(&mut m, S(5), Input::Tick);
    handle(&mut m, S(5), Input::Pong { conn: 1 });
    assert_eq!(handle(&mut m, S(8), Input::Tick), [Command::AskToken { conn: 1 }]);
    assert_eq!(
        handle(&mut m, S(8), Input::TokenAsked { conn: 1, fresh: true }),
        [Command::Refresh { conn: 1 }]
    );
    let busy = Some((Code::Overloaded, "later".to_owned()));
    handle(&mut m, S(8), Input::Refreshed { conn: 1, refusal: busy, renew_in: None });
    handle(&mut m, S(10), Input::Tick);
    handle(&mut m, S(10), Input::Pong { conn: 1 });
    assert_eq!(handle(&mut m, S(13), Input::Tick), [Command::AskToken { conn: 1 }]);
}

#[test]
fn an_end_for_the_tokens_sake_is_followed_by_one_try_at_once_and_then_by_waits() {
    let mut m = live_for(S(1_000));
    handle(&mut m, S(20), message(1, "x:a", event("x:a", "p", 1)));
    let commands = handle(&mut m, S(20), ended(1));
    assert_eq!(commands[..2], [Command::TokenRefused, Command::CloseSocket { conn: 1 }]);
    assert!(opens(&commands), "{commands:?}");
    let ended_updates =
        commands.iter().any(|c| matches!(c, Command::Emit(Update { what: What::Ended(_), .. })));
    assert!(!ended_updates, "whoever follows is told nothing but of the connection");
    let asked = handle(&mut m, S(20), Input::SocketOpened { conn: 2, renew_in: None });
    let [Command::Subscribe { request, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(request.cursors.as_ref().unwrap()[&id("p")], "e:1".parse().unwrap(), "it goes on from there");
    // In vain: the hub does not take that one either.
    let commands = handle(&mut m, S(20), Input::Subscribed { conn: 2, reply: refusal(Code::Unauthorized) });
    assert!(!opens(&commands) && matches!(m.phase, Phase::Waiting { .. }), "{commands:?}");
    handle(&mut m, S(40), Input::Tick);
    let refused = Input::SocketRefused { conn: 3, code: Some(Code::Unauthorized), cause: "no".into() };
    assert!(!opens(&handle(&mut m, S(40), refused)));
    assert!(!m.is_closed());
}

#[test]
fn a_hub_that_lets_in_and_ends_at_once_is_not_tried_without_a_pause() {
    let mut m = live_for(S(1_000));
    handle(&mut m, S(20), ended(1));
    handle(&mut m, S(20), Input::SocketOpened { conn: 2, renew_in: None });
    handle(&mut m, S(20), Input::Subscribed { conn: 2, reply: ack(&["p"]) });
    handle(&mut m, S(20), Input::Pong { conn: 2 });
    assert!(!opens(&handle(&mut m, S(21), ended(2))));
    assert!(matches!(m.phase, Phase::Waiting { .. }));
}

#[test]
fn a_poll_whose_token_is_refused_goes_again_at_once_and_then_rests_and_never_ends() {
    let mut m = machine(TransportChoice::Polling);
    m.set_renews(true);
    let first = polls(&handle(&mut m, S(0), Input::Start))[0].0;
    let failed = |poll| {
        let failure = PollFailure { code: Some(Code::Unauthorized), message: "no".into(), retry_after: None };
        Input::PollFailed { poll, subject: Some(id("p")), failure }
    };
    let commands = handle(&mut m, S(0), failed(first));
    assert_eq!(connections(&commands), []);
    let second = polls(&commands)[0].0;
    let commands = handle(&mut m, S(0), failed(second));
    assert_eq!((polls(&commands), m.is_closed()), (vec![], false));
    assert!(matches!(
        connections(&commands)[0].cause,
        Some(Cause::Rejected { code: Code::Unauthorized, .. })
    ));
    let third = polls(&handle(&mut m, S(40), Input::Tick))[0].0;
    let polled = Polled::Messages { messages: vec![], undecodable: false, unknown: false };
    handle(&mut m, S(40), Input::PollAnswered { poll: third, subject: Some(id("p")), polled });
    let fourth = polls(&handle(&mut m, S(41), Input::Tick))[0].0;
    assert_eq!(polls(&handle(&mut m, S(41), failed(fourth))).len(), 1, "each token that ends has its own");
}

#[test]
fn a_fixed_token_that_ends_is_the_end() {
    let mut m = live();
    handle(&mut m, S(1), ended(1));
    assert!(m.is_closed());
    let mut m = machine(TransportChoice::Auto);
    handle(&mut m, S(0), Input::Start);
    handle(
        &mut m,
        S(0),
        Input::SocketRefused { conn: 1, code: Some(Code::Unauthorized), cause: "no".into() },
    );
    assert!(m.is_closed());
}
