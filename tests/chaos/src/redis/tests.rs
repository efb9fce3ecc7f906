//! What the harness does to a Redis, on a real one.

use super::*;

async fn set(redis: &Redis, value: u32) {
    let mut connection = redis.connect().await.unwrap();
    redis::cmd("RPUSH").arg("list").arg(value).query_async::<()>(&mut connection).await.unwrap();
}

async fn list(redis: &Redis) -> Vec<u32> {
    let mut connection = redis.connect().await.unwrap();
    redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query_async(&mut connection).await.unwrap()
}

async fn start(fsync: Fsync) -> (tempfile::TempDir, Redis) {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&Run::new(1), Path::new("redis-server"), fsync, folder.path()).await.unwrap();
    (folder, redis)
}

#[tokio::test]
async fn what_was_written_survives_a_kill_and_a_flush_leaves_nothing() {
    let (_folder, mut redis) = start(Fsync::Always).await;
    set(&redis, 1).await;
    redis.kill().await.unwrap();
    redis.restart().await.unwrap();
    assert_eq!(list(&redis).await, [1]);
    redis.flush().await.unwrap();
    assert!(list(&redis).await.is_empty());
}

#[tokio::test]
async fn a_loss_of_power_takes_only_what_came_after_the_mark() {
    let (_folder, mut redis) = start(Fsync::Everysec).await;
    let mut rng = Rng::with_seed(1);
    let mut lost = 0;
    for round in 0..6 {
        set(&redis, round * 10).await;
        let keep = redis.written().await.unwrap();
        for more in 1..10 {
            set(&redis, round * 10 + more).await;
        }
        redis.lose_power(keep, &mut rng).await.unwrap();
        redis.restart().await.unwrap();
        let left = list(&redis).await;
        assert!(left.contains(&(round * 10)), "{left:?}");
        assert!(left.is_sorted(), "{left:?}");
        lost += (round * 10..round * 10 + 10).filter(|value| !left.contains(value)).count();
    }
    assert!(lost > 0, "nothing was ever lost");
}

#[tokio::test]
async fn one_that_stands_still_answers_nobody_until_it_goes_on() {
    let (_folder, redis) = start(Fsync::Always).await;
    redis.freeze().unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(200), redis.answers()).await;
    assert!(asked != Ok(true));
    redis.thaw().unwrap();
    set(&redis, 1).await;
    assert_eq!(list(&redis).await, [1]);
}

#[test]
fn half_a_command_and_half_a_transaction_are_not_whole() {
    let one = b"*2\r\n$3\r\nSET\r\n$1\r\na\r\n";
    let all = [&one[..], b"*1\r\n$5\r\nMULTI\r\n", &one[..], b"*1\r\n$4\r\nEXEC\r\n"].concat();
    assert_eq!(whole(&all), all.len());
    assert_eq!(whole(&all[..one.len() - 1]), 0);
    (one.len()..all.len()).for_each(|cut| assert_eq!(whole(&all[..cut]), one.len()));
}
