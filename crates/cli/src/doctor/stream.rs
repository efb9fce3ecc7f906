//! The stream: do its first bytes come at once, and does it stay open.
//!
//! *What may come in:* server-sent events, or what a proxy makes of them. *What it never does:* read on without end.

use std::time::{Duration, Instant};

use ragpulse_protocol::PipelineId;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Response, StatusCode};

use super::answer::{Trouble, describe, millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;

/// How long it must stay open.
const OPEN: Duration = Duration::from_secs(2);
/// The same with `--thorough`: the hub writes something every 15 s.
const OPEN_LONG: Duration = Duration::from_secs(35);

/// What came of a stream.
enum Came {
    /// Something to read.
    Bytes,
    /// Its end, with the reason.
    End(String),
    /// Nothing in this time.
    Nothing,
}

/// `known` has a state, which comes at once; where there is none, `quiet` shows at least whether the answer begins.
pub(super) async fn stream(
    target: &Target,
    known: Option<&PipelineId>,
    quiet: Option<&PipelineId>,
) -> Finding {
    let Some(pipeline) = known.or(quiet) else {
        return Finding::not_needed("the token may see no pipeline there is; name one by --pipeline ID");
    };
    let path = ["api", "pipelines", pipeline.as_str(), "stream"];
    let tried = format!("GET {}", target.path(&path));
    // As browsers ask: a proxy that compresses does so here, too.
    let request = target.get_authorized(&path, &[]).header(ACCEPT_ENCODING, "gzip");
    let start = Instant::now();
    let mut response = match tokio::time::timeout(target.timeout, request.send()).await {
        Err(_) => {
            return buffered(tried, format!("not even its head came within {}", words_of(target.timeout)));
        }
        Ok(Err(error)) => {
            return ended(tried, start.elapsed(), &Trouble::from(error).to_string());
        }
        Ok(Ok(response)) => response,
    };
    let head = start.elapsed();
    if response.status() != StatusCode::OK {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = tokio::time::timeout(target.timeout, response.bytes()).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let seen = format!("there is no stream: {}", describe(status, &headers, &body));
        return Finding::failed("stream_refused", tried, seen)
            .fault(Fault::Proxy)
            .advice("Pass on everything below /api to the hub.");
    }
    let compressed = response.headers().contains_key(CONTENT_ENCODING);
    if known.is_some() {
        match next(&mut response, target.timeout).await {
            Came::Bytes => {}
            Came::End(why) => return ended(tried, start.elapsed(), &why),
            Came::Nothing => {
                let seen = format!(
                    "its head came, but none of the state that the hub writes at once, within {}",
                    words_of(target.timeout)
                );
                return buffered(tried, seen);
            }
        }
    }
    let first = start.elapsed();
    let open = if target.thorough { OPEN_LONG } else { OPEN };
    let (until, mut more) = (Instant::now() + open, false);
    loop {
        match next(&mut response, until.saturating_duration_since(Instant::now())).await {
            Came::Bytes if Instant::now() < until => more = true,
            Came::End(why) => return ended(tried, start.elapsed(), &why),
            Came::Bytes | Came::Nothing => break,
        }
    }
    if target.thorough && !more {
        let seen = format!("nothing came in {}, though the hub writes every 15 s", words_of(open));
        return buffered(tried, seen);
    }
    if compressed {
        return Finding::warning(
            "stream_compressed",
            tried,
            "a proxy compresses the stream, which holds back small events",
        )
        .fault(Fault::Proxy)
        .advice("Turn compression off for text/event-stream.");
    }
    let seen = if known.is_some() || target.thorough {
        format!("a stream begins at once ({}) and stays open ({})", words_of(first), words_of(open))
    } else {
        format!(
            "a stream begins at once ({}) and stays open ({}); there is no pipeline whose state it could bring",
            words_of(head),
            words_of(open)
        )
    };
    Finding::passed(tried, seen).detail("first_ms", millis(first))
}

async fn next(response: &mut Response, within: Duration) -> Came {
    match tokio::time::timeout(within, response.chunk()).await {
        Err(_) => Came::Nothing,
        Ok(Ok(Some(_))) => Came::Bytes,
        Ok(Ok(None)) => Came::End("it ended".to_owned()),
        Ok(Err(error)) => Came::End(Trouble::from(error).to_string()),
    }
}

fn buffered(tried: String, seen: String) -> Finding {
    Finding::failed("stream_buffered", tried, format!("the stream is held back: {seen}"))
        .fault(Fault::Proxy)
        .advice("Turn buffering off for /api (nginx: proxy_buffering off; no gzip for text/event-stream).")
}

fn ended(tried: String, after: Duration, why: &str) -> Finding {
    Finding::failed("stream_cut", tried, format!("the stream was cut after {}: {why}", words_of(after)))
        .fault(Fault::Proxy)
        .advice("Raise the proxy's timeout for answers (nginx: proxy_read_timeout 60s; the hub writes every 15 s).")
        .detail("after_ms", millis(after))
}
