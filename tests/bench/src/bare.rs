//! The least that a server can do: reads requests and answers each with the same bytes, in one thread over epoll. What it costs is the
//! system's part of every answer, so no server is faster on the machine it runs on.
//!
//! What may come in: well-meant requests without bodies on loopback. What it never does: look at what is asked.

use std::io::{ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::AnyError;

/// As long as what the hub answers where nothing is new.
const ANSWER: &[u8] =
    b"HTTP/1.1 304 Not Modified\r\netag: W/\"0123456789abcdef\"\r\ncache-control: no-cache\r\n\
x-content-type-options: nosniff\r\nx-request-id: 0123456789abcdef0123456789abcdef\r\n\
vary: origin, access-control-request-method, access-control-request-headers\r\n\
date: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\n";
const END: &[u8] = b"\r\n\r\n";
const LISTENER: Token = Token(usize::MAX);

/// Serves on a free port until it is killed.
pub(crate) fn run() -> Result<bool, AnyError> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("The bare server is at http://{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut streams) = (Events::with_capacity(1_024), Vec::<Option<TcpStream>>::new());
    let mut part = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(streams.len()), Interest::READABLE)?;
                    streams.push(Some(stream));
                }
            } else if let Some(place) = streams.get_mut(event.token().0)
                && let Some(stream) = place
                && !answer(stream, &mut part)
            {
                *place = None;
            }
        }
    }
}

/// Answers what has come; whether the connection stays.
fn answer(stream: &mut TcpStream, part: &mut [u8]) -> bool {
    loop {
        match stream.read(part) {
            Ok(0) => return false,
            // A client asks again when it has its answer, so a request is never cut in two.
            Ok(read) if part[..read].ends_with(END) => {
                if stream.write_all(ANSWER).is_err() {
                    return false;
                }
                if read < part.len() {
                    return true;
                }
            }
            Ok(_) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
