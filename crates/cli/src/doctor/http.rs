//! HTTP and what answers it: is it a RagPulse hub, ready, of a version that this program knows, and does it let in.
//!
//! *What may come in:* answers of whatever stands at the address. *What it never does:* send anything but GET.

use std::net::SocketAddr;

use ragpulse_protocol::http::{Health, SocketInfo};
use ragpulse_protocol::{Code, PROTOCOL_VERSION};
use reqwest::StatusCode;
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, LOCATION, ORIGIN};

use super::answer::{Answer, Trouble, millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;
use super::tls;

/// Asks for `/health`: is HTTP spoken, and does a proxy get through to anything.
pub(super) async fn http(target: &Target, addresses: &[SocketAddr]) -> (Finding, Option<Answer>) {
    let tried = format!("GET {}", target.path(&["health"]));
    let answer = match target.ask(target.get(&["health"], &[])).await {
        Ok(answer) => answer,
        Err(trouble) => return (silent(target, addresses, tried, &trouble).await, None),
    };
    let finding = match answer.status {
        status if status.is_redirection() => {
            let to = answer.header(LOCATION).unwrap_or("somewhere else").to_owned();
            Finding::failed("http_redirected", tried, format!("the address sends on to {to} ({status})"))
                .fault(Fault::Here)
                .advice("Call the hub by that address without its path: sockets and tokens do not follow.")
                .detail("location", to)
        }
        StatusCode::BAD_REQUEST if !target.is_https() && tls::speaks_tls(target, addresses).await => {
            speaks_tls(tried)
        }
        _ if answer.problem().is_some() => answered(tried, &answer),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Finding::failed(
                "proxy_no_hub",
                tried,
                format!("a proxy answers, but no hub behind it: {}", answer.words()),
            )
            .fault(Fault::Proxy)
            .advice("Start the hub, or correct the address to which the proxy passes on.")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            let seen = format!("something before the hub lets nobody in: {}", answer.words());
            Finding::failed("proxy_refuses", tried, seen)
                .fault(Fault::Proxy)
                .advice("Let the proxy pass on requests as they are; the hub asks for tokens itself.")
        }
        _ => answered(tried, &answer),
    };
    (finding, Some(answer))
}

fn answered(tried: String, answer: &Answer) -> Finding {
    Finding::passed(tried, format!("HTTP is spoken ({}, {})", answer.status, words_of(answer.took)))
        .detail("status", answer.status.as_u16())
        .detail("took_ms", millis(answer.took))
}

async fn silent(target: &Target, addresses: &[SocketAddr], tried: String, trouble: &Trouble) -> Finding {
    if !target.is_https() && tls::speaks_tls(target, addresses).await {
        return speaks_tls(tried);
    }
    match trouble {
        Trouble::Timeout => {
            let seen =
                format!("the port takes connections, but no answer came within {}", words_of(target.timeout));
            Finding::failed("http_timeout", tried, seen).fault(Fault::Hub).advice(
                "What listens there hangs, or is no web server. Look at its log; give a slow one more time by --timeout.",
            )
        }
        Trouble::Broken(why) => {
            Finding::failed("http_broken", tried, format!("what came was no answer of HTTP: {why}"))
                .fault(Fault::Here)
                .advice("Something else than a web server listens there. Correct the port.")
        }
    }
}

fn speaks_tls(tried: String) -> Finding {
    Finding::failed("http_speaks_tls", tried, "the server speaks TLS at this port, not plain HTTP")
        .fault(Fault::Here)
        .advice("Call it by https://.")
}

/// Whether the hub goes by the name it was called by.
pub(super) fn host(target: &Target, health: &Answer) -> Finding {
    let tried = format!("called the hub by the name '{}'", target.host);
    if health.is_problem(Code::ForeignHost) {
        let advice = format!(
            "Start the hub with --host {0} (or RAGPULSE_HOST={0}), or let the proxy send the name that it has.",
            target.host
        );
        return Finding::failed("foreign_host", tried, format!("the hub refuses: {}", health.words()))
            .fault(Fault::Hub)
            .advice(advice);
    }
    Finding::passed(tried, format!("'{}' is not refused", target.host))
}

