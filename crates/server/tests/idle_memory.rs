//! What an idle subscribed connection keeps in memory, counted by the allocator, so that it cannot grow unseen. How much of that
//! is resident, `ragpulse-bench idle` tells.

#![allow(unsafe_code)] // An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ragpulse_server::{Config, Hub, service};
use tokio::net::TcpListener;

/// The most that each may keep, in bytes, in a build for development, where tasks are a little larger than in a release. Most of it is
/// the library's: its channel, its tasks and its read buffer. With the buffer of its request it would be 8 kB more.
const MOST: i64 = 20_500;
const BEFORE: usize = 64;
const COUNTED: usize = 256;
const PATIENCE: Duration = Duration::from_secs(30);

/// The system's allocator; it knows how many bytes are in use.
struct Counting;

static IN_USE: AtomicI64 = AtomicI64::new(0);

fn size(layout: Layout) -> i64 {
    i64::try_from(layout.size()).unwrap_or(i64::MAX)
}

// SAFETY: all is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(size(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(size(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_keeps_little() {
    let parts = Hub::builder().config(Config::default()).build().expect("a hub");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(service::serve(
        listener,
        parts,
        async move {
            let _ = stopped.await;
        },
        Duration::from_secs(5),
    ));
    // Clients on a thread of their own, which allocate nothing for each connection.
    let each = tokio::task::spawn_blocking(move || {
        open_pipeline(address);
        let mut sockets = Vec::with_capacity(BEFORE + COUNTED);
        // What grows by doubling, and what is made once, is there then.
        sockets.extend((0..BEFORE).map(|_| subscribed(address)));
        let before = settled();
        sockets.extend((0..COUNTED).map(|_| subscribed(address)));
        let after = settled();
        (after - before) / i64::try_from(COUNTED).unwrap_or(1)
    });
    let each = each.await.expect("the clients");
    println!("{each} bytes each");
    assert!(each <= MOST, "an idle connection keeps {each} bytes, and may keep {MOST}");
    // Were nothing counted, nothing could be too much.
    assert!(each > 4_096, "{each} bytes cannot be all");
    let _ = stop.send(());
    served.await.expect("the server").expect("it served");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

fn open_pipeline(address: SocketAddr) {
    let body = r#"{"event":"pipeline:online","data":{"pipeline_type":"local_files"}}"#;
    let request = format!(
        "POST /api/pipelines/p/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("it is sent");
    wait_for(&mut stream, b"\"accepted\":1");
}

/// A connection as a browser opens it, which follows the pipeline and has its state.
fn subscribed(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\npragma: no-cache\r\n\
        cache-control: no-cache\r\naccept-encoding: gzip, deflate, br, zstd\r\naccept-language: en-GB,en;q=0.9\r\n\
        user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n\
        cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it is sent");
    wait_for(&mut stream, b"\"sid\"");
    say(&mut stream, b"40");
    wait_for(&mut stream, b"40{\"sid\"");
    say(&mut stream, br#"42["subscribe",{"pipeline_id":"p"}]"#);
    wait_for(&mut stream, b"pipeline:status");
    stream
}

/// Sends a text frame; with a mask of zeros the text is itself.
fn say(stream: &mut TcpStream, text: &[u8]) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    let mut frame = [0; 132];
    frame[..2].copy_from_slice(&[0x81, 0x80 | length]);
    frame[6..6 + text.len()].copy_from_slice(text);
    stream.write_all(&frame[..6 + text.len()]).expect("it is sent");
}

/// Reads until this has come.
fn wait_for(stream: &mut TcpStream, text: &[u8]) {
    let mut heard = [0; 16 * 1_024];
    let mut end = 0;
    while !heard[..end].windows(text.len()).any(|window| window == text) {
        let count = stream.read(&mut heard[end..]).expect("something comes in time");
        assert!(count > 0, "the hub closed, or says more than was waited for");
        end += count;
    }
}

/// The bytes in use once they stay the same.
fn settled() -> i64 {
    let began = Instant::now();
    let (mut last, mut same) = (IN_USE.load(Ordering::Relaxed), 0);
    while same < 10 {
        assert!(began.elapsed() < PATIENCE, "what is in use still changes");
        std::thread::sleep(Duration::from_millis(20));
        let now = IN_USE.load(Ordering::Relaxed);
        same = if (now - last).abs() < 1_024 { same + 1 } else { 0 };
        last = now;
    }
    last
}
