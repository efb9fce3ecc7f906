//! The token: is one needed, is it taken, and what may it do, as far as that can be told by reading.
//!
//! *What may come in:* answers of the hub. *What it never does:* publish, forget, or send another token than the given one.

use ragpulse_client::token::{TokenFileError, ends_at};
use ragpulse_protocol::http::RagStatus;
use ragpulse_protocol::{Code, PipelineId};
use reqwest::StatusCode;

use super::answer::{Answer, Trouble};
use super::finding::{Fault, Finding};
use super::target::Target;

/// The pipeline that is asked for where none is named: nobody reports to it.
pub(super) const NOBODY: &str = "ragpulse-doctor";

/// What may be looked at.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The pipelines there are.
    pub(super) pipelines: Vec<PipelineId>,
    /// A pipeline on which to wait: the one that was named, or one that never has news, or one there is.
    pub(super) waits_on: Option<PipelineId>,
}

impl Sight {
    /// A pipeline that has a state.
    pub(super) fn known(&self, named: Option<&PipelineId>) -> Option<&PipelineId> {
        match named {
            Some(named) => self.pipelines.iter().find(|known| *known == named),
            None => self.pipelines.first(),
        }
    }
}

pub(super) async fn auth(target: &Target, named: Option<&PipelineId>) -> (Finding, Sight) {
    if let Some(error) = &target.no_token {
        return (no_token(error), Sight::default());
    }
    let path = ["api", "rag-status"];
    let tried = match &target.token {
        Some(_) => format!("GET {} with the token and without", target.path(&path)),
        None => format!("GET {} without a token", target.path(&path)),
    };
    // A name of its own for each question, so that no cache answers it.
    let nonce = jiff::Timestamp::now().as_nanosecond();
    let with = target.get_authorized(&path, &[("doctor", &format!("{nonce}-a"))]);
    let without = target.get(&path, &[("doctor", &format!("{nonce}-b"))]);
    let with = match target.ask(with).await {
        Ok(answer) => answer,
        Err(trouble) => return (broken(tried, &trouble), Sight::default()),
    };
    if !with.status.is_success() {
        return (refused(target, tried, &with), Sight::default());
    }
    let pipelines: Vec<PipelineId> = match with.json::<RagStatus>() {
        Ok(status) => status.pipelines.into_iter().map(|pipeline| pipeline.pipeline_id).collect(),
        Err(error) => {
            let seen = format!("the answer is not as the contract says: {error}");
            let finding = Finding::failed("status_unreadable", tried, seen)
                .fault(Fault::Proxy)
                .advice("Let the proxy pass on answers as they are.");
            return (finding, Sight::default());
        }
    };
    let open =
        target.token.is_none() || target.ask(without).await.is_ok_and(|answer| answer.status.is_success());
    let (mut sight, view) = look(target, named, pipelines).await;
    if let Some(finding) = view {
        return (finding.detail("token_needed", !open), sight);
    }
    let history = history(target, sight.known(named)).await;
    sight.pipelines.truncate(100);
    (taken(target, tried, open, &sight, history), sight)
}

fn broken(tried: String, trouble: &Trouble) -> Finding {
    Finding::failed("http_flaky", tried, format!("no answer: {trouble}"))
        .fault(Fault::Network)
        .advice("Try again. Where it stays so, look at the log of what stands before the hub.")
}

/// A file was named, and there is no token in it.
fn no_token(error: &TokenFileError) -> Finding {
    let (code, advice) = match error {
        TokenFileError::Missing(_) => {
            ("token_file_missing", "Name the file that is there, or start what writes it.")
        }
        TokenFileError::Empty(_) => (
            "token_file_empty",
            "Write the token beside the file and rename it to its name, so that nobody reads it half written.",
        ),
        TokenFileError::NoToken(_) => (
            "token_file_not_one_line",
            "Write the token as it was handed out, in one line, and nothing else into the file.",
        ),
        _ => ("token_file_unreadable", "Let whoever runs this read the file."),
    };
    Finding::failed(code, "read the token file", error.to_string()).fault(Fault::Here).advice(advice)
}

/// When the token has ended, if it says so itself.
fn ended(target: &Target) -> Option<jiff::Timestamp> {
    let at = jiff::Timestamp::try_from(ends_at(target.token.as_deref()?)?).ok()?;
    (at < jiff::Timestamp::now()).then_some(at)
}

