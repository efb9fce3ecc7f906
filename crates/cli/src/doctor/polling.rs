//! Polling: is an answer that the hub holds until there is news held all the way.
//!
//! *What may come in:* answers of the hub, and of what cuts them. *What it never does:* move anybody's cursor: the hub keeps none.

use std::time::{Duration, Instant};

use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::{Cursor, PipelineId};

use super::answer::{self, Answer, Trouble, millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;

/// How long an answer is held at first.
const SHORT: u64 = 2;
/// How long clients let it be held.
const LONG: u64 = 25;
/// How often news may come in between.
const TRIES: usize = 5;

pub(super) async fn polling(target: &Target, pipeline: Option<&PipelineId>) -> Finding {
    let Some(pipeline) = pipeline else {
        return Finding::not_needed("the token may see no pipeline there is; name one by --pipeline ID");
    };
    let wait = if target.thorough { LONG } else { SHORT };
    let path = ["api", "pipelines", pipeline.as_str(), "events"];
    let tried = format!("GET {}?wait={wait}", target.path(&path));
    let mut cursor: Option<Cursor> = None;
    let mut news = 0;
    // A state that is there comes at once, and so do events: then it is asked again from there.
    for _ in 0..TRIES {
        let seq = cursor.as_ref().map(|cursor| cursor.seq.to_string()).unwrap_or_default();
        let wait_text = wait.to_string();
        let mut query = vec![("wait", wait_text.as_str())];
        if let Some(cursor) = &cursor {
            query.extend([("epoch", cursor.epoch.as_str()), ("seq", seq.as_str())]);
        }
        let request = target.get_authorized(&path, &query);
        let start = Instant::now();
        let result = answer::ask(request, Duration::from_secs(wait) + target.timeout).await;
        let held = start.elapsed();
        let answer = match result {
            Ok(answer) if answer.status.is_success() => answer,
            other => return cut(target, tried, wait, held, &other),
        };
        match answer.json::<EventsAnswer>() {
            Ok(EventsAnswer::Snapshot(answer)) => {
                cursor = Some(Cursor { epoch: answer.epoch, seq: answer.seq });
            }
            Ok(EventsAnswer::Events(page)) if page.events.is_empty() && page.reason.is_none() => {
                return held_for(tried, wait, held);
            }
            Ok(EventsAnswer::Events(page)) => {
                news += page.events.len();
                cursor = page.epoch.map(|epoch| Cursor { epoch, seq: page.seq });
            }
            Err(error) => {
                let seen = format!("the answer is not as the contract says: {error}; {}", answer.words());
                return Finding::failed("poll_unreadable", tried, seen)
                    .fault(Fault::Proxy)
                    .advice("Let the proxy pass on answers as they are.");
            }
        }
    }
    Finding::passed(tried, format!("polls bring events ({news}) faster than an answer could be held"))
}

/// The answer came whole and empty.
fn held_for(tried: String, wait: u64, held: Duration) -> Finding {
    // The hub holds by its own clock, which may run a little faster.
    if held < Duration::from_secs(wait).mul_f64(0.8) {
        let seen = format!("an empty answer came after {}, though the hub holds it {wait} s", words_of(held));
        return Finding::failed("poll_early", tried, seen)
            .fault(Fault::Proxy)
            .advice("Something answers in the hub's place: a cache, or a proxy that drops the query. Let it pass all on.")
            .detail("held_ms", millis(held));
    }
    Finding::passed(tried, format!("an answer is held for {wait} s, and arrives ({})", words_of(held)))
        .detail("held_ms", millis(held))
}

/// The answer did not come, or came from somebody else.
fn cut(
    target: &Target,
    tried: String,
    wait: u64,
    held: Duration,
    result: &Result<Answer, Trouble>,
) -> Finding {
    let advice = "Raise the proxy's timeout for answers over 30 s (nginx: proxy_read_timeout 60s).";
    let finding = match result {
        Err(Trouble::Timeout) => {
            let seen = format!(
                "the answer was to come after {wait} s and had not after {}",
                words_of(Duration::from_secs(wait) + target.timeout)
            );
            Finding::failed("poll_stuck", tried, seen).fault(Fault::Proxy).advice(
                "The proxy takes the answer and does not pass it on. Turn its buffering off for /api.",
            )
        }
        Err(Trouble::Broken(why)) => {
            let seen = format!(
                "the connection was cut after {}, before the {wait} s were over: {why}",
                words_of(held)
            );
            Finding::failed("poll_cut", tried, seen).fault(Fault::Proxy).advice(advice)
        }
        Ok(answer) if answer.problem().is_some() => Finding::failed("poll_refused", tried, answer.words())
            .fault(Fault::Hub)
            .advice("Do what the hub says."),
        Ok(answer) => {
            let seen = format!("not the hub answered, after {}: {}", words_of(held), answer.words());
            Finding::failed("poll_cut", tried, seen).fault(Fault::Proxy).advice(advice)
        }
    };
    finding.detail("held_ms", millis(held))
}
