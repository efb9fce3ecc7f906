//! Every kind of file reaches exactly the end it should, the first time and the next.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, docx, pdf, word};
use ragpulse_demo_pipeline::{PipelineEvent, file_id};

const DOCX_BODY: &str = "<w:p><w:r><w:t>Cranes &amp; herons</w:t><w:tab/><w:t xml:space=\"preserve\"> wade</w:t></w:r>\
    </w:p><w:p><w:r><w:delText>never</w:delText></w:r><w:r><w:t>in the shallows&#x2026;</w:t></w:r></w:p>\
    <mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice><mc:Fallback><w:p><w:r>\
    <w:t>fallback</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>";

/// One of everything.
fn mixed() -> Folder {
    let folder = Folder::new();
    folder.put("notes.txt", "The stork builds its nest on the chimney of the old mill.\n");
    folder.put("readme.md", "# Birds\n\nOwls hunt by night.\n\n## Swifts\n\nSwifts sleep in the air.\n");
    folder.put(
        "page.html",
        "<!doctype html><title>x</title><script>var secret</script><p>Herons fish at dusk.</p>",
    );
    folder.put("main.rs", "fn main() { println!(\"hello\"); }\n");
    folder.put("good.pdf", pdf(&["Penguins swim under water", "Ostriches run on land"]));
    folder.put("scan.pdf", pdf(&["", ""]));
    folder.put("broken.pdf", "this has never been a PDF");
    let whole = pdf(&["cut off"]);
    folder.put("cut.pdf", &whole[..whole.len() / 3]);
    folder.put("good.docx", docx(DOCX_BODY));
    folder.put("broken.docx", &docx(DOCX_BODY)[..200]);
    folder.put("image.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR");
    folder.put("blob.xyz", [0, 159, 146, 150, 0, 1, 2, 3]);
    folder.put("empty.txt", "");
    folder.put("blank.txt", " \n\t\n ");
    folder.put("a/same.txt", "Content of the first of two files of one name.");
    folder.put("b/same.txt", "Quite another text under the same name.");
    folder.put("copy-1.txt", "Two files, one content.");
    folder.put("copy-2.txt", "Two files, one content.");
    folder.put("latin.txt", b"caf\xe9 cr\xe8me");
    folder.put(".gitignore", "*.log\nbuild/\n");
    folder.put("noise.log", "ignored");
    folder.put("build/out.txt", "ignored too");
    folder.put(".git/config", "hidden");
    folder
}

fn expected() -> Vec<(&'static str, &'static str)> {
    vec![
        ("a/same.txt", "completed"),
        ("b/same.txt", "completed"),
        ("blank.txt", "skipped:empty"),
        ("blob.xyz", "skipped:unsupported"),
        ("broken.docx", "failed:ExtractionError"),
        ("broken.pdf", "failed:ExtractionError"),
        ("copy-1.txt", "completed"),
        ("copy-2.txt", "skipped:duplicate"),
        ("cut.pdf", "failed:ExtractionError"),
        ("empty.txt", "skipped:empty"),
        ("good.docx", "completed"),
        ("good.pdf", "completed"),
        ("image.png", "skipped:unsupported"),
        ("latin.txt", "completed"),
        ("main.rs", "completed"),
        ("notes.txt", "completed"),
        ("page.html", "completed"),
        ("readme.md", "completed"),
        ("scan.pdf", "skipped:empty"),
    ]
}

fn ends_of(recorder: &common::Recorder) -> Vec<(String, String)> {
    let mut ends = recorder.ends(0);
    // Which of two equal files comes first is not settled with two workers.
    if ends["copy-1.txt"] == ["skipped:duplicate"] {
        let (one, two) = (ends["copy-1.txt"].clone(), ends["copy-2.txt"].clone());
        ends.insert("copy-1.txt".into(), two);
        ends.insert("copy-2.txt".into(), one);
    }
    ends.into_iter()
        .map(|(path, mut ends)| {
            assert_eq!(ends.len(), 1, "{path}: {ends:?}");
            (path, ends.remove(0))
        })
        .collect()
}

