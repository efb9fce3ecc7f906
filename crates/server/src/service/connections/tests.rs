//! Connections over pipes in memory, with the time of the test.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

type Half = (ReadHalf<Connection>, WriteHalf<Connection>);

fn pair(all: &Connections, room: usize) -> (Half, DuplexStream) {
    let (near, far) = duplex(room);
    (split(all.wrap(near)), far)
}

/// Reads until that fails, in a task of its own; gives the kind of the error.
fn reader(mut half: ReadHalf<Connection>) -> JoinHandle<io::ErrorKind> {
    tokio::spawn(async move {
        let mut byte = [0];
        loop {
            if let Err(error) = half.read_exact(&mut byte).await {
                return error.kind();
            }
        }
    })
}

fn writer(mut half: WriteHalf<Connection>, bytes: usize) -> JoinHandle<io::Result<()>> {
    tokio::spawn(async move { half.write_all(&vec![7; bytes]).await })
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_for_the_limit_is_cut_in_both_directions() {
    let all = Connections::new(LIMIT);
    let ((read, write), far) = pair(&all, 64);
    let begun = Instant::now();
    let (reading, writing) = (reader(read), writer(write, 65));
    // The task that reads waits for nothing but bytes, which never come.
    assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
    assert_eq!(begun.elapsed().as_secs(), LIMIT.as_secs());
    assert!(writing.await.unwrap().is_err());
    assert_eq!(all.open(), 0);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn it_is_cut_also_when_nobody_waits_for_the_write_any_more() {
    let all = Connections::new(LIMIT);
    let ((read, write), far) = pair(&all, 64);
    let reading = reader(read);
    let writing = writer(write, 65);
    tokio::time::sleep(LIMIT / 2).await;
    writing.abort();
    assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn who_takes_something_now_and_then_stays() {
    let all = Connections::new(LIMIT);
    let ((read, write), mut far) = pair(&all, 64);
    let (reading, writing) = (reader(read), writer(write, 64 + 20));
    for _ in 0..20 {
        tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
        far.read_exact(&mut [0]).await.unwrap();
    }
    writing.await.unwrap().unwrap();
    // There is nothing to write, so the peer may be silent for as long as it likes.
    tokio::time::sleep(LIMIT * 10).await;
    assert!(!reading.is_finished());
    drop(far);
    assert_eq!(reading.await.unwrap(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_finds_nothing_to_do_is_no_sign_of_life() {
    let all = Connections::new(LIMIT);
    let (mut near, far) = {
        let (near, far) = duplex(64);
        (all.wrap(near), far)
    };
    near.write_all(&[7; 64]).await.unwrap();
    let begun = Instant::now();
    loop {
        let failed = tokio::select! {
            biased;
            result = near.write_all(&[7]) => result.is_err(),
            () = tokio::time::sleep(Duration::from_secs(10)) => false,
        };
        if failed {
            break;
        }
        let _ = near.flush().await;
    }
    assert_eq!(begun.elapsed().as_secs(), LIMIT.as_secs());
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_all_there_are_and_all_to_come() {
    let all = Connections::new(LIMIT);
    let begun = Instant::now();
    let ((idle, _idle), far) = pair(&all, 64);
    let ((read, write), other) = pair(&all, 64);
    let idle = reader(idle);
    let (reading, writing) = (reader(read), writer(write, 1_000));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(all.open(), 2);
    all.cut();
    for task in [idle, reading] {
        assert_eq!(task.await.unwrap(), io::ErrorKind::ConnectionAborted);
    }
    assert!(writing.await.unwrap().is_err());
    drop(_idle);
    all.gone().await;
    assert_eq!(begun.elapsed().as_secs(), 1);
    let ((late, _write), third) = pair(&all, 64);
    assert_eq!(reader(late).await.unwrap(), io::ErrorKind::ConnectionAborted);
    drop((far, other, third));
}

#[tokio::test]
async fn what_is_written_is_counted() {
    let all = Connections::new(LIMIT);
    let (near, mut far) = duplex(64);
    let mut near = all.wrap(near);
    let wire = near.wire();
    near.write_all(b"twelve bytes").await.unwrap();
    near.flush().await.unwrap();
    assert_eq!(wire.written(), 12);
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), all.open()), ("twelve bytes", 0));
}

/// What makes a connection a WebSocket.
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A frame with a text of this letter.
fn frame(letter: u8, length: u8) -> Vec<u8> {
    [&[0x81, length][..], &vec![letter; length.into()]].concat()
}

fn text(wire: &Wire, letter: u8, length: u8) -> Pushed {
    wire.push(&Bytes::from(frame(letter, length)), 1_000, 100)
}

/// A WebSocket over a pipe that holds so much.
async fn websocket(all: &Connections, room: usize) -> (Half, Wire, DuplexStream) {
    let (near, mut far) = duplex(room);
    let near = all.wrap(near);
    let wire = near.wire();
    let (read, mut write) = split(near);
    let mut head = vec![0; SWITCH.len()];
    tokio::try_join!(write.write_all(SWITCH), far.read_exact(&mut head)).unwrap();
    ((read, write), wire, far)
}

/// The next letters that come, a frame each.
async fn letters(far: &mut DuplexStream, count: usize) -> String {
    let mut letters = String::new();
    for _ in 0..count {
        let mut head = [0; 2];
        far.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], 0x81, "not the head of a frame, after {letters}");
        let mut payload = vec![0; head[1].into()];
        far.read_exact(&mut payload).await.unwrap();
        assert!(payload.iter().all(|byte| *byte == payload[0]), "{payload:?} after {letters}");
        letters.push(payload[0].into());
    }
    letters
}

#[tokio::test(start_paused = true)]
async fn what_is_put_in_line_goes_between_the_frames_of_the_library() {
    let all = Connections::new(LIMIT);
    let ((_read, mut write), wire, mut far) = websocket(&all, 1_000).await;
    assert_eq!((text(&wire, b'a', 3), text(&wire, b'b', 3)), (Pushed::Fresh, Pushed::Behind));
    wire.flush();
    let library = frame(b'L', 100);
    write.write_all(&library[..40]).await.unwrap();
    // Not into the frame that has begun, however often it is tried.
    assert_eq!(text(&wire, b'c', 3), Pushed::Fresh);
    wire.flush();
    wire.flush();
    write.write_all(&library[40..]).await.unwrap();
    assert_eq!(letters(&mut far, 4).await, "abLc");
    // What was there before the library's next frame goes before it, flushed or not.
    assert_eq!(text(&wire, b'd', 3), Pushed::Fresh);
    write.write_all(&frame(b'M', 3)).await.unwrap();
    assert_eq!(letters(&mut far, 2).await, "dM");
    assert_eq!(wire.written(), (SWITCH.len() + 5 * 5 + 102) as u64);
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_does_not_take_yet_goes_with_the_task_that_reads() {
    let all = Connections::new(LIMIT);
    let ((read, _write), wire, mut far) = websocket(&all, 8).await;
    let reading = reader(read);
    tokio::task::yield_now().await;
    for letter in b'a'..=b'j' {
        assert_ne!(text(&wire, letter, 4), Pushed::Full);
    }
    wire.flush();
    assert_eq!(text(&wire, b'k', 4), Pushed::Behind, "somebody takes care of it");
    assert_eq!(letters(&mut far, 11).await, "abcdefghijk");
    assert!(!reading.is_finished());
    assert_eq!(text(&wire, b'l', 4), Pushed::Fresh);
}

#[tokio::test(start_paused = true)]
async fn the_library_has_its_turn_however_much_is_put_in_line() {
    let all = Connections::new(LIMIT);
    let ((read, mut write), wire, mut far) = websocket(&all, 8).await;
    let _reading = reader(read);
    for letter in b'a'..=b'e' {
        text(&wire, letter, 4);
    }
    wire.flush();
    let writing = tokio::spawn(async move {
        write.write_all(&frame(b'L', 4)).await.unwrap();
        write
    });
    let mut seen = String::new();
    for letter in b'f'..=b'z' {
        tokio::task::yield_now().await;
        text(&wire, letter, 4);
        wire.flush();
        seen += &letters(&mut far, 1).await;
    }
    let at = seen.find('L').unwrap();
    assert!((5..8).contains(&at), "{seen}");
    let mut others = seen.clone();
    others.remove(at);
    assert!("abcdefghijklmnopqrstuvwxyz".starts_with(&others), "{seen}");
    drop(writing.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_what_is_in_line_is_cut() {
    let all = Connections::new(LIMIT);
    let ((read, write), wire, mut far) = websocket(&all, 8).await;
    let begun = Instant::now();
    let reading = reader(read);
    tokio::task::yield_now().await;
    text(&wire, b'a', 100);
    wire.flush();
    // Whoever takes a little now and then stays.
    for _ in 0..3 {
        tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
        far.read_exact(&mut [0]).await.unwrap();
    }
    assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
    assert_eq!(begun.elapsed(), (LIMIT - Duration::from_secs(1)) * 3 + LIMIT);
    assert_eq!(text(&wire, b'b', 1), Pushed::Closed);
    drop(write);
    assert!(wire.is_closed() && all.open() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_library_that_waits_is_cut_though_more_is_put_in_line() {
    let all = Connections::new(LIMIT);
    let ((read, mut write), wire, mut far) = websocket(&all, 8).await;
    let begun = Instant::now();
    let reading = reader(read);
    text(&wire, b'a', 4);
    wire.flush();
    let blocked = tokio::spawn(async move { write.write_all(&frame(b'L', 100)).await });
    for _ in 0..LIMIT.as_secs() - 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        text(&wire, b'b', 4);
        wire.flush();
    }
    assert!(!reading.is_finished());
    assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
    assert_eq!(begun.elapsed(), LIMIT);
    assert!(blocked.await.unwrap().is_err());
    // What was sent before it was cut is whole as far as it goes.
    assert_eq!(letters(&mut far, 1).await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_by_bytes_and_by_messages() {
    let all = Connections::new(LIMIT);
    let ((read, write), wire, mut far) = websocket(&all, 8).await;
    let _reading = reader(read);
    let message = Bytes::from(frame(b'a', 98));
    for _ in 0..5 {
        assert_ne!(wire.push(&message, 500, 100), Pushed::Full);
    }
    assert_eq!(wire.push(&message, 500, 100), Pushed::Full);
    assert_eq!(wire.push(&message, 501, 5), Pushed::Full);
    assert_ne!(wire.push(&message, 501, 6), Pushed::Full);
    wire.flush();
    letters(&mut far, 6).await;
    assert_ne!(wire.push(&message, 1, 1), Pushed::Full, "nothing waits any more");
    drop(write);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_a_close() {
    let all = Connections::new(LIMIT);
    let ((_read, mut write), wire, mut far) = websocket(&all, 1_000).await;
    text(&wire, b'a', 3);
    write.write_all(&[0x88, 0]).await.unwrap();
    assert_eq!(text(&wire, b'b', 3), Pushed::Closed);
    wire.flush();
    assert_eq!(letters(&mut far, 1).await, "a");
    drop((_read, write));
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 0]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_websocket_nothing_is_put_in_line_by_anybody() {
    let all = Connections::new(LIMIT);
    let (near, _far) = duplex(1_000);
    let mut near = all.wrap(near);
    let wire = near.wire();
    assert_eq!(wire.takes("/", 1), None);
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert_eq!(wire.takes("/", 1), Some(false));
    drop(near);
    assert_eq!((wire.takes("/", 1), text(&wire, b'a', 1)), (Some(false), Pushed::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_not_understood_any_more_is_cut() {
    let all = Connections::new(LIMIT);
    let ((read, mut write), wire, _far) = websocket(&all, 1_000).await;
    let reading = reader(read);
    write.write_all(&[0x81, 0x80 | 5]).await.unwrap();
    assert_eq!(text(&wire, b'a', 1), Pushed::Closed);
    assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
}

/// A stream that takes all it is given at once, and then needs the peer to read before it is sent, as TLS does; and which may be told to
/// take nothing.
struct Slow {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    /// What it was last offered and did not take.
    offered: Option<Vec<u8>>,
    takes_nothing: bool,
    sends_nothing: bool,
    waker: Option<std::task::Waker>,
}

impl Taken {
    fn go_on(&mut self) {
        (self.takes_nothing, self.sends_nothing) = (false, false);
        self.waker.take().into_iter().for_each(std::task::Waker::wake);
    }
}

impl AsyncRead for Slow {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Slow {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut taken = self.taken.lock();
        // It may have begun with what it was offered: nothing else may come in its place.
        if let Some(offered) = &taken.offered {
            assert!(bytes.starts_with(offered), "{bytes:?} in place of {offered:?}");
        }
        if taken.takes_nothing {
            taken.offered.get_or_insert_with(|| bytes.to_vec());
            taken.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        taken.offered = None;
        taken.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut taken = self.taken.lock();
        if taken.sends_nothing {
            taken.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A WebSocket over one.
async fn slow(all: &Connections) -> (Half, Wire, Arc<Mutex<Taken>>) {
    let taken = Arc::<Mutex<Taken>>::default();
    let near = all.wrap(Slow { taken: taken.clone() });
    let wire = near.wire();
    let (read, mut write) = split(near);
    write.write_all(SWITCH).await.unwrap();
    taken.lock().bytes.clear();
    ((read, write), wire, taken)
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_was_offered_comes_again_before_anything_else() {
    let all = Connections::new(LIMIT);
    let ((read, mut write), wire, taken) = slow(&all).await;
    let _reading = reader(read);
    taken.lock().takes_nothing = true;
    let writing = tokio::spawn(async move {
        write.write_all(&frame(b'L', 2)).await.unwrap();
        write
    });
    for _ in 0..300 {
        tokio::task::yield_now().await;
        text(&wire, b'a', 2);
        wire.flush();
    }
    taken.lock().go_on();
    drop(writing.await.unwrap());
    tokio::task::yield_now().await;
    wire.flush();
    assert!(taken.lock().bytes.starts_with(&[&frame(b'L', 2)[..], &frame(b'a', 2)].concat()));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_line_and_was_offered_comes_again_before_the_library() {
    let all = Connections::new(LIMIT);
    let ((read, mut write), wire, taken) = slow(&all).await;
    let _reading = reader(read);
    tokio::task::yield_now().await;
    taken.lock().takes_nothing = true;
    text(&wire, b'a', 2);
    text(&wire, b'b', 2);
    wire.flush();
    let writing = tokio::spawn(async move {
        write.write_all(&frame(b'L', 2)).await.unwrap();
        write
    });
    for _ in 0..300 {
        tokio::task::yield_now().await;
        text(&wire, b'c', 2);
        wire.flush();
    }
    taken.lock().go_on();
    drop(writing.await.unwrap());
    let first = [b'a', b'b', b'L'].map(|letter| frame(letter, 2)).concat();
    assert!(taken.lock().bytes.starts_with(&first));
}

#[tokio::test(start_paused = true)]
async fn who_has_taken_everything_at_last_may_rest() {
    let all = Connections::new(LIMIT);
    let ((read, _write), wire, taken) = slow(&all).await;
    let reading = reader(read);
    tokio::task::yield_now().await;
    taken.lock().sends_nothing = true;
    text(&wire, b'a', 2);
    wire.flush();
    tokio::time::sleep(LIMIT / 2).await;
    taken.lock().go_on();
    tokio::time::sleep(LIMIT * 10).await;
    assert!(!reading.is_finished(), "it was cut while there was nothing to write");
    // Who never takes it is cut.
    taken.lock().sends_nothing = true;
    text(&wire, b'b', 2);
    wire.flush();
    tokio::time::sleep(LIMIT * 2).await;
    assert!(reading.is_finished());
}
