//! The model: what updates and keys make of it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ragpulse_client::What;
use serde_json::json;

use super::keys::Action;
use super::pipeline::Left;
use super::scene::Scene;
use super::timeline::{KEPT, Past};
use super::view::View;
use super::{Model, Pane};

fn names(model: &Model) -> Vec<&str> {
    View::of(model).files.iter().map(|file| file.name.as_str()).collect()
}

fn chosen(model: &Model) -> String {
    View::of(model).key(Pane::Files).unwrap().file
}

#[test]
fn files_are_listed_by_what_is_done_with_them() {
    let scene = Scene::busy();
    assert_eq!(
        names(&scene.model),
        [
            "handbook.pdf",
            "報告書 2026年.pdf",
            "prices-2026.xlsx",
            "minutes.md",
            "notes.txt",
            "scan.tiff",
            "archive-2.pdf",
            "archive-1.pdf"
        ]
    );
    let view = View::of(&scene.model);
    let failures: Vec<_> = view.failures.iter().map(|(id, file)| (id.as_str(), file.name.as_str())).collect();
    assert_eq!(failures, [("wiki", "Broken page"), ("contracts", "scan.tiff")]);
}

#[test]
fn the_choice_stays_with_its_file_and_the_top_stays_the_top() {
    let mut scene = Scene::busy();
    assert_eq!(chosen(&scene.model), "handbook.pdf");
    scene.press(KeyCode::Char('j'));
    scene.press(KeyCode::Down);
    assert_eq!(chosen(&scene.model), "prices-2026.xlsx");
    scene.processing("contracts", "prices-2026.xlsx", "extraction");
    assert_eq!(chosen(&scene.model), "prices-2026.xlsx");
    scene.press(KeyCode::Home);
    scene.completed("contracts", "handbook.pdf");
    assert_eq!(chosen(&scene.model), "報告書 2026年.pdf", "what is at the top now");
    scene.press(KeyCode::End);
    assert_eq!(chosen(&scene.model), "archive-1.pdf");
    scene.press(KeyCode::PageUp);
    assert_eq!(chosen(&scene.model), "報告書 2026年.pdf");
}

#[test]
fn panes_and_pipelines_are_changed_by_keys() {
    let mut scene = Scene::busy();
    assert_eq!(scene.model.focus, Pane::Files);
    scene.press(KeyCode::Tab);
    assert_eq!(scene.model.focus, Pane::Failures);
    scene.press(KeyCode::Tab);
    assert_eq!(scene.model.focus, Pane::Pipelines);
    scene.press(KeyCode::BackTab);
    assert_eq!(scene.model.focus, Pane::Failures);
    scene.press(KeyCode::Right);
    assert_eq!(names(&scene.model), ["Start page", "Broken page"]);
    scene.press(KeyCode::Char('h'));
    assert_eq!(names(&scene.model).len(), 8);
    scene.press(KeyCode::Tab);
    scene.press(KeyCode::Down);
    assert_eq!(scene.press(KeyCode::Enter), Action::None);
    assert_eq!((scene.model.focus, names(&scene.model).len()), (Pane::Files, 2));
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut scene = Scene::busy();
    scene.press(KeyCode::Char('/'));
    scene.type_text("PDFq");
    assert!(scene.model.typing, "a q is a letter here");
    scene.press(KeyCode::Backspace);
    assert_eq!(names(&scene.model), ["handbook.pdf", "報告書 2026年.pdf", "archive-2.pdf", "archive-1.pdf"]);
    scene.press(KeyCode::Enter);
    assert!(!scene.model.typing);
    assert_eq!(names(&scene.model).len(), 4);
    assert_eq!(scene.press(KeyCode::Esc), Action::None, "it drops the filter first");
    assert_eq!(names(&scene.model).len(), 8);
    assert_eq!(scene.press(KeyCode::Esc), Action::Leave);
    scene.press(KeyCode::Char('/'));
    scene.type_text("no such");
    assert!(names(&scene.model).is_empty());
    assert_eq!(scene.press(KeyCode::Enter), Action::None);
    assert_eq!(scene.press(KeyCode::Enter), Action::None, "there is nothing to open");
    scene.press(KeyCode::Char('/'));
    scene.press(KeyCode::Esc);
    assert_eq!(names(&scene.model).len(), 8);
    scene.press(KeyCode::Char('f'));
    assert_eq!(names(&scene.model), ["scan.tiff"]);
    scene.press(KeyCode::Char('f'));
    assert_eq!(names(&scene.model).len(), 8);
}

