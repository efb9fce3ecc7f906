//! Changes are noticed while the pipeline runs, and what is stored follows them.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Folder, Running};
use ragpulse_demo_pipeline::{Change, Mode, Pipeline, PipelineEvent};

fn start(folder: &Folder, mode: Mode) -> (Running, ragpulse_demo_pipeline::Store) {
    let mut config = folder.config(mode);
    if mode == Mode::Poll {
        config.check_interval = Duration::from_millis(50);
    } else {
        // What is noticed in these tests is noticed by the watcher.
        config.check_interval = Duration::from_secs(3_600);
    }
    let pipeline = Pipeline::new(config).unwrap();
    let store = pipeline.store().clone();
    (Running::start(pipeline), store)
}

fn settled(event: &PipelineEvent) -> bool {
    matches!(event, PipelineEvent::Status { is_checking: false, last_check_time: Some(_), .. })
}

#[test]
fn created_modified_renamed_and_deleted_files_are_followed() {
    let folder = Folder::new();
    folder.put("first.txt", "There from the start.");
    let (run, store) = start(&folder, Mode::Watch);
    let seen = &run.recorder;
    let mut at = seen.wait_end(0, "first.txt", "completed");

    folder.put("new/deep/second.txt", "Made while watching, in a folder that is new as well.");
    at = seen.wait_end(at, "new/deep/second.txt", "completed");

    folder.put("first.txt", "Rewritten about hedgehogs.");
    seen.wait(at, "modified", |e| matches!(e, PipelineEvent::Queued { change: Some(Change::Modified), .. }));
    at = seen.wait_end(at, "first.txt", "completed");
    assert!(store.search("hedgehogs", 1).unwrap()[0].text.contains("hedgehogs"));

    std::fs::rename(folder.path("first.txt"), folder.path("renamed.txt")).unwrap();
    let from = at;
    at = seen.wait_end(from, "first.txt", "deleted:1");
    at = seen.wait_end(from, "renamed.txt", "completed").max(at);
    assert!(store.search("hedgehogs", 1).unwrap()[0].path.ends_with("renamed.txt"));

    std::fs::rename(folder.path("new"), folder.path("moved")).unwrap();
    let from = at;
    at = seen.wait_end(from, "new/deep/second.txt", "deleted:1");
    at = seen.wait_end(from, "moved/deep/second.txt", "completed").max(at);
    folder.put("moved/deep/third.txt", "The moved folder is still watched.");
    at = seen.wait_end(at, "moved/deep/third.txt", "completed");

    std::fs::remove_dir_all(folder.path("moved")).unwrap();
    let from = at;
    at = seen.wait_end(from, "moved/deep/second.txt", "deleted:1");
    at = seen.wait_end(from, "moved/deep/third.txt", "deleted:1").max(at);
    folder.put("moved/again.txt", "A folder of the same name is watched anew.");
    at = seen.wait_end(at, "moved/again.txt", "completed");
    folder.put("moved/again.txt", "And once more.");
    at = seen.wait_end(at, "moved/again.txt", "completed");

    // From now on ignored: no longer looked after.
    folder.put(".gitignore", "moved/\n");
    seen.wait_end(at, "moved/again.txt", "deleted:1");
    run.stop();
    assert_eq!(store.counts().unwrap().0, 1);
}

#[test]
fn touching_and_rewriting_the_same_is_unchanged() {
    let folder = Folder::new();
    folder.put("a.txt", "The same all along.");
    let (run, _) = start(&folder, Mode::Watch);
    let at = run.recorder.wait_end(0, "a.txt", "completed");
    folder.put("a.txt", "The same all along.");
    run.recorder.wait_end(at, "a.txt", "skipped:unchanged");
    run.stop();
}

#[test]
fn a_copy_takes_over_when_its_original_goes() {
    let folder = Folder::new();
    folder.put("a.txt", "One content in two files.");
    let (run, store) = start(&folder, Mode::Watch);
    let at = run.recorder.wait_end(0, "a.txt", "completed");
    folder.put("b.txt", "One content in two files.");
    let at = run.recorder.wait_end(at, "b.txt", "skipped:duplicate");
    std::fs::remove_file(folder.path("a.txt")).unwrap();
    run.recorder.wait_end(at, "a.txt", "deleted:1");
    let at = run.recorder.wait_end(at, "b.txt", "completed");
    // And again when the original is only changed.
    folder.put("c.txt", "One content in two files.");
    let at = run.recorder.wait_end(at, "c.txt", "skipped:duplicate");
    folder.put("b.txt", "Something else.");
    run.recorder.wait_end(at, "c.txt", "completed");
    run.stop();
    assert_eq!(store.counts().unwrap().0, 2);
}

#[test]
fn without_a_watcher_the_regular_check_finds_all() {
    let folder = Folder::new();
    folder.put("a.txt", "first");
    let (run, _) = start(&folder, Mode::Poll);
    let at = run.recorder.wait_end(0, "a.txt", "completed");
    folder.put("b.txt", "second");
    folder.put("a.txt", "first, but longer");
    run.recorder.wait_end(at, "b.txt", "completed");
    let at = run.recorder.wait_end(at, "a.txt", "completed");
    std::fs::remove_file(folder.path("b.txt")).unwrap();
    run.recorder.wait_end(at, "b.txt", "deleted:1");
    run.stop();
}

#[test]
fn a_folder_that_goes_away_is_not_a_mass_deletion() {
    let folder = Folder::new();
    folder.put("a.txt", "still there when the disk is back");
    let (run, store) = start(&folder, Mode::Poll);
    let at = run.recorder.wait_end(0, "a.txt", "completed");
    let away = folder.root().with_file_name("away");
    std::fs::rename(folder.root(), &away).unwrap();
    let at = run.recorder.wait(at, "a check that says what is wrong", |e| {
        matches!(e, PipelineEvent::Status { last_error: Some(_), .. })
    });
    std::fs::rename(&away, folder.root()).unwrap();
    run.recorder.wait(at, "a check without error", |e| {
        settled(e) && matches!(e, PipelineEvent::Status { last_error: None, known: 1, .. })
    });
    assert!(!run.recorder.ends(at).values().flatten().any(|e| e.starts_with("deleted")));
    run.stop();
    assert_eq!(store.counts().unwrap().0, 1);
}

#[test]
fn a_storm_of_changes_settles_on_the_last_state() {
    let folder = Folder::new();
    let (run, store) = start(&folder, Mode::Watch);
    run.recorder.wait(0, "the first check", settled);
    for round in 0..30 {
        for n in 0..10 {
            let name = format!("f{n}.txt");
            if (round + n) % 7 == 0 && folder.path(&name).exists() {
                std::fs::remove_file(folder.path(&name)).unwrap();
            } else {
                folder.put(&name, format!("file {n} in round {round}"));
            }
        }
    }
    for n in 0..10 {
        folder.put(&format!("f{n}.txt"), format!("the last state of file {n}"));
    }
    let deadline = std::time::Instant::now() + common::PATIENCE;
    let is_last = |n: usize| {
        let hits = store.search(&format!("the last state of file {n}"), 20).unwrap();
        hits.iter().any(|h| h.text == format!("the last state of file {n}"))
    };
    while !(store.counts().unwrap().0 == 10 && (0..10).all(is_last)) {
        assert!(std::time::Instant::now() < deadline, "{:#?}", run.recorder.ends(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    run.stop();
}
