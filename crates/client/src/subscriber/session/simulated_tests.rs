//! The session machine against a model of a hub and a network that does everything a network may do: the sequence that
//! comes out has no hole, repeat or swap, and ends in the hub's state; and no promise of the module's docs is broken.

use proptest::prelude::*;
use ragpulse_protocol::Code;
use ragpulse_protocol::command::SubscribeAck;
use ragpulse_protocol::problem::CommandError;

use super::world::{Step, World, pipeline};
use super::*;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u8).prop_map(Step::Publish),
        4 => (1..12u8).prop_map(Step::Deliver),
        2 => any::<bool>().prop_map(Step::Cut),
        2 => (0..3u8).prop_map(Step::Sockets),
        4 => prop::bool::weighted(0.8).prop_map(Step::Polls),
        4 => (1..15_000u16).prop_map(Step::Advance),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (0..3_000u16).prop_map(Step::Closing),
        1 => Just(Step::Lose),
        1 => Just(Step::Garble),
        1 => Just(Step::Heartbeat),
        1 => any::<bool>().prop_map(Step::AckFirst),
        2 => (0..5u8).prop_map(Step::Advise),
    ]
}

fn choice() -> impl Strategy<Value = TransportChoice> {
    prop_oneof![
        3 => Just(TransportChoice::Auto),
        1 => Just(TransportChoice::Websocket),
        1 => Just(TransportChoice::Polling),
    ]
}

fn run(choice: TransportChoice, steps: &[Step]) -> World {
    let mut world = World::new(choice);
    world.input(Input::Start);
    for step in steps {
        world.step(step);
    }
    world.finish();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_hole_no_repeat_no_swap_and_the_hubs_state_at_the_end(
        choice in choice(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(choice, &steps);
    }

    /// Where the hub keeps its word and its history, a state once had is only ever replayed to.
    #[test]
    fn no_snapshot_where_a_replay_is_to_be_had(
        choice in choice(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let broken = |step: &Step| matches!(step, Step::Lose | Step::Garble | Step::Restart(true));
        let steps: Vec<Step> = steps.into_iter().filter(|step| !broken(step)).collect();
        let world = run(choice, &steps);
        prop_assert_eq!(world.needless, 0);
    }

    /// Inputs that no hub and no driver would give, in any order: nothing panics, and nothing is asked of a closed machine.
    #[test]
    fn any_input_in_any_phase_is_survived(inputs in prop::collection::vec((0..14u8, 0..4u64, 0..9_000u64), 1..200)) {
        let mut machine = World::new(TransportChoice::Auto).machine;
        let mut now = Duration::ZERO;
        let (mut polls, mut asked) = (Vec::new(), 0);
        for (kind, number, wait) in inputs {
            now += Duration::from_millis(wait);
            let conn = machine.conn().unwrap_or(0).saturating_sub(u64::from(number == 0));
            let poll = polls.last().copied().unwrap_or(number);
            let closed = machine.is_closed();
            let input = any_input(kind, conn, poll, asked);
            for command in machine.handle(now, input) {
                prop_assert!(!closed, "{command:?}");
                match command {
                    Command::Poll { poll, .. } => polls.push(poll),
                    Command::StopPolls => polls.clear(),
                    Command::AskAdvice { ask } => asked = ask,
                    _ => {}
                }
            }
        }
    }
}

fn any_input(kind: u8, conn: u64, poll: u64, ask: u64) -> Input {
    let mut world = World::new(TransportChoice::Auto);
    world.head = 3;
    let error = |code: Code| CommandError {
        code,
        message: "why".into(),
        retryable: code.retryable(),
        index: None,
        field: None,
    };
    let subject = Some(pipeline());
    match kind {
        0 => Input::Start,
        1 => Input::SocketOpened { conn, renew_in: None },
        2 => Input::SocketRefused { conn, code: None, cause: "no".into() },
        3 => Input::SocketLost { conn, cause: "gone".into() },
        4 => Input::Subscribed { conn, reply: Ok(SubscribeAck { pipelines: Vec::new() }) },
        5 => Input::Subscribed { conn, reply: Err(error(Code::Overloaded)) },
        6 => Input::Pong { conn },
        7 => Input::Message { conn, message: Box::new(world.event(poll % 5)) },
        8 => Input::Undecodable { conn, pipeline: None },
        9 => {
            let messages = vec![world.snapshot(None)];
            Input::PollAnswered {
                poll,
                subject,
                polled: Polled::Messages { messages, undecodable: true, unknown: false },
            }
        }
        10 => {
            let failure =
                PollFailure { code: Some(Code::InvalidCursor), message: "no".into(), retry_after: None };
            Input::PollFailed { poll, subject, failure }
        }
        11 => Input::NotAdvised { ask },
        12 => {
            let transport =
                if poll.is_multiple_of(2) { TransportChoice::Polling } else { TransportChoice::Websocket };
            let advice = Advice { transport, rollout_percentage: 60, retry_after: Duration::from_secs(1) };
            Input::Advised { ask, advice }
        }
        _ => Input::Tick,
    }
}
