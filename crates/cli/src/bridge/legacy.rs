//! The legacy status server over HTTP: one look at a time, bounded in time and size.
//!
//! *What may come in:* any answer. *What it never does:* wait for longer than its limit, hold more than 8 MiB, print a
//! password, or go to another server than the one that was named.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::dict::Dict;
use super::time::Zone;
use crate::failure::Failure;

/// The largest body that is read.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// How long connecting, and how long a whole look may take.
const CONNECT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(10);
/// How often it may send on.
const REDIRECTS: usize = 3;

pub(crate) struct Legacy {
    url: Url,
    /// The address for people.
    pub(crate) name: String,
    http: Client,
    zone: Zone,
}

impl Legacy {
    pub(crate) fn new(url: &str, zone: Zone) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(format!("--status-url {what}; give one such as http://127.0.0.1:8003/status"))
        };
        let mut url: Url = url.parse().map_err(|error| wrong(&format!("is no address ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("is neither http:// nor https://"));
        }
        if url.path() == "/" {
            url.set_path("/status");
        }
        let mut shown = url.clone();
        let hidden = (!url.username().is_empty() || url.password().is_some())
            .then(|| shown.set_username("").and_then(|()| shown.set_password(None)));
        let name = if hidden == Some(Err(())) { "the status server".to_owned() } else { shown.to_string() };
        let mut http = Client::builder().connect_timeout(CONNECT).timeout(LOOK).redirect(same_server());
        // A proxy is somewhere else, where this address means another machine.
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Failure::new(format!("cannot set up HTTP: {error}")))?;
        Ok(Self { url, name, http, zone })
    }

    /// One look. The error says what is wrong at the server.
    pub(crate) async fn look(&self) -> Result<Dict, String> {
        let name = &self.name;
        let mut response = self.http.get(self.url.clone()).send().await.map_err(|error| {
            let why = if error.is_timeout() {
                format!("nothing came within {} s", LOOK.as_secs())
            } else if error.is_connect() {
                "nobody answers there".to_owned()
            } else {
                cause(&error.without_url())
            };
            format!("no status from {name}: {why}")
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!(
                "{name} answers {status} where its status is expected; is --status-url right?"
            ));
        }
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| {
                format!("the answer of {name} broke off: {}", cause(&error.without_url()))
            })?;
            let Some(chunk) = chunk else { break };
            if body.len() + chunk.len() > MAX_BODY {
                return Err(format!("{name} answers with more than 8 MiB, which no status server does"));
            }
            body.extend_from_slice(&chunk);
        }
        Dict::read(&body, &self.zone).map_err(|what| {
            format!("{name} answers, but not as a status server does: {what}; is --status-url right?")
        })
    }
}

/// Follows a status server to another of its own addresses, as frameworks do for a slash at the end, and nowhere else: what
/// it names is asked for by this program, from where it runs.
fn same_server() -> Policy {
    Policy::custom(|attempt| {
        let server = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
        };
        let same = attempt.previous().first().is_some_and(|first| server(first) == server(attempt.url()));
        if same && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The innermost of the causes: the outer ones say only that something failed.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with what `answer` makes of its first line, and counts them.
    async fn server(
        answer: impl Fn(&str) -> String + Send + 'static,
    ) -> (std::net::SocketAddr, tokio::sync::watch::Receiver<u32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (count, counted) = tokio::sync::watch::channel(0);
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4_096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&head[..read]).into_owned();
                count.send_modify(|count| *count += 1);
                let answer = answer(text.lines().next().unwrap_or_default());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, counted)
    }

    fn moved(to: &str) -> String {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn a_status_server_sends_on_to_itself_only() {
        let dict = r#"{"status":"online","files_processing":[],"files_completed":[],"files_failed":[]}"#;
        let good = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{dict}",
            dict.len()
        );
        let (inner, asked) = server({
            let good = good.clone();
            move |_| good.clone()
        })
        .await;
        let (outer, _) = server(move |line| match line.split(' ').nth(1) {
            Some("/status") => moved("/status/"),
            Some("/status/") => good.clone(),
            Some("/round") => moved("/round"),
            _ => moved(&format!("http://{inner}/status")),
        })
        .await;
        let look = async |path: &str| {
            let legacy =
                Legacy::new(&format!("http://{outer}{path}"), "UTC".parse::<Zone>().unwrap()).unwrap();
            legacy.look().await.map(drop)
        };
        assert_eq!(look("/status").await, Ok(()));
        for elsewhere in ["/away", "/round"] {
            let told = look(elsewhere).await.unwrap_err();
            assert!(told.contains("307"), "{told}");
        }
        assert_eq!(*asked.borrow(), 0, "it asked another server");
    }
}
