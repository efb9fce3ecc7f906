//! What a hub says of how it wants to be followed (`GET /api/socket/info`), and what comes of it for this client.
//!
//! *What may come in:* any advice, or none. *What it never does:* I/O; overrule the caller's own choice; ask more often
//! than every [`ASK_EVERY`].

use std::time::Duration;

use super::TransportChoice;

/// How long an answer may take: then it goes on without.
pub(crate) const ASK_WITHIN: Duration = Duration::from_secs(3);
/// The least time between two questions, also when they failed.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(30);
/// The longest a hub can put a client off.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// What a hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    /// By what clients shall follow it.
    pub(crate) transport: TransportChoice,
    /// How many clients of a hundred shall use the socket.
    pub(crate) rollout_percentage: u8,
    /// How long a client that lost its connection shall wait before it comes back.
    pub(crate) retry_after: Duration,
}

/// Which of a hundred parts of all clients this one is in: the CRC-32 of its id, which every language has, modulo 100.
pub(crate) fn part_of(client_id: &str) -> u8 {
    // Below 100 in any case.
    (crc32fast::hash(client_id.as_bytes()) % 100) as u8
}

#[derive(Debug)]
pub(super) struct Guide {
    chosen: TransportChoice,
    part: u8,
    advice: Option<Advice>,
    asked_at: Option<Duration>,
    last_ask: u64,
}

impl Guide {
    pub(super) fn new(chosen: TransportChoice, part: u8) -> Self {
        Self { chosen, part, advice: None, asked_at: None, last_ask: 0 }
    }

    /// Whether the hub is to be asked before a socket is opened.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        // Who only polls has no socket to be advised about.
        self.chosen != TransportChoice::Polling && self.next_at().is_none_or(|at| at <= now)
    }

    /// When the hub may be asked again, if it ever was.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.asked_at.map(|at| at + ASK_EVERY)
    }

    /// The hub is asked now; gives the number of the question.
    pub(super) fn ask(&mut self, now: Duration) -> u64 {
        self.asked_at = Some(now);
        self.last_ask += 1;
        self.last_ask
    }

    pub(super) fn take(&mut self, advice: Advice) {
        self.advice = Some(advice);
    }

    /// By what to connect: what the caller chose, else what the hub says.
    pub(super) fn choice(&self) -> TransportChoice {
        match (self.chosen, &self.advice) {
            (TransportChoice::Websocket | TransportChoice::Polling, _) | (_, None) => self.chosen,
            (_, Some(advice)) if self.part >= advice.rollout_percentage => TransportChoice::Polling,
            (_, Some(advice)) => advice.transport,
        }
    }

    /// How long a client that lost its socket shall wait at least.
    pub(super) fn retry_after(&self) -> Duration {
        self.advice.as_ref().map_or(Duration::ZERO, |advice| advice.retry_after.min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(transport: TransportChoice, rollout_percentage: u8) -> Advice {
        Advice { transport, rollout_percentage, retry_after: Duration::from_secs(1) }
    }

    #[test]
    fn the_callers_choice_wins_over_the_hubs_and_the_rollout_over_its_transport() {
        use TransportChoice::{Auto, Polling, Websocket};
        for (chosen, said, percentage, choice) in [
            (Auto, Polling, 100, Polling),
            (Auto, Websocket, 100, Websocket),
            (Auto, Auto, 43, Auto),
            (Auto, Auto, 42, Polling),
            (Auto, Websocket, 0, Polling),
            (Websocket, Polling, 0, Websocket),
            (Polling, Websocket, 100, Polling),
        ] {
            let mut guide = Guide::new(chosen, 42);
            assert_eq!(guide.choice(), chosen);
            guide.take(advice(said, percentage));
            assert_eq!(guide.choice(), choice, "{chosen:?} {said:?} {percentage}");
        }
    }

    #[test]
    fn the_part_of_a_client_is_the_same_for_ever_and_clients_are_in_all_parts() {
        // The check value of CRC-32 is 0xCBF43926, or 3,421,780,262.
        assert_eq!([part_of(""), part_of("123456789")], [0, 62]);
        let mut parts = [0_u32; 100];
        (0..10_000).for_each(|number| parts[usize::from(part_of(&format!("client-{number}")))] += 1);
        assert!(parts.iter().all(|count| (40..=170).contains(count)), "{parts:?}");
    }

    #[test]
    fn it_is_asked_every_thirty_seconds_at_most_and_never_by_who_only_polls() {
        let mut guide = Guide::new(TransportChoice::Auto, 0);
        assert!(guide.is_due(Duration::ZERO));
        guide.ask(Duration::ZERO);
        assert!(!guide.is_due(ASK_EVERY - Duration::from_millis(1)));
        assert!(guide.is_due(ASK_EVERY));
        assert!(!Guide::new(TransportChoice::Polling, 0).is_due(ASK_EVERY));
    }
}
