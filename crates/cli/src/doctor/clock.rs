//! The clocks: this machine's, the hub's, and that of whoever writes the header `Date`.
//!
//! *What may come in:* times of the hub with the round trips that brought them. *What it never does:* blame a clock for less
//! than the round trip hides.

use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;
use ragpulse_protocol::http::SocketInfo;
use reqwest::header::DATE;

use super::answer::{Answer, words_of};
use super::finding::{Fault, Finding};
use super::socket::Pong;

/// A clock that is off by more is told of.
const OFF: Duration = Duration::from_secs(2);
/// A clock that is off by more breaks things: tokens begin and end at other times than meant.
const FAR_OFF: Duration = Duration::from_secs(60);

/// How far another clock is ahead of this machine's, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Offset {
    /// In milliseconds; below zero it is behind.
    ahead: i128,
    /// Plus or minus, in milliseconds.
    doubt: i128,
}

impl Offset {
    /// From a time that was told during a round trip, and is that of any moment within `grain` after it.
    fn new(sent_at: SystemTime, took: Duration, told_ms: i128, grain: Duration) -> Self {
        let middle = since_1970(sent_at) + to_i128(took) / 2;
        Self {
            ahead: told_ms + to_i128(grain) / 2 - middle,
            doubt: to_i128(took) / 2 + to_i128(grain) / 2 + 1,
        }
    }

    /// What it is off by at the least.
    fn at_least(self) -> Duration {
        let least = (self.ahead.abs() - self.doubt).max(0);
        Duration::from_millis(u64::try_from(least).unwrap_or(u64::MAX))
    }

    fn words(self) -> String {
        let off = Duration::from_millis(u64::try_from(self.ahead.abs()).unwrap_or(u64::MAX));
        format!("{} {}", words_of(off), if self.ahead > 0 { "ahead" } else { "behind" })
    }
}

fn to_i128(time: Duration) -> i128 {
    i128::try_from(time.as_millis()).unwrap_or(i128::MAX)
}

fn since_1970(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(time) => to_i128(time),
        Err(before) => -to_i128(before.duration()),
    }
}

/// `info` tells the hub's time, too, for where no socket is; `pongs` may be empty.
pub(super) fn clock(info: &SocketInfo, answer: &Answer, pongs: &[Pong]) -> Finding {
    let tried = "compared the hub's time with this machine's, taking the round trip into account";
    let told = |pong: &Pong| {
        let told = i128::from(pong.hub_ms?);
        Some(Offset::new(pong.sent_at, pong.took, told, Duration::from_millis(1)))
    };
    let by_pongs = pongs.iter().filter_map(told).min_by_key(|offset| offset.doubt);
    let by_info = Offset::new(
        answer.sent_at,
        answer.took,
        i128::from(info.last_checked.as_millis()),
        Duration::from_millis(1),
    );
    let hub = by_pongs.unwrap_or(by_info);
    let header = answer.header(DATE).and_then(|date| rfc2822::parse(date).ok());
    let header = header.map(|date| {
        let told = i128::from(date.timestamp().as_millisecond());
        Offset::new(answer.sent_at, answer.took, told, Duration::from_secs(1))
    });
    judge(tried, hub, header)
}

fn judge(tried: &str, hub: Offset, header: Option<Offset>) -> Finding {
    let off = hub.at_least();
    let finding = if off > OFF {
        let seen = format!("the hub's clock is {} of this machine's", hub.words());
        let finding = if off > FAR_OFF {
            Finding::failed("clock_skew", tried, seen)
        } else {
            Finding::warning("clock_skew", tried, seen)
        };
        finding.fault(Fault::Hub).advice(
            "Set the clocks of both machines by NTP (`timedatectl` says whether that is on). Until then times are shown \
             wrong, and tokens begin and end early or late.",
        )
    } else if let Some(header) = header.filter(|header| header.at_least() > OFF) {
        let seen = format!(
            "the header Date is {} of this machine's clock, the hub's own clock is right",
            header.words()
        );
        Finding::warning("clock_skew_proxy", tried, seen)
            .fault(Fault::Proxy)
            .advice("The clock of the machine that writes the header is wrong: set it by NTP.")
    } else {
        let doubt = Duration::from_millis(u64::try_from(hub.doubt).unwrap_or(u64::MAX));
        Finding::passed(tried, format!("the clocks agree (within {})", words_of(off.max(doubt))))
    };
    let finding = finding.detail("hub_ahead_ms", i64::try_from(hub.ahead).unwrap_or(i64::MAX));
    match header {
        Some(header) => finding.detail("date_ahead_ms", i64::try_from(header.ahead).unwrap_or(i64::MAX)),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn code(hub: Offset, header: Option<Offset>) -> &'static str {
        judge("", hub, header).code
    }

    #[test]
    fn the_round_trip_is_taken_into_account() {
        // Sent at 100 s, back 8 s later: the hub may have read its clock at any moment between.
        let slow = Offset::new(at(100_000), SECOND * 8, 107_000, Duration::ZERO);
        assert_eq!((slow.ahead, slow.at_least()), (3_000, Duration::ZERO));
        assert_eq!(code(slow, None), "ok");
        let quick = Offset::new(at(100_000), Duration::from_millis(20), 103_010, Duration::ZERO);
        assert_eq!((quick.ahead, quick.at_least()), (3_000, Duration::from_millis(2_989)));
        assert_eq!(code(quick, None), "clock_skew");
    }

    #[test]
    fn whole_seconds_are_no_skew() {
        // The header is cut to seconds: 99.999 s is told as 99.
        let header = Offset::new(at(99_999), Duration::ZERO, 99_000, SECOND);
        assert_eq!(header.at_least(), Duration::ZERO);
    }

    #[test]
    fn a_header_that_is_off_alone_is_the_proxys() {
        let right = Offset::new(at(100_000), Duration::ZERO, 100_000, Duration::ZERO);
        let wrong = Offset::new(at(100_000), Duration::ZERO, 3_700_000, SECOND);
        assert_eq!(code(right, Some(wrong)), "clock_skew_proxy");
        assert_eq!(code(right, Some(right)), "ok");
        assert_eq!(judge("", wrong, Some(right)).verdict, super::super::finding::Verdict::Failed);
    }

    #[test]
    fn the_date_of_http_is_read() {
        let date = rfc2822::parse("Mon, 23 Nov 2026 12:19:11 GMT").unwrap();
        assert_eq!(date.timestamp().to_string(), "2026-11-23T12:19:11Z");
    }
}
