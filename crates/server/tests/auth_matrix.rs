//! Every cell of who × act × way in × whose pipeline, against a live hub by real clients. What was not granted is refused, and
//! a pipeline of others cannot be told from one that does not exist.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_server::auth::{Act, Acts, Role};
use reqwest::Method;
use serde_json::{Value, json};
use support::auth::{Guarded, SECRET, everything, sign, sign_hmac};
use support::socket::Socket;

/// A way in, with the act that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    SocketSubscribe,
    SocketReplay,
    SocketAll,
    SocketReference,
    Poll,
    HeldPoll,
    Stream,
    Files,
    RagStatus,
    History,
    HttpIngest,
    SocketIngest,
    Forget,
    Metrics,
}

const WAYS: &[Way] = &[
    Way::SocketSubscribe,
    Way::SocketReplay,
    Way::SocketAll,
    Way::SocketReference,
    Way::Poll,
    Way::HeldPoll,
    Way::Stream,
    Way::Files,
    Way::RagStatus,
    Way::History,
    Way::HttpIngest,
    Way::SocketIngest,
    Way::Forget,
    Way::Metrics,
];

impl Way {
    fn act(self) -> Act {
        match self {
            Self::History => Act::History,
            Self::HttpIngest | Self::SocketIngest => Act::Report,
            Self::Forget => Act::Forget,
            Self::Metrics => Act::Metrics,
            _ => Act::View,
        }
    }

    /// Whether it shows what may be seen and leaves out the rest, where others refuse.
    fn lists(self) -> bool {
        matches!(self, Self::SocketAll | Self::SocketReference | Self::RagStatus)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It was done, or failed for a reason that has nothing to do with rights.
    Done,
    /// It was left out of a list.
    LeftOut,
    /// It was refused, with this code and these words, in which the pipeline's name reads NAME.
    Refused(String, String),
}

impl Outcome {
    fn code(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::LeftOut => "left out",
            Self::Refused(code, _) => code,
        }
    }

    /// By what a hub says: only the codes of rights are refusals here.
    fn of(code: &Value, words: &Value, pipeline: &str) -> Self {
        match code.as_str() {
            Some(code @ ("unauthorized" | "forbidden")) => {
                Self::Refused(code.to_owned(), words.as_str().unwrap().replace(pipeline, "NAME"))
            }
            _ => Self::Done,
        }
    }
}

/// One who comes, and what they may do with `docs-*`; nothing where the token is no good.
struct Visitor {
    what: &'static str,
    token: Option<String>,
    may: Option<Acts>,
}

fn visitors(guarded: &Guarded) -> Vec<Visitor> {
    let good = |what, token, acts: &[Act]| Visitor {
        what,
        token: Some(token),
        may: Some(acts.iter().copied().collect()),
    };
    let bad = |what, token| Visitor { what, token, may: None };
    let header = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": "main" });
    let with = |key: &str, value: Value| {
        let mut claims = everything();
        claims[key] = value;
        claims
    };
    let role = |role| guarded.mint(role, &["docs-*"]).0;
    let hs256 = header("HS256");
    vec![
        good("viewer", role(Role::Viewer), &[Act::View, Act::History]),
        good("reporter", role(Role::Reporter), &[Act::Report, Act::View]),
        good("admin", role(Role::Admin), Act::ALL),
        good("scraper", guarded.mint_acts(&[Act::Metrics], &[]), &[Act::Metrics]),
        good("historian", guarded.mint_acts(&[Act::History], &["docs-*"]), &[Act::History]),
        good("no role", sign_hmac(&hs256, &with("role", Value::Null), SECRET), &[]),
        bad("no token", None),
        bad("bad token", Some("bad".to_owned())),
        bad("unknown key", Some("rp_0000".to_owned())),
        bad("expired", Some(sign_hmac(&hs256, &with("exp", json!(1_000)), SECRET))),
        bad("endless", Some(sign_hmac(&hs256, &with("exp", Value::Null), SECRET))),
        bad("not yet", Some(sign_hmac(&hs256, &with("nbf", json!(1_900_000_000)), SECRET))),
        bad("revoked", Some(sign_hmac(&hs256, &with("jti", json!("gone")), SECRET))),
        bad("other secret", Some(sign_hmac(&hs256, &everything(), b"another secret of thirty-two bytes"))),
        bad("wrong alg", Some(sign_hmac(&header("HS512"), &everything(), SECRET))),
        bad("none alg", Some(sign(&header("none"), &everything(), |_| Vec::new()))),
        bad("unknown kid", Some(sign_hmac(&json!({ "alg": "HS256", "kid": "x" }), &everything(), SECRET))),
    ]
}

