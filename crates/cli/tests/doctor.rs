//! `ragpulse doctor` against a real hub, and against small proxies before it, each of which is broken in one way.
#![allow(clippy::unwrap_used)]

mod doctor_support;

use std::time::Duration;

use doctor_support::proxy::{self, Broken};
use doctor_support::{Hub, doctor, doctor_in_words, ragpulse};
use futures_util::future::join_all;
use ragpulse_protocol::{Code, Problem};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::join;
use tokio::net::TcpListener;

/// How long one request is held at first is 2 s: a proxy with this limit cuts it.
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn doctor_finds_nothing_wrong_with_a_hub_and_changes_nothing() {
    let hub = Hub::with_pipeline().await;
    let before = hub.get("/api/pipelines/docs/events").await;
    let said = doctor(&hub.url(), &[]).await;
    assert_eq!((said.exit, said.failed()), (0, vec![]), "{}", said.text);
    for finding in said.report["findings"].as_array().unwrap() {
        match finding["check"].as_str().unwrap() {
            "certificate" => assert_eq!(finding["verdict"], "skipped"),
            // A busy machine may be slow.
            "latency" => assert!(finding["details"]["p95_ms"].is_number()),
            check => assert_eq!(finding["verdict"], "passed", "{check}: {}", said.text),
        }
    }
    assert_eq!(said.finding("auth")["details"]["pipelines"], 1);
    assert_eq!(said.finding("auth")["details"]["history"], true);
    let after = hub.get("/api/pipelines/docs/events").await;
    assert_eq!((&before["epoch"], &before["seq"]), (&after["epoch"], &after["seq"]));
    let pipelines = hub.get("/api/rag-status").await["pipelines"].as_array().unwrap().len();
    assert_eq!(pipelines, 1, "doctor reports nothing");
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_with_a_proxy_that_is_not_broken() {
    let hub = Hub::start().await;
    let said = doctor(&proxy::start(hub.address, Broken::Not).await, &[]).await;
    assert_eq!((said.exit, said.failed()), (0, vec![]), "{}", said.text);
}

#[tokio::test]
async fn doctor_speaks_to_people() {
    let hub = Hub::start().await;
    let (exit, text, errors) = doctor_in_words(&["--url", &hub.url()]).await;
    assert_eq!((exit, errors.as_str()), (0, ""), "{text}");
    for words in ["ok      hub ", "skipped certificate", "Nothing is "] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(text.is_ascii(), "plain where it is no terminal: {text}");

    let refused = "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 8\r\n\r\n\x1b[2Jgone";
    let url = proxy::start(hub.address, Broken::Upgrades(refused)).await;
    let (exit, text, errors) = doctor_in_words(&[&url]).await;
    assert_eq!(exit, 1, "{text}");
    for words in [
        "FAILED  upgrade",
        "[upgrade_refused]",
        "a proxy between",
        "proxy_http_version 1.1",
        "needs `upgrade`",
    ] {
        assert!(text.contains(words), "{words:?} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "nothing from outside moves the cursor");
    assert!(errors.contains("1 of 19 checks failed"), "{errors}");
}

#[tokio::test]
async fn doctor_names_a_name_that_is_none_and_a_closed_port() {
    let said = doctor("http://no-such-hub.invalid:8103", &[]).await;
    assert!(["name_unknown", "name_timeout"].contains(&said.code("name")), "{}", said.text);
    assert_eq!((said.exit, said.failed()), (1, vec!["name"]));
    assert_eq!(said.finding("clock")["because"], "name");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = doctor(&url, &[]).await;
    said.names("connection", "connection_refused", "hub", "nobody listens");
    assert_eq!(said.failed(), ["connection"]);
}

#[tokio::test]
async fn doctor_names_what_is_no_hub() {
    let hub = Hub::start().await;
    for (answer, check, code, fault, words) in [
        (
            "HTTP/1.1 404 Not Found\r\nserver: nginx\r\ncontent-length: 9\r\n\r\nNot Found",
            "hub",
            "not_a_hub",
            "here",
            "no RagPulse hub answers here: the answer is 404 Not Found from 'nginx'",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<html></html",
            "hub",
            "not_a_hub",
            "here",
            "<html>",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
            "http",
            "proxy_no_hub",
            "proxy",
            "a proxy answers, but no hub",
        ),
        (
            "HTTP/1.1 301 Moved\r\nlocation: https://status.example/health\r\ncontent-length: 0\r\n\r\n",
            "http",
            "http_redirected",
            "here",
            "https://status.example/health",
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
            "http",
            "proxy_refuses",
            "proxy",
            "lets nobody in",
        ),
        ("220 mail.example ready\r\n", "http", "http_broken", "here", "no answer of HTTP"),
    ] {
        let url = proxy::start(hub.address, Broken::Answers(answer)).await;
        let said = doctor(&url, &[]).await;
        said.names(check, code, fault, words);
        assert_eq!(said.failed(), [check], "one fault is told once");
    }
}

#[tokio::test]
async fn doctor_names_what_takes_a_connection_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let said = doctor(&url, &["--timeout", "0.5"]).await;
    said.names("http", "http_timeout", "hub", "no answer came within 500 ms");
}

#[tokio::test]
async fn doctor_names_the_doors() {
    let hub = Hub::start().await;
    let listed = Hub::with(&["--cors-origin", "https://app.example"]).await;
    let renames = proxy::start(hub.address, Broken::Host("status.example")).await;
    let strips = proxy::start(listed.address, Broken::Header("access-control-allow-origin", None)).await;
    let (hub_url, listed_url) = (hub.url(), listed.url());
    let (said, foreign, taken, stripped) = join!(
        doctor(&renames, &[]),
        doctor(&hub_url, &["--origin", "https://app.example"]),
        doctor(&listed_url, &["--origin", "https://app.example/"]),
        doctor(&strips, &["--origin", "https://app.example"]),
    );
    said.names("host", "foreign_host", "hub", "does not go by the name 'status.example'");
    assert!(said.finding("host")["advice"].as_str().unwrap().contains("--host"));
    foreign.names("origin", "foreign_origin", "hub", "https://app.example");
    assert_eq!((taken.exit, taken.code("origin")), (0, "ok"), "{}", taken.text);
    stripped.names("origin", "cors_headers_lost", "proxy", "browsers throw it away");
}

#[tokio::test]
async fn doctor_names_a_proxy_that_refuses_upgrades() {
    let hub = Hub::start().await;
    let refusals = [
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "upgrade_refused"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "upgrade_refused"),
        ("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n", "upgrade_refused"),
        ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "upgrade_refused"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK", "upgrade_ignored"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "socketio_not_passed"),
        ("", "upgrade_cut"),
    ];
    let hub = &hub;
    join_all(refusals.map(|(answer, code)| async move {
        let url = proxy::start(hub.address, Broken::Upgrades(answer)).await;
        let said = doctor(&url, &[]).await;
        said.names("upgrade", code, "proxy", "plain requests to /socket.io/ do reach the hub");
        assert_eq!(said.failed(), ["upgrade"], "{}", said.text);
        if let Some(status) = answer.split(' ').nth(1) {
            assert_eq!(said.finding("upgrade")["details"]["status"].to_string(), status);
        }
        assert_eq!(said.finding("latency")["details"]["by"], "by HTTP");
    }))
    .await;
}

#[tokio::test]
async fn doctor_names_a_proxy_that_strips_what_makes_an_upgrade() {
    let hub = Hub::start().await;
    let url = proxy::start(hub.address, Broken::StripsUpgrades).await;
    let said = doctor(&url, &[]).await;
    said.names("upgrade", "upgrade_headers_stripped", "proxy", "without what makes it an upgrade");
    assert_eq!(said.failed(), ["upgrade"]);
}

#[tokio::test]
async fn doctor_names_sockets_that_are_silent_or_cut() {
    let hub = Hub::start().await;
    let silent = proxy::start(hub.address, Broken::SilentSockets).await;
    let cut = proxy::start(hub.address, Broken::CutsSockets(SECOND)).await;
    let (silent, said) = join!(doctor(&silent, &[]), doctor(&cut, &[]));
    silent.names("socket", "socket_silent", "proxy", "nothing comes through");
    assert_eq!(said.code("upgrade"), "ok");
    // On a machine that is very busy the second may be over before the socket was of use.
    let check = said.failed()[0];
    assert!(["stays_open", "socket", "reporting", "latency"].contains(&check), "{}", said.text);
    if check == "stays_open" {
        said.names("stays_open", "socket_cut", "proxy", "the socket was lost after");
    }
}

#[tokio::test]
async fn doctor_names_a_proxy_that_buffers() {
    let (with_state, without) = join!(Hub::with_pipeline(), Hub::start());
    join_all([&with_state, &without].map(|hub| async move {
        let url = proxy::start(hub.address, Broken::Buffers).await;
        let said = doctor(&url, &["--timeout", "3"]).await;
        said.names("stream", "stream_buffered", "proxy", "held back");
        assert!(said.finding("stream")["advice"].as_str().unwrap().contains("proxy_buffering off"));
        assert_eq!(said.failed(), ["stream"], "{}", said.text);
    }))
    .await;
}

#[tokio::test]
async fn doctor_names_a_proxy_that_cuts_what_is_held() {
    let hub = Hub::start().await;
    let cuts = proxy::start(hub.address, Broken::Cuts(SECOND, false)).await;
    let tells = proxy::start(hub.address, Broken::Cuts(SECOND, true)).await;
    let (cuts, tells) = join!(doctor(&cuts, &[]), doctor(&tells, &[]));
    cuts.names("polling", "poll_cut", "proxy", "the connection was cut after");
    cuts.names("stream", "stream_cut", "proxy", "the stream was cut after");
    assert_eq!(cuts.failed(), ["polling", "stream"], "{}", cuts.text);
    tells.names("polling", "poll_cut", "proxy", "504 Gateway Timeout");
}

#[tokio::test]
async fn doctor_names_a_proxy_that_caches() {
    let hub = Hub::start().await;
    let caches = proxy::start(hub.address, Broken::Caches).await;
    let ages = proxy::start(hub.address, Broken::Header("age", Some("7".to_owned()))).await;
    let no_tags = proxy::start(hub.address, Broken::Header("etag", None)).await;
    let (caches, ages, no_tags) = join!(doctor(&caches, &[]), doctor(&ages, &[]), doctor(&no_tags, &[]));
    caches.names("caching", "answer_cached", "proxy", "the very same time");
    ages.names("caching", "answer_cached", "proxy", "7 s old");
    no_tags.warns("caching", "etag_lost", "ETag does not arrive");
}

#[tokio::test]
async fn doctor_names_a_clock_that_is_off() {
    let hub = Hub::start().await;
    let ahead = "Fri, 01 Jan 2100 00:00:00 GMT".to_owned();
    let url = proxy::start(hub.address, Broken::Header("date", Some(ahead))).await;
    let said = doctor(&url, &[]).await;
    said.warns("clock", "clock_skew_proxy", "ahead of this machine's clock");
    assert_eq!(said.failed(), Vec::<&str>::new(), "{}", said.text);
    assert!(said.finding("clock")["details"]["date_ahead_ms"].as_i64().unwrap() > 0);
}

#[tokio::test]
async fn doctor_sees_what_a_token_of_a_hub_with_keys_may_do() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.toml");
    let mut entries = String::new();
    let mut tokens = Vec::new();
    for of in [
        ["--name=viewer", "--role=viewer", "--pipelines=docs*"],
        ["--name=elsewhere", "--role=viewer", "--pipelines=mail*"],
        ["--name=reporter", "--role=reporter", "--pipelines=*"],
    ] {
        let made = ragpulse(&[&["token", "new"], of.as_slice()].concat()).output().await.unwrap();
        let (token, told) =
            (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
        entries.push_str(&told[told.find("[[key]]").unwrap()..]);
        tokens.push(token.trim().to_owned());
    }
    std::fs::write(&keys, entries).unwrap();
    let hub = Hub::with(&["--keys", keys.to_str().unwrap()]).await;
    hub.publish("docs", Some(&tokens[2])).await;

    let said = doctor(&hub.url(), &[]).await;
    said.names("auth", "token_missing", "here", "asks for a token");
    let said = doctor(&hub.url(), &["--token", "rp_wrong"]).await;
    said.names("auth", "token_refused", "token", "does not take the token");
    for (token, pipelines, history) in [(&tokens[0], 1, json!(true)), (&tokens[1], 0, Value::Null)] {
        let said = doctor(&hub.url(), &["--token", token]).await;
        assert_eq!((said.exit, said.failed()), (0, vec![]), "{}", said.text);
        let details = &said.finding("auth")["details"];
        assert_eq!(details["token_needed"], true);
        assert_eq!(
            (&details["pipelines"], &details["history"]),
            (&json!(pipelines), &history),
            "{}",
            said.text
        );
        assert!(!said.text.contains(token.as_str()), "a token is never told");
    }
}

#[tokio::test]
async fn doctor_names_what_is_wrong_with_a_file_that_should_hold_a_token_and_one_that_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write("secret", "a secret of thirty-two bytes, or more");
    let keys = write("keys.toml", "[[jwt]]\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n");
    let hub = Hub::with(&["--keys", &keys]).await;
    let file = write("token", "");
    for (text, code, words) in [
        ("\n", "token_file_empty", "is empty"),
        ("hidden\nhidden\n", "token_file_not_one_line", "line breaks"),
    ] {
        write("token", text);
        let said = doctor(&hub.url(), &["--token-file", &file]).await;
        said.names("auth", code, "here", words);
        assert!(!said.text.contains("hidden"), "{}", said.text);
    }
    let nowhere = format!("{file}-nowhere");
    let said = doctor(&hub.url(), &["--token-file", &nowhere]).await;
    said.names("auth", "token_file_missing", "here", "is not there");
    // {"alg":"HS256"} and {"exp":1000000000}, signed by nobody: when it ended is read, and not believed.
    write("token", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEwMDAwMDAwMDB9.c2ln\n");
    let said = doctor(&hub.url(), &["--token-file", &file]).await;
    said.names("auth", "token_expired", "token", "ended at 2001-09-09T01:46:40Z");
    let mint = ["token", "mint", "--keys", &keys, "--role=viewer", "--pipelines=*", "--ttl=1h", "--name=me"];
    let minted = ragpulse(&mint).output().await.unwrap();
    write("token", &String::from_utf8(minted.stdout).unwrap());
    let said = doctor(&hub.url(), &["--token-file", &file]).await;
    assert_eq!((said.exit, said.code("auth")), (0, "ok"), "{}", said.text);
    let both =
        ragpulse(&["doctor", &hub.url(), "--token-file", &file, "--token", "x"]).output().await.unwrap();
    assert_eq!(both.status.code(), Some(2));
    let mut both = ragpulse(&["snapshot", "--url", &hub.url()]);
    both.env("RAGPULSE_TOKEN", "hidden").env("RAGPULSE_TOKEN_FILE", &file);
    let both = both.output().await.unwrap();
    let errors = String::from_utf8(both.stderr).unwrap();
    assert_eq!(both.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("RAGPULSE_TOKEN and RAGPULSE_TOKEN_FILE") && !errors.contains("hidden"),
        "{errors}"
    );
}

#[tokio::test]
async fn doctor_names_what_is_wrong_with_a_token() {
    let hub = Hub::with_pipeline().await;
    let refusal =
        serde_json::to_string(&Problem::new(Code::Unauthorized, "There is no valid token.")).unwrap();
    let refusal = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{refusal}",
        refusal.len()
    );
    let url = proxy::start(hub.address, Broken::Asks("authorization: bearer good", refusal)).await;
    let said = doctor(&url, &[]).await;
    said.names("auth", "token_missing", "here", "asks for a token");
    assert_eq!(said.finding("polling")["because"], "auth");
    assert_eq!(said.code("upgrade"), "ok", "an upgrade needs no token");
    let said = doctor(&url, &["--token", "bad"]).await;
    said.names("auth", "token_refused", "token", "does not take the token");
    assert!(!said.text.contains("bad"), "a token is never told");
    let said = doctor(&url, &["--token", "good"]).await;
    assert_eq!((said.exit, said.code("auth")), (0, "ok"), "{}", said.text);
    assert_eq!(said.finding("auth")["details"]["token_needed"], true);

    let login =
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n".to_owned();
    let url = proxy::start(hub.address, Broken::Asks("x-never: there", login)).await;
    doctor(&url, &[]).await.names("auth", "proxy_refuses", "proxy", "not the hub refuses");
}