fn refused(target: &Target, tried: String, answer: &Answer) -> Finding {
    let words = answer.words();
    let by_hub = answer.problem().is_some();
    match answer.status {
        StatusCode::UNAUTHORIZED if by_hub && target.token.is_none() => {
            Finding::failed("token_missing", tried, format!("the hub asks for a token: {words}"))
                .fault(Fault::Here)
                .advice("Give one by --token or --token-file; the operator of the hub has it.")
        }
        StatusCode::UNAUTHORIZED if by_hub && ended(target).is_some() => {
            let at = ended(target).map(|at| at.to_string()).unwrap_or_default();
            let seen =
                format!("the hub does not take the token, which ended at {at} by its own `exp`: {words}");
            Finding::failed("token_expired", tried, seen).fault(Fault::Token).advice(
                "Ask for a new one. What runs longer than a token lives takes it from a file that is kept up to date: \
                 --token-file or RAGPULSE_TOKEN_FILE.",
            )
        }
        StatusCode::UNAUTHORIZED if by_hub => {
            Finding::failed("token_refused", tried, format!("the hub does not take the token: {words}"))
                .fault(Fault::Token)
                .advice(
                    "It may have ended, be revoked, or be for another hub. Ask the operator for a new one.",
                )
        }
        StatusCode::FORBIDDEN if by_hub => {
            Finding::failed("token_may_nothing", tried, format!("the token may not see anything: {words}"))
                .fault(Fault::Token)
                .advice("Ask the operator for one that may.")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Finding::failed(
            "proxy_refuses",
            tried,
            format!("not the hub refuses, but what is before it: {words}"),
        )
        .fault(Fault::Proxy)
        .advice(
            "Let the proxy pass on requests with their Authorization header; the hub asks for tokens itself.",
        ),
        _ if by_hub => Finding::failed("hub_refuses", tried, words)
            .fault(Fault::Hub)
            .advice("Do what the hub says; look at its log."),
        _ => Finding::failed("api_not_passed", tried, format!("this is not the hub's answer: {words}"))
            .fault(Fault::Proxy)
            .advice("Pass on everything below /api to the hub."),
    }
}

/// Finds out on which pipeline one may wait.
async fn look(
    target: &Target,
    named: Option<&PipelineId>,
    pipelines: Vec<PipelineId>,
) -> (Sight, Option<Finding>) {
    let nobody = PipelineId::new(NOBODY).ok();
    let first = pipelines.first().cloned();
    let candidates: Vec<_> = match named {
        Some(named) => vec![named.clone()],
        None => nobody.into_iter().chain(first).collect(),
    };
    let mut sight = Sight { pipelines, waits_on: None };
    for candidate in candidates {
        let path = ["api", "pipelines", candidate.as_str(), "events"];
        let tried = format!("GET {} with the token", target.path(&path));
        match target.ask(target.get_authorized(&path, &[("wait", "0")])).await {
            Ok(answer) if answer.status.is_success() => {
                sight.waits_on = Some(candidate);
                break;
            }
            Ok(answer) if answer.is_problem(Code::Forbidden) || answer.is_problem(Code::Unauthorized) => {
                if named.is_some() {
                    let finding = Finding::failed("token_not_for_pipeline", tried, answer.words())
                        .fault(Fault::Token)
                        .advice("Ask the operator for a token whose `pipelines` name it.");
                    return (sight, Some(finding));
                }
            }
            Ok(answer) => return (sight, Some(refused(target, tried, &answer))),
            Err(trouble) => return (sight, Some(broken(tried, &trouble))),
        }
    }
    (sight, None)
}

/// Whether the past may be read, where that can be told.
async fn history(target: &Target, known: Option<&PipelineId>) -> Option<bool> {
    let path = ["api", "pipelines", known?.as_str(), "history"];
    let answer = target.ask(target.get_authorized(&path, &[("limit", "1")])).await.ok()?;
    let refused = answer.is_problem(Code::Forbidden);
    (answer.status.is_success() || refused).then_some(!refused)
}

fn taken(target: &Target, tried: String, open: bool, sight: &Sight, history: Option<bool>) -> Finding {
    let seen = match sight.pipelines.len() {
        0 => "no pipeline is to be seen".to_owned(),
        1 => "one pipeline is to be seen".to_owned(),
        many => format!("{many} pipelines are to be seen"),
    };
    let past = match history {
        Some(true) => ", their past too",
        Some(false) => ", their past not",
        None => "",
    };
    let finding = if !open {
        Finding::passed(tried, format!("the token is needed, and taken: {seen}{past}"))
    } else if target.is_loopback() {
        let asked = if target.token.is_some() { "; the token is not asked for" } else { "" };
        Finding::passed(tried, format!("the hub lets everybody in{asked}: {seen}{past}"))
    } else {
        Finding::warning("open_to_all", tried, format!("the hub shows everything without a token: {seen}"))
            .fault(Fault::Hub)
            .advice(
                "Who reaches this address may see everything, and report and forget too. Give the hub keys.",
            )
    };
    let finding = match history {
        Some(allowed) => finding.detail("history", allowed),
        None => finding,
    };
    finding.detail("token_needed", !open).detail("pipelines", sight.pipelines.len())
}