/// Own and there, own and not there, foreign and there, foreign and not there.
const PIPELINES: &[(&str, bool)] =
    &[("docs-a", true), ("docs-ghost", true), ("mail-a", false), ("mail-ghost", false)];

async fn over_http(guarded: &Guarded, way: Way, token: Option<&str>, pipeline: &str) -> Outcome {
    let path = |rest: &str| format!("/api/pipelines/{pipeline}{rest}");
    let (method, path, body) = match way {
        Way::Poll => (Method::GET, path("/events"), Value::Null),
        Way::HeldPoll => {
            let (epoch, seq) = guarded.cursor(pipeline).await;
            (Method::GET, path(&format!("/events?epoch={epoch}&seq={seq}&wait=0.02")), Value::Null)
        }
        Way::Stream => (Method::GET, path("/stream"), Value::Null),
        Way::Files => (Method::GET, path("/files"), Value::Null),
        Way::History => (Method::GET, path("/history"), Value::Null),
        Way::HttpIngest => (Method::POST, path("/events"), json!({ "event": "heartbeat" })),
        Way::Forget => (Method::DELETE, path(""), Value::Null),
        Way::RagStatus => (Method::GET, format!("/api/rag-status?pipeline_id={pipeline}"), Value::Null),
        Way::Metrics => (Method::GET, "/metrics".to_owned(), Value::Null),
        _ => unreachable!("{way:?} is no HTTP"),
    };
    let answer = guarded.ask(method, &path, token, &body).send().await.unwrap();
    let header = |name: &str| {
        let values = answer.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_ascii_lowercase()).collect::<Vec<_>>().join(", ")
    };
    assert!(header("cache-control").contains("private"), "{way:?}: {}", header("cache-control"));
    assert!(header("vary").contains("authorization"), "{way:?}: {}", header("vary"));
    if matches!(way, Way::Stream | Way::Metrics) && answer.status() == 200 {
        return Outcome::Done;
    }
    let status = answer.status();
    let (_, body) = support::answer(answer).await;
    if way == Way::RagStatus && status == 200 {
        let shown = body["pipelines"].as_array().unwrap().iter().any(|one| one["pipeline_id"] == pipeline);
        let absent = !shown && body.to_string().matches(pipeline).count() <= 1;
        assert!(shown || absent, "it is not listed, and yet told of: {body}");
        return if shown { Outcome::Done } else { Outcome::LeftOut };
    }
    assert_eq!(body["code"] == "unauthorized", status == 401, "{body}");
    assert_eq!(body["code"] == "forbidden", status == 403, "{body}");
    Outcome::of(&body["code"], &body["detail"], pipeline)
}