/// Whether it is a hub at all: health in the contract's words, and `/api/socket/info`.
pub(super) async fn hub(target: &Target, health: &Answer) -> (Finding, Option<(SocketInfo, Answer)>) {
    let tried = format!("GET {} and {}", target.path(&["health"]), target.path(&["api", "socket", "info"]));
    let not = |seen: String| {
        Finding::failed("not_a_hub", tried.clone(), format!("no RagPulse hub answers here: {seen}"))
            .fault(Fault::Here)
            .advice(
                "Correct the address and port. Behind a proxy: pass on /health, /api and /socket.io, all below the same path.",
            )
    };
    let answer = match target.ask(target.get(&["api", "socket", "info"], &[])).await {
        Ok(answer) => answer,
        Err(trouble) => {
            let finding =
                Finding::failed("http_flaky", tried, format!("of two requests one failed: {trouble}"))
                    .fault(Fault::Network)
                    .advice("Try again. Where it stays so, look at the log of what stands before the hub.");
            return (finding, None);
        }
    };
    let info = match answer.json::<SocketInfo>() {
        Ok(info) if answer.status.is_success() => info,
        _ => return (not(answer.words()), None),
    };
    if !health.status.is_success() || health.body.trim_ascii() != b"OK" {
        let seen = format!("{} is not the hub's: {}", target.path(&["health"]), health.words());
        let finding = Finding::warning("health_hidden", tried, seen)
            .fault(Fault::Proxy)
            .advice("Pass /health on to the hub, so that what watches it sees the hub and not the proxy.");
        return (finding, Some((info, answer)));
    }
    let finding = Finding::passed(tried, format!("a RagPulse hub answers, version {}", info.version))
        .detail("version", info.version.as_str());
    (finding, Some((info, answer)))
}

/// Whether the hub takes events and connections.
pub(super) async fn ready(target: &Target, info: &SocketInfo) -> Finding {
    let tried = format!("GET {}", target.path(&["ready"]));
    match target.ask(target.get(&["ready"], &[])).await {
        Ok(answer) if answer.status.is_success() && info.health == Health::Healthy => {
            Finding::passed(tried, "the hub takes events and connections")
        }
        Ok(answer) if answer.status.is_success() => Finding::warning(
            "not_well",
            tried,
            format!("the hub says of itself that it is {}", info.health.as_str()),
        )
        .fault(Fault::Hub)
        .advice("Look at the hub's log: its store may be full or away."),
        Ok(answer) => {
            let code = if answer.is_problem(Code::Closing) { "closing" } else { "not_ready" };
            Finding::failed(code, tried, format!("the hub is not ready: {}", answer.words()))
                .fault(Fault::Hub)
                .advice("It is starting or ending. Try again; where it stays so, look at its log.")
        }
        Err(trouble) => Finding::failed("not_ready", tried, format!("no answer: {trouble}"))
            .fault(Fault::Hub)
            .advice("Look at the hub's log."),
    }
}

/// Whether hub and program speak the same protocol.
pub(super) fn version(info: &SocketInfo) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let tried = "compared the versions".to_owned();
    let finding = if info.protocol != PROTOCOL_VERSION {
        let seen = format!(
            "the hub speaks protocol {} (version {}), this program {PROTOCOL_VERSION} (version {own})",
            info.protocol, info.version
        );
        let older = if info.protocol < PROTOCOL_VERSION { "the hub" } else { "the clients and this program" };
        Finding::failed("protocol_mismatch", tried, seen)
            .fault(if info.protocol < PROTOCOL_VERSION { Fault::Hub } else { Fault::Here })
            .advice(format!("Update {older}."))
    } else if info.version != own {
        Finding::passed(
            tried,
            format!("protocol {PROTOCOL_VERSION} on both sides (hub {}, here {own})", info.version),
        )
    } else {
        Finding::passed(tried, format!("protocol {PROTOCOL_VERSION}, version {own} on both sides"))
    };
    finding.detail("hub", info.version.as_str()).detail("protocol", info.protocol)
}

/// Whether pages may use the hub: those of its own address, or of the origin that was given.
pub(super) async fn origin(target: &Target, given: Option<&str>) -> Finding {
    let own = target.origin();
    let origin = given.map_or_else(|| own.clone(), |given| given.trim_end_matches('/').to_owned());
    let tried = format!("asked as a page of {origin} would");
    let request = target.get(&["health"], &[]).header(ORIGIN, &origin);
    let answer = match target.ask(request).await {
        Ok(answer) => answer,
        Err(trouble) => {
            return Finding::failed("http_flaky", tried, format!("no answer: {trouble}"))
                .fault(Fault::Network)
                .advice("Try again. Where it stays so, look at the log of what stands before the hub.");
        }
    };
    if answer.is_problem(Code::ForeignOrigin) {
        let finding =
            Finding::failed("foreign_origin", tried, format!("the hub refuses: {}", answer.words()));
        return if origin == own {
            finding.fault(Fault::Proxy).advice(format!(
                "The proxy sends another Host than it is called by, so the hub cannot know its own pages. Let it pass \
                 on the Host (nginx: proxy_set_header Host $http_host), and start the hub with --host {}; or start it \
                 with --cors-origin {origin}.",
                target.host
            ))
        } else {
            finding.fault(Fault::Hub).advice(format!("Start the hub with --cors-origin {origin}."))
        };
    }
    if origin != own {
        let allowed = answer.header(ACCESS_CONTROL_ALLOW_ORIGIN);
        if !allowed.is_some_and(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(&origin)) {
            let seen =
                "the hub lets the origin in, but the answer does not say so, and browsers throw it away";
            return Finding::failed("cors_headers_lost", tried, seen)
                .fault(Fault::Proxy)
                .advice("Let the proxy pass on the headers Access-Control-*, and set none of its own.");
        }
    }
    Finding::passed(tried, format!("pages of {origin} may use the hub"))
}
