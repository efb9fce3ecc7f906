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