fn owned(list: Vec<(&str, &str)>) -> Vec<(String, String)> {
    list.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn every_file_reaches_its_one_true_end() {
    let folder = mixed();
    let (recorder, pipeline, summary) = folder.once();
    assert_eq!(ends_of(&recorder), owned(expected()));
    assert_eq!((summary.completed, summary.failed, summary.skipped), (10, 3, 6));
    assert_eq!(pipeline.store().counts().unwrap(), (10, summary.chunks as u64));

    for event in recorder.all().iter().filter(|e| e.is_end()) {
        let path = event.file().unwrap().path.as_str();
        assert_eq!(event.file().unwrap().id, file_id(&folder.path(path)));
        match event {
            PipelineEvent::Failed { message, stage, retryable, .. } => {
                assert_eq!(stage.unwrap().as_str(), "extraction");
                assert!(!retryable && message.len() > 10, "{path}: {message}");
                println!("{path}: {message}");
            }
            PipelineEvent::Skipped { reason, detail, duplicate_of, .. } => {
                let detail = detail.as_deref().unwrap_or_default();
                match path {
                    "image.png" => assert_eq!(detail, "image/png"),
                    "scan.pdf" => assert!(detail.contains("2 page(s)") && detail.contains("OCR"), "{detail}"),
                    _ => {}
                }
                assert_eq!(duplicate_of.is_some(), reason.as_str() == "duplicate");
            }
            PipelineEvent::Completed { warnings, chunks_created, embeddings_generated, .. } => {
                assert_eq!(warnings.len(), usize::from(path == "latin.txt"), "{path}: {warnings:?}");
                assert!(*chunks_created > 0 && chunks_created == embeddings_generated);
            }
            _ => {}
        }
    }
}

#[test]
fn the_text_of_every_format_can_be_found() {
    let folder = mixed();
    let (_, pipeline, _) = folder.once();
    for (query, file, part) in [
        ("where do storks nest", "notes.txt", "chimney"),
        ("swifts sleeping", "readme.md", "Swifts sleep"),
        ("heron fishing at dusk", "page.html", "Herons fish"),
        ("penguins swimming", "good.pdf", "Penguins swim under water"),
        ("running ostriches", "good.pdf", "Ostriches run on land"),
        (
            "cranes and herons wade in the shallows",
            "good.docx",
            "Cranes & herons\t wade\n\nin the shallows…\n\nbox",
        ),
        ("println hello", "main.rs", "println!"),
        ("café crème", "latin.txt", "café"),
    ] {
        let hits = pipeline.store().search(query, 3).unwrap();
        let best = &hits[0];
        assert!(best.path.ends_with(file) && best.text.contains(part), "{query}: {hits:#?}");
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score) && best.score > 0.2, "{hits:#?}");
    }
    for absent in ["secret", "never", "fallback", "ignored"] {
        let hits = pipeline.store().search(absent, 50).unwrap();
        assert!(hits.iter().all(|h| !h.text.contains(absent)), "{absent}: {hits:#?}");
    }
}

#[test]
fn a_second_run_finds_everything_unchanged() {
    let folder = mixed();
    let (_, before, _) = folder.once();
    let counts = before.store().counts().unwrap();
    let (recorder, after, summary) = folder.once();
    let want =
        expected().into_iter().map(|(p, e)| (p, if e == "completed" { "skipped:unchanged" } else { e }));
    assert_eq!(ends_of(&recorder), owned(want.collect()));
    assert_eq!((summary.completed, after.store().counts().unwrap()), (0, counts));
    let changes = recorder.all().into_iter().filter(|e| match e {
        PipelineEvent::Queued { file, change, .. } => file.path == "notes.txt" && change.is_some(),
        _ => false,
    });
    assert_eq!(changes.count(), 0, "nothing is known to have changed");
}

#[test]
fn what_changed_while_away_is_found() {
    let folder = mixed();
    folder.once();
    folder.put("notes.txt", "Now about submarines instead.");
    std::fs::remove_file(folder.path("good.pdf")).unwrap();
    std::fs::rename(folder.path("main.rs"), folder.path("moved.rs")).unwrap();
    folder.put("readme.md", "");
    let (recorder, pipeline, _) = folder.once();
    let ends = recorder.ends(0);
    for (path, end) in [
        ("notes.txt", "completed"),
        ("good.pdf", "deleted:1"),
        ("main.rs", "deleted:1"),
        ("moved.rs", "completed"),
        ("readme.md", "skipped:empty"),
        ("page.html", "skipped:unchanged"),
    ] {
        assert_eq!(ends[path], [end], "{path}");
    }
    let hits = pipeline.store().search("storks swifts penguins", 50).unwrap();
    assert!(hits.iter().all(|h| !h.text.contains("stork") && !h.text.contains("Penguin")), "{hits:#?}");
    assert!(hits.iter().all(|h| !h.text.contains("Swifts")), "an emptied file is not found any more");
}

#[test]
fn limits_skip_and_say_so() {
    let folder = Folder::new();
    folder.put("big.txt", vec![b'a'; 3_000]);
    folder.put("small.txt", "fine");
    folder.put("bomb.docx", docx(&format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", "a".repeat(200_000))));
    let mut config = folder.config(ragpulse_demo_pipeline::Mode::Once);
    config.max_file_size = 2_000;
    config.max_text_size = 1_000;
    let pipeline = ragpulse_demo_pipeline::Pipeline::new(config).unwrap();
    let recorder = std::sync::Arc::new(common::Recorder::default());
    pipeline.run(recorder.clone(), &ragpulse_demo_pipeline::Shutdown::new()).unwrap();
    recorder.check_order();
    let ends: Vec<String> = recorder.all().iter().filter(|e| e.is_end()).map(word).collect();
    assert_eq!(recorder.ends(0)["big.txt"], ["skipped:too_large"]);
    assert_eq!(recorder.ends(0)["bomb.docx"], ["skipped:too_large"]);
    assert_eq!(ends.len(), 3);
}
