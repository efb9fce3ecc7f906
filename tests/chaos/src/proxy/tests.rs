//! What the proxy does to bytes between two plain sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Ends {
    lane: Lane,
    client: TcpStream,
    server: TcpStream,
    listener: TcpListener,
}

async fn ends() -> Ends {
    let run = Run::new(7);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let lane = Lane::open(&run, "test", &[listener.local_addr().unwrap()]).await.unwrap();
    let client = TcpStream::connect(lane.address()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    Ends { lane, client, server, listener }
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    to.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
}

async fn nothing_comes(stream: &mut TcpStream) {
    let read = tokio::time::timeout(Duration::from_millis(150), stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_is_passed_on() {
    let Ends { mut client, mut server, lane: _lane, .. } = ends().await;
    passes(&mut client, &mut server).await;
    passes(&mut server, &mut client).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    passes(&mut server, &mut client).await;
}

#[tokio::test]
async fn a_cut_is_a_reset_to_both_sides() {
    let Ends { mut client, mut server, lane, .. } = ends().await;
    passes(&mut client, &mut server).await;
    lane.cut();
    for stream in [&mut client, &mut server] {
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_stall_holds_one_direction_and_loses_nothing() {
    let Ends { mut client, mut server, lane, .. } = ends().await;
    lane.stall(true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.write_all(b"late").await.unwrap();
    nothing_comes(&mut client).await;
    passes(&mut client, &mut server).await;
    lane.stall(false);
    let mut got = [0; 4];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"late");
}

#[tokio::test]
async fn a_lane_that_is_down_refuses_or_swallows_and_comes_back() {
    let Ends { mut client, lane, listener, .. } = ends().await;
    lane.down(Down::Refuse);
    assert!(client.read_u8().await.is_err());
    let mut refused = TcpStream::connect(lane.address()).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    lane.down(Down::Swallow);
    let mut swallowed = TcpStream::connect(lane.address()).await.unwrap();
    nothing_comes(&mut swallowed).await;
    lane.up();
    assert!(swallowed.read_u8().await.is_err());
    let mut client = TcpStream::connect(lane.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    passes(&mut client, &mut server).await;
}

#[tokio::test]
async fn silence_tells_nobody_and_calm_ends_it() {
    let Ends { mut client, mut server, lane, listener } = ends().await;
    lane.misbehave(Faults { every: 1..=1, acts: &[Act::Silence], latency: 0..=0 });
    drop((client, server));
    client = TcpStream::connect(lane.address()).await.unwrap();
    (server, _) = listener.accept().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(b"lost").await.unwrap();
    nothing_comes(&mut server).await;
    lane.calm();
    assert!(client.read_u8().await.is_err());
}

#[tokio::test]
async fn connections_go_to_all_hubs_and_never_to_one_that_is_gone() {
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.push(TcpListener::bind(("127.0.0.1", 0)).await.unwrap());
    }
    let targets: Vec<SocketAddr> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
    let lane = Lane::open(&Run::new(7), "test", &targets).await.unwrap();
    let mut clients = Vec::new();
    let mut counts = [0, 0];
    for _ in 0..20 {
        clients.push(TcpStream::connect(lane.address()).await.unwrap());
        let which = tokio::select! {
            _ = listeners[0].accept() => 0,
            _ = listeners[1].accept() => 1,
        };
        counts[which] += 1;
    }
    assert!(counts.iter().all(|count| *count > 2), "{counts:?}");
    drop(listeners.remove(0));
    for _ in 0..10 {
        clients.push(TcpStream::connect(lane.address()).await.unwrap());
        listeners[0].accept().await.unwrap();
    }
}