#[test]
fn there_are_three_ways_out_and_ctrl_c_is_one_from_anywhere() {
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for open in ["", "/", "?", "\n"] {
        let mut scene = Scene::busy();
        for key in open.chars() {
            scene.press(if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) });
        }
        assert_eq!(scene.model.key(ctrl_c), Action::Leave, "{open:?}");
    }
    for way in [KeyCode::Char('q'), KeyCode::Esc] {
        let mut scene = Scene::busy();
        scene.press(KeyCode::Char('?'));
        assert!(scene.model.help);
        assert_eq!(scene.press(way), Action::None);
        assert!(!scene.model.help);
        scene.press(KeyCode::Enter);
        assert_eq!(scene.press(way), Action::None);
        assert!(scene.model.timeline.is_none());
        assert_eq!(scene.press(way), Action::Leave);
    }
    let mut scene = Scene::busy();
    let mut release = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    release.kind = KeyEventKind::Release;
    assert_eq!(scene.model.key(release), Action::None, "terminals may tell of releases too");
}

#[test]
fn a_timeline_joins_the_past_with_what_comes() {
    let mut scene = Scene::connected();
    scene.online("p");
    let mut past = Past::default();
    for (name, own) in [
        ("file:queued", json!({ "file": { "id": "a", "name": "a" }, "change": "created" })),
        ("file:processing", json!({ "file": { "id": "a", "name": "a" } })),
        ("file:progress", json!({ "file": { "id": "a", "name": "a" }, "progress": 0.1 })),
    ] {
        let event = scene.made("p", name, own);
        past.events.push(event.clone());
        scene.tell(Some("p"), What::Event(Box::new(event)));
    }
    let Action::Ask { ticket, key } = scene.press(KeyCode::Enter) else { panic!("it asks") };
    assert_eq!((key.pipeline.as_str(), key.file.as_str()), ("p", "a"));
    // Told live before the answer is there, and in the answer too.
    let twice =
        scene.made("p", "file:progress", json!({ "file": { "id": "a", "name": "a" }, "progress": 0.5 }));
    past.events.push(twice.clone());
    scene.tell(Some("p"), What::Event(Box::new(twice)));
    scene.progress("p", "other", "extraction", 0.5);
    scene.model.history(ticket + 1, Err("of another timeline".to_owned()));
    scene.model.history(ticket, Ok(past));
    scene.completed("p", "a");
    let timeline = scene.model.timeline.as_ref().unwrap();
    let seqs: Vec<u64> = timeline.rows.iter().map(|event| event.shared().seq).collect();
    assert_eq!(seqs, [2, 3, 5, 7], "progress of one stage is one row");
    assert_eq!(timeline.failure, None);
}

#[test]
fn a_timeline_has_an_end_and_says_so() {
    let mut scene = Scene::connected();
    scene.online("p");
    scene.processing("p", "a", "extraction");
    scene.press(KeyCode::Enter);
    for n in 0..KEPT + 10 {
        scene.progress("p", "a", if n % 2 == 0 { "chunking" } else { "embedding" }, 0.5);
        if n == 100 {
            scene.press(KeyCode::Char('k'));
        }
    }
    let timeline = scene.model.timeline.as_ref().unwrap();
    assert_eq!(timeline.rows.len(), KEPT);
    assert!(timeline.cut);
    assert!(timeline.below > 1, "who reads is not pulled along");
}

