//! How many may come in: TCP connections, and sockets, polls and streams, in all, of one address and by one token.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_server::config::HubLimits;
use ragpulse_server::{Config, Hub};
use reqwest::Response;
use serde_json::{Value, json};
use support::limits::{Believing, metric, only, refusals};
use support::socket::Socket;
use support::{TestHub, eventually, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn hub(change: impl FnOnce(&mut HubLimits)) -> TestHub {
    TestHub::configured(|config| {
        config.metrics = true;
        change(&mut config.limits);
    })
    .await
}

async fn problem(answer: Response) -> (u16, String, Value) {
    let after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let (status, problem) = support::answer(answer).await;
    (status.as_u16(), after.unwrap_or_default(), problem)
}

#[tokio::test]
async fn one_address_has_so_many_places_and_gives_them_back() {
    let hub = hub(|limits| limits.connections_per_address = 3).await;
    hub.publish("p", online()).await;
    let mut kept = Vec::new();
    for namespace in ["/", "/local_files", "/ingest"] {
        kept.push(Socket::connect(hub.address, namespace).await);
    }
    for namespace in ["/", "/ingest"] {
        let refused = Socket::try_connect(hub.address, namespace, json!({})).await.err().unwrap();
        assert!(refused.contains("limit_exceeded: There are 3 connections from this address"), "{refused}");
    }
    for path in ["/api/pipelines/p/events?wait=1", "/api/pipelines/p/stream"] {
        let (status, after, problem) = problem(hub.http.get(hub.url(path)).send().await.unwrap()).await;
        assert_eq!(
            (status, after.as_str(), &problem["code"]),
            (429, "5", &json!("limit_exceeded")),
            "{problem}"
        );
    }
    only(&refusals(&hub).await, "connections_per_address", 4.0);
    assert_eq!(metric(&hub, "ragpulse_handshake_failures_total{cause=\"limit\"}").await, 2.0);
    let refused = "ragpulse_connection_attempts_total{transport=\"websocket\",outcome=\"refused\"}";
    assert_eq!(metric(&hub, refused).await, 2.0);
    // Those who are in go on.
    assert!(kept[0].ask("ping", json!(0)).await.is_number());
    kept.pop().unwrap().cut();
    eventually("a place is free", async || hub.hub.stats().connections == 2).await;
    assert_eq!(hub.state("p").await["pipeline_id"], "p");
    kept.push(Socket::connect(hub.address, "/").await);
    kept.into_iter().for_each(Socket::cut);
    eventually("all are free", async || hub.hub.stats().connections == 0).await;
}

#[tokio::test]
async fn one_token_has_so_many_places_wherever_it_comes_from() {
    let mut config = Config::default();
    config.metrics = true;
    config.limits.connections_per_token = 2;
    let hub = TestHub::with(Hub::builder().config(config).authoriser(Believing)).await;
    let connect = async |token: &str, namespace: &str| {
        Socket::try_connect(hub.address, namespace, json!({ "token": token })).await
    };
    let mut first = connect("ada", "/").await.ok().unwrap();
    let second = connect("ada", "/ingest").await.ok().unwrap();
    let refused = connect("ada", "/").await.err().unwrap();
    assert!(refused.contains("limit_exceeded: There are 2 connections by this token"), "{refused}");
    let poll = |token: &str| hub.http.get(hub.url("/api/pipelines/p/events")).bearer_auth(token).send();
    assert_eq!(problem(poll("ada").await.unwrap()).await.0, 429);
    only(&refusals(&hub).await, "connections_per_token", 2.0);
    // Another has places of their own, and cannot go over to one that has none left.
    let mut other = connect("bob", "/").await.ok().unwrap();
    let answer = other.ask("auth:refresh", json!({ "token": "ada" })).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    let answer = other.ask("auth:refresh", json!({ "token": "bob" })).await;
    assert!(answer.get("error").is_none(), "{answer}");
    // Who renews their own keeps their place; a place goes with the token that holds it.
    assert!(first.ask("auth:refresh", json!({ "token": "ada" })).await.get("error").is_none());
    assert!(first.ask("auth:refresh", json!({ "token": "eve" })).await.get("error").is_none());
    assert!(other.ask("auth:refresh", json!({ "token": "ada" })).await.get("error").is_none());
    assert!(connect("ada", "/").await.is_err());
    for socket in [first, second, other] {
        socket.cut();
    }
    eventually("all are free", async || hub.hub.stats().connections == 0).await;
    assert_eq!(poll("ada").await.unwrap().status(), 200);
    // Without a token nobody is counted by one.
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(Socket::connect(hub.address, "/").await);
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_says_whose_address_it_is() {
    let change = |config: &mut Config| {
        config.metrics = true;
        config.limits.connections_per_address = 1;
    };
    let stream = async |hub: &TestHub, chain: &str| {
        hub.http
            .get(hub.url("/api/pipelines/p/stream"))
            .header("X-Forwarded-For", chain)
            .send()
            .await
            .unwrap()
    };
    let hub = TestHub::configured(|config| {
        change(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let first = stream(&hub, "203.0.113.1").await;
    assert_eq!(first.status(), 200);
    let second = stream(&hub, "203.0.113.2").await;
    assert_eq!(second.status(), 200);
    assert_eq!(stream(&hub, "203.0.113.1").await.status(), 429);
    assert_eq!(
        stream(&hub, "9.9.9.9, 203.0.113.1").await.status(),
        429,
        "what it claims itself is not believed"
    );
    assert_eq!(stream(&hub, "203.0.113.1, 127.0.0.9").await.status(), 429, "through two proxies");
    // Neighbours in one IPv6 network are one.
    let third = stream(&hub, "2001:db8::1").await;
    assert_eq!(third.status(), 200);
    assert_eq!(stream(&hub, "2001:db8::2").await.status(), 429);
    only(&refusals(&hub).await, "connections_per_address", 4.0);

    let plain = TestHub::configured(change).await;
    let only_one = stream(&plain, "203.0.113.1").await;
    assert_eq!(only_one.status(), 200);
    assert_eq!(stream(&plain, "203.0.113.2").await.status(), 429, "nobody is trusted unless named");
}

/// What a TCP connection is told that may not come in.
async fn told(hub: &TestHub) -> String {
    let mut stream = TcpStream::connect(hub.address).await.unwrap();
    let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn clients_that_say_nothing_cannot_take_every_connection_of_others() {
    let hub = hub(|limits| limits.tcp_connections = 16).await;
    // Half a request each, and no more.
    let mut silent = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(hub.address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
        silent.push(stream);
    }
    let answer = told(&hub).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 5\r\n") && answer.contains("\"limit_exceeded\""), "{answer}");
    assert!(answer.contains("This hub has 16 connections open"), "{answer}");
    drop(silent);
    eventually("there is room again", async || told(&hub).await.starts_with("HTTP/1.1 200 ")).await;
    assert!(metric(&hub, "ragpulse_limited_total{limit=\"tcp_connections\"}").await >= 1.0);
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_at_the_door() {
    let hub = hub(|limits| limits.tcp_connections_per_address = 2).await;
    let (mut first, second) =
        (Socket::connect(hub.address, "/").await, Socket::connect(hub.address, "/ingest").await);
    let answer = told(&hub).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("from this address"), "{answer}");
    assert!(first.ask("ping", json!(0)).await.is_number());
    second.cut();
    eventually("there is room again", async || told(&hub).await.starts_with("HTTP/1.1 200 ")).await;
    let counted = metric(&hub, "ragpulse_limited_total{limit=\"tcp_connections_per_address\"}").await;
    assert!(counted >= 1.0);
    drop(first);
    // Those of a trusted proxy are not counted by their address.
    let proxied = TestHub::configured(|config| {
        config.limits.tcp_connections_per_address = 1;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let _many = [Socket::connect(proxied.address, "/").await, Socket::connect(proxied.address, "/").await];
    assert!(told(&proxied).await.starts_with("HTTP/1.1 200 "));
}