#[tokio::test]
async fn doctor_called_wrongly_says_so() {
    for (arguments, words) in [
        (vec!["nowhere"], "give one such as"),
        (vec!["ftp://h"], "neither http:// nor https://"),
        (vec!["http://me:secret@h"], "a token goes by --token"),
        (vec!["http://h", "--timeout", "0"], "0.1 to 300"),
        (vec!["https://h", "--ca", "/no/such/file.pem"], "--ca /no/such/file.pem"),
        (vec!["http://h", "--origin", "app.example"], "has a scheme"),
        (vec!["http://h", "--pipeline", "a b"], "--pipeline"),
    ] {
        let (exit, text, errors) = doctor_in_words(&arguments).await;
        assert_eq!(exit, 2, "{arguments:?}: {text} {errors}");
        assert!(errors.contains(words) && !errors.contains("secret"), "{arguments:?}: {errors}");
    }
}

#[tokio::test]
async fn doctor_takes_the_address_of_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // A client that has left has seen enough.
            let _ = client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let mut command = ragpulse(&["doctor", "--json"]);
    let output = command.env("RAGPULSE_URL", format!("http://{address}")).output().await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (report["url"].as_str(), output.status.code()),
        (Some(&*format!("http://{address}")), Some(1))
    );
}

#[test]
fn doctor_guide_has_every_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("../../docs/guides/doctor.md")).unwrap();
    let mut codes = 0;
    for file in std::fs::read_dir(root.join("src/doctor")).unwrap() {
        let file = file.unwrap().path();
        let source = std::fs::read_to_string(&file).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for made in ["Finding::failed(", "Finding::warning("] {
            for call in source.split(made).skip(1) {
                let Some(code) = call.trim_start().strip_prefix('"').and_then(|call| call.split('"').next())
                else {
                    continue;
                };
                codes += 1;
                assert!(
                    guide.contains(&format!("`{code}`")),
                    "{code} of {} is not in the guide",
                    file.display()
                );
            }
        }
    }
    assert!(codes > 50, "only {codes} were found");
}