#[test]
fn what_is_left_is_the_reporters_word_or_what_was_seen_of_this_stage() {
    let mut scene = Scene::connected();
    scene.online("p");
    scene.processing("p", "a", "extraction");
    let left = |scene: &Scene| {
        let view = View::of(&scene.model);
        view.chosen().unwrap().1.left_of(view.files[0], scene.model.now)
    };
    scene.progress("p", "a", "extraction", 0.1);
    assert_eq!(left(&scene), None, "too little was seen");
    for step in 2..=5 {
        scene.wait(1_000);
        scene.progress("p", "a", "extraction", f64::from(step) * 0.1);
    }
    assert!(matches!(left(&scene), Some(Left::AtLeast(millis)) if (millis - 5_000.0).abs() < 1.0));
    scene.progress("p", "a", "chunking", 0.5);
    assert_eq!(left(&scene), None, "another stage");
    let reported = json!({ "processing_stage": "chunking", "progress": 0.6, "eta_seconds": 20.0 });
    scene.file("p", "file:progress", "a", reported);
    scene.wait(5_000);
    assert_eq!(left(&scene), Some(Left::Millis(15_000.0)));
    scene.wait(16_000);
    assert_eq!(left(&scene), None, "it was wrong, so nothing is known");
    scene.progress("p", "a", "chunking", 0.7);
    scene.tell(Some("p"), What::Liveness(ragpulse_protocol::Liveness::Lost));
    assert_eq!(left(&scene), None, "nobody is heard");
}

#[test]
fn what_a_pipeline_still_takes_is_said_when_its_pace_is_known() {
    let mut scene = Scene::connected();
    scene.online("p");
    for n in 0..20 {
        scene.queued("p", &format!("f{n}"));
    }
    let left = |scene: &Scene| View::of(&scene.model).chosen().unwrap().1.left(scene.model.now);
    for n in 0..10 {
        assert!(left(&scene).is_none() || n > 3);
        scene.wait(2_000);
        scene.completed("p", &format!("f{n}"));
    }
    assert!((left(&scene).unwrap() - 20_000.0).abs() < 1.0, "ten more at one every two seconds");
    scene.tell(Some("p"), What::Liveness(ragpulse_protocol::Liveness::Lost));
    assert_eq!(left(&scene), None);
    scene.tell(Some("p"), What::Liveness(ragpulse_protocol::Liveness::Live));
    for n in 10..20 {
        scene.completed("p", &format!("f{n}"));
    }
    assert_eq!(left(&scene), None, "nothing is open");
}

#[test]
fn a_pipeline_that_is_gone_leaves_nothing() {
    let mut scene = Scene::busy();
    scene.press(KeyCode::Right);
    scene.tell(Some("wiki"), What::Removed);
    assert_eq!(scene.model.pipelines.len(), 1);
    assert_eq!(names(&scene.model).len(), 8, "the other one is chosen");
    scene.tell(Some("contracts"), What::Removed);
    for key in [KeyCode::Enter, KeyCode::Up, KeyCode::End, KeyCode::Tab, KeyCode::Right] {
        assert_eq!(scene.press(key), Action::None);
    }
}

#[test]
fn the_hubs_clock_is_taken_from_what_was_on_its_way_the_shortest() {
    let mut model = Model::new(String::new());
    model.hub_clock(Duration::from_millis(100), 1_000_050);
    model.hub_clock(Duration::from_millis(200), 1_000_190);
    model.hub_clock(Duration::from_millis(300), 1_000_200);
    model.tick(Duration::from_millis(1_000));
    assert_eq!(model.now, 1_000_990);
}

#[test]
fn it_moves_by_itself_only_while_there_is_something_to_count() {
    let mut scene = Scene::connected();
    assert!(!scene.model.moves());
    scene.online("p");
    assert!(scene.model.moves());
    scene.wait(120_000);
    assert!(!scene.model.moves(), "a quiet hub is not drawn again and again");
}