async fn over_socket(guarded: &Guarded, way: Way, token: Option<&str>, pipeline: &str) -> Outcome {
    let namespace = match way {
        Way::SocketIngest => "/ingest",
        Way::SocketReference => "/local_files",
        _ => "/",
    };
    let auth = token.map_or(json!({}), |token| json!({ "token": token }));
    let mut socket = match Socket::try_connect(guarded.hub.address, namespace, auth).await {
        Ok(socket) => socket,
        Err(refused) => {
            let at = refused.find('{').unwrap();
            let refused: Value = serde_json::from_str(&refused[at..]).unwrap();
            let words = refused["message"].as_str().unwrap();
            let (code, words) = words.split_once(": ").unwrap();
            return Outcome::of(&json!(code), &json!(words), pipeline);
        }
    };
    if way == Way::SocketReference {
        // What it follows it is told after the connection; then its own subscription is a no-op that lists it.
        let told = socket.ask("subscribe", json!({ "pipeline_type": "local_files" })).await;
        return listed(&told, pipeline);
    }
    let (command, argument) = match way {
        Way::SocketSubscribe => ("subscribe", json!({ "pipeline_id": pipeline })),
        Way::SocketReplay => {
            let (epoch, _) = guarded.cursor(pipeline).await;
            let cursors = json!({ pipeline: { "epoch": epoch, "seq": 1 } });
            ("subscribe", json!({ "pipeline_ids": [pipeline], "cursors": cursors }))
        }
        Way::SocketAll => {
            let cursors = json!({ pipeline: { "epoch": "e", "seq": 1 } });
            ("subscribe", json!({ "all": true, "cursors": cursors }))
        }
        Way::SocketIngest => {
            ("publish", json!({ "pipeline_id": pipeline, "events": [{ "event": "heartbeat" }] }))
        }
        _ => unreachable!("{way:?} is no socket"),
    };
    let answer = socket.ask(command, argument).await;
    if way == Way::SocketAll {
        return listed(&answer, pipeline);
    }
    let outcome = Outcome::of(&answer["error"]["code"], &answer["error"]["message"], pipeline);
    if outcome != Outcome::Done {
        // Nothing comes after a refusal.
        socket.ask("ping", json!(0)).await;
        assert!(socket.is_silent(), "{way:?} of {pipeline} was refused, and yet something came");
    }
    outcome
}

fn listed(answer: &Value, pipeline: &str) -> Outcome {
    let listed = answer["pipelines"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let told = listed.iter().any(|one| one["pipeline_id"] == pipeline);
    if told { Outcome::Done } else { Outcome::LeftOut }
}

async fn come(guarded: &Guarded, way: Way, token: Option<&str>, pipeline: &str) -> Outcome {
    let by_socket = matches!(
        way,
        Way::SocketSubscribe | Way::SocketReplay | Way::SocketAll | Way::SocketReference | Way::SocketIngest
    );
    if by_socket {
        over_socket(guarded, way, token, pipeline).await
    } else {
        over_http(guarded, way, token, pipeline).await
    }
}

#[tokio::test]
async fn every_cell_is_as_it_was_granted_and_nothing_else_is() {
    let guarded = Guarded::start("revoked = [\"gone\"]").await;
    guarded.open("docs-a").await;
    guarded.open("mail-a").await;
    let (mut cells, mut refused) = (0, 0);
    for visitor in visitors(&guarded) {
        for way in WAYS.iter().copied() {
            let mut of_others: Vec<Outcome> = Vec::new();
            for (pipeline, own) in PIPELINES {
                let outcome = come(&guarded, way, visitor.token.as_deref(), pipeline).await;
                let allowed = visitor.may.map(|acts| acts.has(way.act()) && (*own || way == Way::Metrics));
                let expected = match allowed {
                    None => "unauthorized",
                    // Whether it is there only those are told who may see it.
                    Some(true) if way.lists() && *pipeline == "docs-ghost" && way != Way::SocketAll => {
                        "left out"
                    }
                    Some(true) => "done",
                    Some(false) if way.lists() => "left out",
                    Some(false) => "forbidden",
                };
                assert_eq!(outcome.code(), expected, "{} by {way:?} for {pipeline}", visitor.what);
                if !own {
                    of_others.push(outcome);
                } else if way == Way::Forget && expected == "done" && *pipeline == "docs-a" {
                    guarded.open("docs-a").await;
                }
                cells += 1;
                refused += u32::from(expected != "done");
            }
            assert_eq!(of_others[0], of_others[1], "{} by {way:?} can tell what exists", visitor.what);
        }
    }
    // The last word: what belongs to others is as it was, and no refusal left anything behind.
    assert_eq!(guarded.cursor("mail-a").await.1, 2);
    println!("{cells} cells, {refused} of them refused or left out");
    assert_eq!(cells, 17 * WAYS.len() * PIPELINES.len());
}
