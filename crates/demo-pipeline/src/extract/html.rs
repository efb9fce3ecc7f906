//! HTML: the text a reader would see, scripts and styles left out.
//!
//! Comes in: any text; HTML has no malformed input. Never: fetching what the page refers to.

use html2text::render::TrivialDecorator;

use super::{ExtractError, Extracted, text};

/// Where lines are broken. Wide enough for paragraphs to stay mostly whole, narrow enough for rules and tables.
const WIDTH: usize = 160;

pub(super) fn extract(bytes: &[u8]) -> Result<Extracted, ExtractError> {
    let (html, warning) = text::decode(bytes);
    let text = html2text::config::with_decorator(TrivialDecorator::new())
        .no_table_borders()
        .allow_width_overflow()
        .string_from_read(html.as_bytes(), WIDTH)
        .map_err(|e| ExtractError::Broken(format!("HTML: {e}")))?;
    Ok(Extracted {
        text,
        warnings: warning.into_iter().collect(),
        if_empty: Some("no text in the page outside scripts and styles".into()),
        ..Extracted::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(html: &str) -> String {
        extract(html.as_bytes()).unwrap().text
    }

    #[test]
    fn only_what_a_reader_sees_is_kept() {
        let text = of(
            "<html><head><title>T</title><style>p{color:red}</style></head><body><script>var x=1</script>\
             <h1>Storks &amp; herons</h1><p>They <b>nest</b> in <a href='http://x'>trees</a>.</p>\
             <table><tr><td>one</td><td>two</td></tr></table></body></html>",
        );
        assert!(text.contains("Storks & herons") && text.contains("They nest in trees."), "{text}");
        assert!(text.contains("one") && text.contains("two"), "{text}");
        for hidden in ["color", "var x", "http://x", "<b>"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }

    #[test]
    fn deep_nesting_and_broken_tags_give_text() {
        let deep = format!("{}deep{}", "<div>".repeat(2_000), "</div>".repeat(2_000));
        let text = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || of(&deep))
            .unwrap()
            .join()
            .unwrap();
        assert!(text.contains("deep"));
        assert!(of("<p>open <b>never <closed & <<").contains("open never"));
    }
}
