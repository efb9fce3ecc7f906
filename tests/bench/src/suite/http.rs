//! HTTP/1.1 over one connection that is kept, blocking: the same for every server, and cheap.
//!
//! *What may come in:* answers with a length. *What it never does:* retry, or take an answer that is in chunks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::AnyError;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// After so long without a request the connection is made anew.
const RESTED: Duration = Duration::from_secs(2);

/// A connection to a server.
pub(crate) struct Http {
    host: String,
    stream: TcpStream,
    used: Instant,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Where an answer's head ends and how long its body is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) body: usize,
}

impl Http {
    /// Connects to `host:port`.
    pub(crate) fn to(host: &str) -> Result<Self, AnyError> {
        let stream = connect(host)?;
        let (request, answer) = (Vec::new(), Vec::new());
        Ok(Self { host: host.to_owned(), stream, used: Instant::now(), request, answer })
    }

    /// Publishes events, one a line.
    ///
    /// # Errors
    /// When they are not taken.
    pub(crate) fn publish(&mut self, pipeline: &str, lines: &[u8]) -> Result<(), AnyError> {
        let one = lines.iter().filter(|byte| **byte == b'\n').count() <= 1;
        let kind = if one { "application/json" } else { "application/x-ndjson" };
        let path = format!("/api/pipelines/{pipeline}/events");
        let (status, body) = self.send("POST", &path, &format!("content-type: {kind}\r\n"), lines)?;
        if status == 200 {
            return Ok(());
        }
        Err(format!("an event was answered {status}: {}", String::from_utf8_lossy(&body)).into())
    }

    /// Asks for something.
    pub(crate) fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>), AnyError> {
        self.send("GET", path, "", b"")
    }

    /// Asks for something, and gives the head of the answer too.
    pub(crate) fn raw(&mut self, path: &str) -> Result<(u16, String), AnyError> {
        let (status, _) = self.get(path)?;
        Ok((status, String::from_utf8_lossy(&self.answer).into_owned()))
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), AnyError> {
        // Node and uvicorn close what rests for five seconds.
        if self.used.elapsed() > RESTED {
            self.stream = connect(&self.host)?;
        }
        self.request.clear();
        let (host, length) = (&self.host, body.len());
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: {length}\r\n\r\n"
        )?;
        self.request.extend(body);
        self.stream.write_all(&self.request)?;
        self.answer.clear();
        let mut part = [0; 16 * 1024];
        loop {
            if let Some(head) = head(&self.answer)? {
                let whole = head.body + head.length;
                if self.answer.len() >= whole {
                    self.used = Instant::now();
                    return Ok((head.status, self.answer[head.body..whole].to_vec()));
                }
            }
            let read = self.stream.read(&mut part)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            self.answer.extend(&part[..read]);
        }
    }
}

fn connect(host: &str) -> Result<TcpStream, AnyError> {
    let stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The head of an answer, when it is whole.
///
/// # Errors
/// When it is none, or has no length.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("not HTTP: {text}"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = match (status, length) {
        (204 | 304, _) => 0,
        (_, Some(length)) => length,
        (_, None) => return Err(format!("an answer without a length: {text}")),
    };
    Ok(Some(Head { status, length, body: end + 4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_how_long_their_bodies_are() {
        let found = head(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nbody").unwrap().unwrap();
        assert_eq!(found, Head { status: 200, length: 12, body: 39 });
        let found = head(b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n").unwrap().unwrap();
        assert_eq!((found.status, found.length), (304, 0));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
