use super::*;

fn seen(version: i64) -> Seen {
    Seen::for_test(version, false)
}

fn scan(files: &[(&str, i64)]) -> Scan {
    let mut scan = Scan::default();
    scan.files.extend(files.iter().map(|(path, version)| (PathBuf::from(path), seen(*version))));
    scan
}

/// The decisions in short: `+path` queued, `-path` removed, `x path` ended while waiting.
fn short(decisions: Vec<Decision>) -> Vec<String> {
    let one = |decision| match decision {
        Decision::Queue(path, _, change) => {
            format!("+{} {}", path.display(), change.map_or("recheck", Change::as_str))
        }
        Decision::EndWaiting(path, _) => format!("x {}", path.display()),
        Decision::Remove(info) => format!("-/{}", info.path),
    };
    decisions.into_iter().map(one).collect()
}

struct World(Catalog);

impl World {
    fn new() -> Self {
        Self(Catalog::new("/".into()))
    }

    fn scan(&mut self, files: &[(&str, i64)]) -> Vec<String> {
        short(self.0.apply(&scan(files), &Batch::default(), false))
    }

    fn start(&mut self, path: &str) {
        assert!(self.0.start(Path::new(path)));
    }

    fn finish(&mut self, path: &str, outcome: Outcome, there: bool) -> Vec<String> {
        short(self.0.finish(Path::new(path), outcome, |_| there))
    }

    fn done(&mut self, path: &str, outcome: Outcome) {
        self.start(path);
        assert!(self.finish(path, outcome, true).is_empty());
    }
}

const FRESH: Outcome = Outcome::Indexed { fresh: true };

fn id(path: &str) -> String {
    crate::identity::file_id(Path::new(path))
}

#[test]
fn a_file_is_in_the_queue_at_most_once() {
    let mut world = World::new();
    assert_eq!(world.scan(&[("/a", 1)]), ["+/a created"]);
    assert!(world.scan(&[("/a", 2)]).is_empty(), "it waits already");
    world.start("/a");
    assert!(!world.0.start(Path::new("/a")));
    assert!(world.scan(&[("/a", 3)]).is_empty(), "it is at work");
    assert_eq!(world.finish("/a", FRESH, true), ["+/a modified"]);
    world.done("/a", FRESH);
    assert!(world.scan(&[("/a", 3)]).is_empty());
}

#[test]
fn what_goes_is_ended_in_each_state() {
    let mut world = World::new();
    world.scan(&[("/a", 1)]);
    assert_eq!(world.scan(&[]), ["x /a"]);
    world.scan(&[("/a", 1)]);
    world.start("/a");
    assert!(world.scan(&[]).is_empty());
    assert_eq!(world.finish("/a", FRESH, true), ["-/a"]);
    world.scan(&[("/a", 1)]);
    world.done("/a", FRESH);
    assert_eq!(world.scan(&[]), ["-/a"]);
    assert_eq!(world.0.len(), 0);
}

#[test]
fn what_the_worker_finds_gone_is_not_deleted_twice() {
    let mut world = World::new();
    world.scan(&[("/a", 1)]);
    world.start("/a");
    world.scan(&[]);
    assert!(world.finish("/a", Outcome::Gone, true).is_empty());
    world.scan(&[("/a", 1)]);
    world.done("/a", Outcome::Gone);
    assert!(world.scan(&[]).is_empty());
    // It came back under the worker's eyes.
    world.scan(&[("/a", 1)]);
    world.start("/a");
    world.scan(&[]);
    world.scan(&[("/a", 2)]);
    assert_eq!(world.finish("/a", Outcome::Gone, true), ["+/a modified"]);
}

#[test]
fn copies_are_done_when_the_original_is_not_it_any_more() {
    let copy = || Outcome::DuplicateOf(id("/a"));
    for (what, files) in [("deleted", vec![("/b", 1)]), ("changed", vec![("/a", 2), ("/b", 1)])] {
        let mut world = World::new();
        world.scan(&[("/a", 1), ("/b", 1)]);
        world.done("/a", FRESH);
        world.done("/b", copy());
        let mut said = world.scan(&files);
        if what == "changed" {
            world.start("/a");
            said.extend(world.finish("/a", FRESH, true));
        }
        assert!(said.contains(&"+/b recheck".to_owned()), "{what}: {said:?}");
    }
    // It went between the worker's look and the report.
    let mut world = World::new();
    world.scan(&[("/b", 1)]);
    world.start("/b");
    assert_eq!(world.finish("/b", copy(), false), ["+/b recheck"]);
    // An original that only failed is still in the store.
    let mut world = World::new();
    world.scan(&[("/a", 1), ("/b", 1)]);
    world.done("/a", FRESH);
    world.done("/b", copy());
    world.scan(&[("/a", 2), ("/b", 1)]);
    world.start("/a");
    assert!(world.finish("/a", Outcome::Failed { retryable: false }, true).is_empty());
}

#[test]
fn failures_that_may_pass_are_tried_again_a_few_times() {
    let mut world = World::new();
    let files = [("/a", 1)];
    world.scan(&files);
    for _ in 0..=RETRIES {
        world.done("/a", Outcome::Failed { retryable: true });
        assert!(world.scan(&files).is_empty(), "only by the regular check");
        let again = world.0.apply(&scan(&files), &Batch::default(), true);
        if again.is_empty() {
            break;
        }
    }
    assert!(world.0.apply(&scan(&files), &Batch::default(), true).is_empty());
    assert_eq!(world.scan(&[("/a", 2)]), ["+/a modified"]);
    world.done("/a", Outcome::Failed { retryable: false });
    assert!(world.0.apply(&scan(&[("/a", 2)]), &Batch::default(), true).is_empty());
}

#[test]
fn a_change_too_fast_for_the_clock_is_believed_to_the_watcher() {
    let mut world = World::new();
    let mut recent = Scan::default();
    recent.files.insert("/a".into(), Seen::for_test(1, true));
    world.0.apply(&recent, &Batch::default(), false);
    world.done("/a", FRESH);
    assert!(world.0.apply(&recent, &Batch::default(), false).is_empty());
    let again = world.0.apply(&recent, &Batch::everything(), false);
    assert_eq!(short(again), ["+/a modified"]);
}
