//! The drawing, compared with what is kept in `tests/golden`; `RAGPULSE_UPDATE_GOLDEN=1 cargo test -p ragpulse-cli watch` writes
//! what is drawn now, there and into docs/guides/watch.md.
#![allow(clippy::unwrap_used)]

mod svg;

use std::path::PathBuf;

use crossterm::event::KeyCode;
use proptest::prelude::*;
use ragpulse_client::{Cause, Transport, What};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::text::width;
use super::{Look, draw, list, settle};
use crate::watch::model::keys::{Action, KEYS};
use crate::watch::model::scene::{Scene, connection};
use crate::watch::model::timeline::Past;

const COLOURED: Look = Look { colour: true };

fn drawn(scene: &Scene, look: Look, (columns, rows): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(&scene.model, look, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

/// The rows as a terminal would show them.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide one covers the cell after it.
            x += u16::try_from(width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn updating() -> bool {
    std::env::var_os("RAGPULSE_UPDATE_GOLDEN").is_some_and(|value| value == "1")
}

fn compare(path: &str, now: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if updating() {
        std::fs::write(&file, now).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == now,
        "{path} differs from what is drawn; look at it, then RAGPULSE_UPDATE_GOLDEN=1. Now:\n{now}\nKept:\n{kept}"
    );
}

fn golden(name: &str, scene: &Scene, size: (u16, u16)) {
    compare(&format!("tests/golden/watch-{name}.txt"), &text(&drawn(scene, COLOURED, size)));
}

fn with_timeline() -> Scene {
    let mut scene = Scene::busy();
    let Action::Ask { ticket, .. } = scene.press(KeyCode::Enter) else { panic!("it asks") };
    let mut past = Past::default();
    let mut before = Scene::connected();
    before.wait(-3_600_000);
    for (name, own) in [
        ("file:queued", serde_json::json!({ "change": "created", "queue_position": 12 })),
        ("file:processing", serde_json::json!({ "processing_stage": "extraction" })),
        (
            "file:progress",
            serde_json::json!({ "processing_stage": "extraction", "progress": 0.4, "current": 124, "total": 310, "unit": "pages" }),
        ),
        (
            "file:failed",
            serde_json::json!({ "success": false, "error": { "type": "Interrupted", "message": "the reporter was not heard of for 120 s", "retryable": true } }),
        ),
        ("file:retrying", serde_json::json!({ "attempt": 2, "max_attempts": 3 })),
        ("file:processing", serde_json::json!({ "processing_stage": "extraction", "attempt": 2 })),
        (
            "file:progress",
            serde_json::json!({ "processing_stage": "extraction", "progress": 0.6, "current": 186, "total": 310, "unit": "pages" }),
        ),
    ] {
        before.wait(4_250);
        let mut data = serde_json::json!({ "file": { "id": "handbook.pdf", "name": "handbook.pdf" } });
        data.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        past.events.push(before.made("contracts", name, data));
    }
    scene.model.history(ticket, Ok(past));
    scene
}

#[test]
fn the_view_at_several_sizes() {
    let scene = Scene::busy();
    golden("busy-120x36", &scene, (120, 36));
    golden("busy-80x24", &scene, (80, 24));
    golden("busy-60x16", &scene, (60, 16));
    golden("busy-40x10", &scene, (40, 10));
}

#[test]
fn each_pane_on_a_small_terminal() {
    let mut scene = Scene::busy();
    scene.press(KeyCode::Tab);
    golden("failures-40x10", &scene, (40, 10));
    scene.press(KeyCode::Tab);
    golden("pipelines-40x10", &scene, (40, 10));
}

#[test]
fn a_timeline_and_the_help() {
    let mut scene = with_timeline();
    golden("timeline-80x24", &scene, (80, 24));
    golden("timeline-40x10", &scene, (40, 10));
    scene.press(KeyCode::Char('?'));
    golden("help-80x24", &scene, (80, 24));
}

#[test]
fn a_timeline_that_cannot_be_had() {
    let mut scene = Scene::busy();
    scene.press(KeyCode::Enter);
    assert!(text(&drawn(&scene, COLOURED, (80, 24))).contains("asking the hub"));
    let ticket = scene.model.timeline.as_ref().unwrap().ticket;
    scene.model.history(ticket, Err("the hub refused: not yours [forbidden]".to_owned()));
    assert!(text(&drawn(&scene, COLOURED, (80, 24))).contains("not yours [forbidden]"));
}

#[test]
fn a_timeline_tells_a_cause_in_full_and_scrolls() {
    let mut scene = Scene::connected();
    scene.online("p");
    scene.processing("p", "a", "extraction");
    scene.press(KeyCode::Enter);
    scene.model.history(1, Ok(Past::default()));
    for n in 0..30 {
        scene.progress("p", "a", if n % 2 == 0 { "chunking" } else { "embedding" }, 0.5);
    }
    let cause = "the model at https://embeddings.example answered 429 and asked to come back in 30 seconds";
    scene.failed("p", "a", "RateLimited", cause);
    for size in [(80, 24), (40, 10)] {
        let shown = text(&drawn(&scene, COLOURED, size));
        let words: String = shown.split_whitespace().collect();
        assert!(words.contains("429andaskedtocomebackin30seconds"), "{shown}");
    }
    scene.press(KeyCode::Home);
    settle(&mut scene.model, Rect::new(0, 0, 80, 12));
    let shown = text(&drawn(&scene, COLOURED, (80, 12)));
    assert_eq!(shown.lines().filter(|line| line.contains("file:progress")).count(), 9, "{shown}");
    assert!(shown.lines().nth(2).unwrap().contains("chunking"), "the first row\n{shown}");
    scene.press(KeyCode::Down);
    let next = text(&drawn(&scene, COLOURED, (80, 12)));
    assert_ne!(shown, next);
    scene.press(KeyCode::End);
    assert!(text(&drawn(&scene, COLOURED, (80, 12))).contains("RateLimited"));
}

#[test]
fn filters_and_failures_only() {
    let mut scene = Scene::busy();
    scene.press(KeyCode::Char('/'));
    scene.type_text("arch");
    golden("typing-80x24", &scene, (80, 24));
    scene.press(KeyCode::Esc);
    scene.press(KeyCode::Char('f'));
    golden("only-failed-80x24", &scene, (80, 24));
}

#[test]
fn how_it_is_connected() {
    let mut scene = Scene::empty();
    golden("connecting-80x24", &scene, (80, 24));
    let head = |scene: &Scene| text(&drawn(scene, COLOURED, (80, 24))).lines().next().unwrap().to_owned();
    let cause = Cause::Refused("the proxy answered 403".to_owned());
    scene.tell(None, What::Connection(connection(Some(Transport::Polling), Some(cause))));
    assert!(head(&scene).contains("◐ polling: the socket was refused"), "{}", head(&scene));
    scene.tell(None, What::Connection(connection(Some(Transport::Websocket), None)));
    assert!(head(&scene).contains("● socket"));
    scene.model.latency = Some(std::time::Duration::from_micros(300));
    assert!(head(&scene).contains("● socket, <1 ms"));
    let cause = Cause::Failed("connection reset".to_owned());
    scene.tell(None, What::Connection(connection(None, Some(cause))));
    assert!(head(&scene).contains("○ reconnecting: connection reset"));
    let mut closed = connection(None, Some(Cause::Closed));
    closed.closed = true;
    scene.tell(None, What::Connection(closed));
    assert!(head(&scene).contains("✗ closed: the subscriber was closed"));
}

#[test]
fn names_cannot_move_the_cursor_or_break_the_columns() {
    let mut scene = Scene::connected();
    scene.online("p");
    for name in ["a\u{1b}[2J\u{7}b", "e\u{301}tude.pdf", "👩‍👩‍👧‍👦 family.pdf", "ﷺ.pdf", &"長".repeat(300)]
    {
        scene.processing("p", name, "extraction");
        scene.progress("p", name, "extraction", 0.5);
    }
    let shown = text(&drawn(&scene, COLOURED, (80, 24)));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'));
    let bars: Vec<usize> =
        shown.lines().filter_map(|line| line.find('█').map(|at| width(&line[..at]))).collect();
    assert_eq!(bars.len(), 5, "{shown}");
    assert!(bars.iter().all(|at| *at == bars[0]), "{bars:?}\n{shown}");
}

#[test]
fn without_colours_nothing_is_coloured_and_with_them_no_background_is() {
    let scene = Scene::busy();
    let plain = drawn(&scene, Look { colour: false }, (100, 30));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(plain.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the chosen row");
    let coloured = drawn(&scene, COLOURED, (100, 30));
    assert!(coloured.content.iter().any(|cell| cell.fg == Color::Green));
    // These two are the ones that cannot be read on one kind of terminal or the other.
    let unreadable = [Color::Black, Color::White, Color::Gray, Color::DarkGray, Color::Yellow];
    assert!(coloured.content.iter().all(|cell| cell.bg == Color::Reset && !unreadable.contains(&cell.fg)));
    assert_eq!(text(&plain), text(&coloured), "a colour says nothing that is not said otherwise");
}

#[test]
fn only_what_is_visible_is_laid_out() {
    let area = Rect::new(0, 0, 80, 20);
    let mut laid_out = Vec::new();
    list(area, (10_000, Some(5_000)), (true, false), &mut Buffer::empty(area), |index, _, _| {
        laid_out.push(index)
    });
    assert_eq!(laid_out, (4_990..5_010).collect::<Vec<_>>());
}

#[test]
fn ten_thousand_files_are_walked_and_filtered() {
    let mut scene = Scene::large(10_000);
    assert!(text(&drawn(&scene, COLOURED, (80, 24))).contains("Files of large 10,000 "));
    scene.press(KeyCode::End);
    let shown = text(&drawn(&scene, COLOURED, (80, 24)));
    assert!(shown.contains("▶ ✗ file-00010.pdf"), "the oldest of those that ended is the last\n{shown}");
    scene.press(KeyCode::Char('/'));
    scene.type_text("0777");
    let shown = text(&drawn(&scene, COLOURED, (80, 24)));
    assert!(shown.contains("Files of large 11 of 10,000 · /0777"), "{shown}");
}

#[test]
fn the_guide_shows_what_is_drawn() {
    let guide = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/watch.md");
    let kept = std::fs::read_to_string(&guide).unwrap();
    let mut now = kept.clone();
    let keys: String = KEYS.iter().map(|(keys, does)| format!("| {keys} | {does} |\n")).collect();
    now = between(&now, "keys", &format!("| key | does |\n|---|---|\n{keys}"));
    for (name, scene, size) in [
        ("busy", &Scene::busy(), (100, 24)),
        ("timeline", &with_timeline(), (80, 12)),
        ("small", &Scene::busy(), (40, 10)),
    ] {
        now = between(&now, name, &format!("```text\n{}```\n", text(&drawn(scene, COLOURED, size))));
    }
    if updating() {
        std::fs::write(&guide, &now).unwrap();
    }
    assert!(
        kept == now || updating(),
        "docs/guides/watch.md is out of date; RAGPULSE_UPDATE_GOLDEN=1 writes it anew"
    );
}

#[test]
fn the_picture_of_the_guide_is_what_is_drawn() {
    compare("../../docs/images/watch.svg", &svg::of(&drawn(&Scene::busy(), COLOURED, (100, 24))));
}

/// Puts a text between two markers of the guide.
fn between(guide: &str, name: &str, text: &str) -> String {
    let (from, to) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let start = guide.find(&from).unwrap_or_else(|| panic!("the guide has no {from}")) + from.len();
    let end = start + guide[start..].find(&to).unwrap_or_else(|| panic!("the guide has no {to}"));
    format!("{}{text}{}", &guide[..start], &guide[end..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_size_and_any_keys_can_be_drawn(
        columns in 0_u16..160,
        rows in 0_u16..50,
        keys in prop::collection::vec(0_usize..16, 0..12),
        part in any::<f64>(),
    ) {
        let mut scene = Scene::busy();
        scene.progress("contracts", "handbook.pdf", "extraction", part.clamp(0.0, 1.0));
        let known = [
            KeyCode::Up, KeyCode::Down, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Tab,
            KeyCode::BackTab, KeyCode::Left, KeyCode::Right, KeyCode::Enter, KeyCode::Backspace,
            KeyCode::Char('/'), KeyCode::Char('f'), KeyCode::Char('?'), KeyCode::Char('長'),
        ];
        for key in keys {
            scene.press(known[key]);
            let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
            draw(&scene.model, COLOURED, buffer.area, &mut buffer);
        }
    }
}
