//! Caching: does a proxy keep answers that it must not, and do conditional requests get through.
//!
//! *What may come in:* answers of the hub or of what stands before it. *What it never does:* count a change of the hub's state
//! for a fault.

use std::time::Duration;

use ragpulse_protocol::http::SocketInfo;
use reqwest::StatusCode;
use reqwest::header::{AGE, CACHE_CONTROL, ETAG, IF_NONE_MATCH};

use super::answer::Answer;
use super::finding::{Fault, Finding};
use super::target::Target;

/// How often the state may change between two questions.
const TRIES: usize = 4;

/// `first` is an earlier answer of `/api/socket/info`, in which the hub tells its time.
pub(super) async fn caching(target: &Target, info: &SocketInfo, first: &Answer) -> Finding {
    let path = ["api", "socket", "info"];
    let tried = format!(
        "GET {} twice, and {} again with its ETag",
        target.path(&path),
        target.path(&["api", "rag-status"])
    );
    // The hub's times have milliseconds; one later, the answer must be another.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = match target.ask(target.get(&path, &[])).await {
        Ok(answer) => answer,
        Err(trouble) => return flaky(tried, &trouble),
    };
    let same = second.json::<SocketInfo>().is_ok_and(|second| second.last_checked == info.last_checked);
    let aged = [first, &second].into_iter().find_map(age);
    if same || aged.is_some() {
        let how = match aged {
            Some(seconds) => format!("an answer is {seconds} s old (header Age)"),
            None => "two answers carry the very same time".to_owned(),
        };
        return Finding::failed("answer_cached", tried, format!("answers come from a cache: {how}"))
            .fault(Fault::Proxy)
            .advice(
                "Who polls sees old states, and what one may see may be shown to another. Let the proxy cache nothing \
                 of the hub, or heed Cache-Control (the hub says no-store).",
            );
    }
    if !second.header(CACHE_CONTROL).is_some_and(|value| value.contains("no-store")) {
        return Finding::warning("cache_control_changed", tried, "the hub's Cache-Control does not arrive")
            .fault(Fault::Proxy)
            .advice(
                "Let the proxy pass on Cache-Control as the hub sets it, or browsers may keep old states.",
            );
    }
    conditional(target, tried).await
}

fn age(answer: &Answer) -> Option<u64> {
    answer.header(AGE)?.trim().parse().ok().filter(|age| *age > 0)
}

fn flaky(tried: String, trouble: &super::answer::Trouble) -> Finding {
    Finding::failed("http_flaky", tried, format!("no answer: {trouble}"))
        .fault(Fault::Network)
        .advice("Try again. Where it stays so, look at the log of what stands before the hub.")
}

/// Whether a second question with the tag of the first is answered by 304.
async fn conditional(target: &Target, tried: String) -> Finding {
    let path = ["api", "rag-status"];
    let mut tag: Option<String> = None;
    for _ in 0..TRIES {
        let mut request = target.get_authorized(&path, &[]);
        if let Some(tag) = &tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = match target.ask(request).await {
            Ok(answer) => answer,
            Err(trouble) => return flaky(tried, &trouble),
        };
        if answer.status == StatusCode::NOT_MODIFIED {
            return Finding::passed(tried, "no cache answers in the hub's place; ETag and 304 get through");
        }
        if !answer.status.is_success() {
            return Finding::passed(
                tried,
                "no cache answers in the hub's place (ETag not tried: no token that is taken)",
            );
        }
        let Some(next) = answer.header(ETAG) else {
            return Finding::warning("etag_lost", tried, "the hub's ETag does not arrive, so every poll costs a whole answer")
                .fault(Fault::Proxy)
                .advice("Let the proxy pass on ETag. One that compresses may take it off; weak ones (W/) need not go.");
        };
        if tag.as_deref() == Some(next) {
            let seen = "the ETag arrives, but a question with it gets the whole answer again";
            return Finding::warning("etag_ignored", tried, seen)
                .fault(Fault::Proxy)
                .advice("Let the proxy pass on If-None-Match, and the answer 304.");
        }
        tag = Some(next.to_owned());
    }
    Finding::passed(
        tried,
        "no cache answers in the hub's place (ETag not tried: the state changes all the time)",
    )
}
