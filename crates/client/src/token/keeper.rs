//! How long a token is kept: pure, with the time passed in.
//!
//! *What may come in:* any text as a token, also one that has ended. *What it never does:* read a clock, or ask for tokens
//! that are about to end again and again: there is a second at least between two questions.

use std::time::{Duration, SystemTime};

use super::ends_at;

/// How long before its end a token is not kept any more. Of one that lives less than twice as long, the second half.
const AHEAD: Duration = Duration::from_secs(30);
/// The least time from one question to the next, but for a refusal.
const LEAST: Duration = Duration::from_secs(1);

struct Held {
    token: String,
    ends: Option<Duration>,
    ask: Option<Duration>,
}

/// Keeps the last token of a source.
#[derive(Default)]
pub(crate) struct Keeper {
    held: Option<Held>,
}

/// When to ask again where so much time is left.
fn next(now: Duration, left: Duration) -> Duration {
    now.saturating_add(left.saturating_sub(AHEAD.min(left / 2)).max(LEAST))
}

impl Keeper {
    /// The source gave this. `clock` is the same moment as `now`, for people.
    pub(crate) fn take(&mut self, token: String, now: Duration, clock: SystemTime) {
        let left = ends_at(&token).map(|at| at.duration_since(clock).unwrap_or_default());
        let ends = left.map(|left| now.saturating_add(left));
        self.held = Some(Held { token, ends, ask: left.map(|left| next(now, left)) });
    }

    /// The token, where the source need not be asked.
    pub(crate) fn kept(&self, now: Duration) -> Option<&str> {
        let held = self.held.as_ref()?;
        held.ask.is_none_or(|at| now < at).then_some(&held.token)
    }

    /// The last token, whatever became of it, unless it was refused.
    pub(crate) fn held(&self) -> Option<&str> {
        self.held.as_ref().map(|held| held.token.as_str())
    }

    /// The source gave none: the token, where it has not ended yet. The source is asked again later.
    pub(crate) fn make_do(&mut self, now: Duration) -> Option<&str> {
        let held = self.held.as_mut()?;
        if let Some(ends) = held.ends {
            if ends <= now {
                return None;
            }
            held.ask = Some(next(now, ends - now));
        }
        Some(&held.token)
    }

    /// The hub does not take this token. One that came since stays.
    pub(crate) fn refuse(&mut self, token: &str) {
        self.held.take_if(|held| held.token == token);
    }

    /// In what time the source is to be asked; nothing where no end is known.
    pub(crate) fn ask_in(&self, now: Duration) -> Option<Duration> {
        Some(self.held.as_ref()?.ask?.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ending;
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    /// At the moment `0`, by the clock 1,000 s since 1970.
    fn clock(now: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + S(1_000 + now)
    }

    fn with(token: &str) -> Keeper {
        let mut keeper = Keeper::default();
        keeper.take(token.to_owned(), S(0), clock(0));
        keeper
    }

    #[test]
    fn a_token_is_kept_until_half_a_minute_before_its_end() {
        let token = ending(1_900);
        let keeper = with(&token);
        assert_eq!(keeper.ask_in(S(10)), Some(S(860)));
        assert_eq!(keeper.kept(S(869)), Some(token.as_str()));
        assert_eq!(keeper.kept(S(870)), None);
    }

    #[test]
    fn one_that_lives_shortly_is_kept_for_half_of_it_and_one_that_has_ended_for_a_second() {
        assert_eq!(with(&ending(1_008)).ask_in(S(0)), Some(S(4)));
        assert_eq!(with(&ending(900)).ask_in(S(0)), Some(S(1)));
        assert_eq!(
            with(&ending(900)).kept(S(0)),
            Some(ending(900).as_str()),
            "clocks may differ: the hub decides"
        );
    }

    #[test]
    fn what_is_no_json_is_kept_until_it_is_refused() {
        let mut keeper = with("opaque");
        assert_eq!((keeper.kept(S(1_000_000)), keeper.ask_in(S(0))), (Some("opaque"), None));
        keeper.refuse("another");
        assert_eq!(keeper.kept(S(0)), Some("opaque"));
        keeper.refuse("opaque");
        assert_eq!(keeper.kept(S(0)), None);
        assert_eq!(keeper.make_do(S(0)), None);
    }

    #[test]
    fn while_the_source_fails_the_last_one_does_until_its_end_and_the_source_is_not_asked_each_time() {
        let token = ending(1_100);
        let mut keeper = with(&token);
        assert_eq!(keeper.kept(S(80)), None);
        assert_eq!(keeper.make_do(S(80)), Some(token.as_str()));
        assert_eq!(keeper.kept(S(89)), Some(token.as_str()));
        assert_eq!(keeper.kept(S(90)), None);
        assert_eq!(keeper.make_do(S(99)), Some(token.as_str()));
        assert_eq!(keeper.ask_in(S(99)), Some(S(1)));
        assert_eq!(keeper.make_do(S(100)), None);
    }
}
