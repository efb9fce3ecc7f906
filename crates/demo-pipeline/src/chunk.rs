//! Cuts text into overlapping chunks along its own structure.
//!
//! Comes in: text of any shape, Markdown or not. Never: a chunk longer than asked, an empty one, or one cut inside
//! a character. Done in windows, so that a text of many megabytes costs time in proportion to its length.

use text_splitter::{ChunkConfig, MarkdownSplitter, TextSplitter};

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the text, in bytes.
    pub offset: usize,
    /// The piece.
    pub text: String,
}

/// Cuts texts. See the module.
#[derive(Debug, Clone)]
pub struct Chunker {
    size: usize,
    overlap: usize,
}

/// Bytes handed to the splitter at once: it looks at all of its text at each level, which for one line of ten
/// megabytes takes minutes.
const WINDOW: usize = 256 << 10;

impl Chunker {
    /// Chunks of at most `size` characters that share up to `overlap` with their neighbour.
    ///
    /// A `size` of 0 is taken as 1, and an `overlap` not smaller than `size` as `size - 1`.
    pub fn new(size: usize, overlap: usize) -> Self {
        let size = size.max(1);
        Self { size, overlap: overlap.min(size - 1) }
    }

    /// Cuts `text`, telling `progress` how many bytes are done of how many, and stopping early when it says `false`.
    pub fn cut(
        &self,
        text: &str,
        markdown: bool,
        mut progress: impl FnMut(usize, usize) -> bool,
    ) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = window_end(text, start);
            self.cut_window(&text[start..end], markdown, start, &mut chunks);
            start = end;
            if !progress(end, text.len()) {
                break;
            }
        }
        chunks
    }

    fn cut_window(&self, text: &str, markdown: bool, base: usize, into: &mut Vec<Chunk>) {
        let config = || {
            let config = ChunkConfig::new(self.size);
            // Cannot fail, since the overlap is smaller than the size; without overlap is the right answer if it does.
            config.with_overlap(self.overlap).unwrap_or_else(|_| ChunkConfig::new(self.size))
        };
        let mut keep = |(offset, piece): (usize, &str)| {
            if !piece.trim().is_empty() {
                into.push(Chunk { offset: base + offset, text: piece.to_owned() });
            }
        };
        if markdown {
            MarkdownSplitter::new(config()).chunk_indices(text).for_each(&mut keep);
        } else {
            TextSplitter::new(config()).chunk_indices(text).for_each(&mut keep);
        }
    }
}

/// Where the window that begins at `start` ends: at a blank line if there is one in its last half, else at a line's
/// end, else at a space, else anywhere between two characters.
fn window_end(text: &str, start: usize) -> usize {
    if text.len() - start <= WINDOW {
        return text.len();
    }
    let hard = text.floor_char_boundary(start + WINDOW);
    let half = text.ceil_char_boundary(start + WINDOW / 2);
    let last_half = &text[half..hard];
    ["\n\n", "\n", " "]
        .into_iter()
        .find_map(|mark| last_half.rfind(mark).map(|at| half + at + mark.len()))
        .unwrap_or(hard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markdown_is_cut_at_its_headings() {
        let text = format!("# One\n\n{}\n\n# Two\n\n{}\n", "alpha ".repeat(12), "beta ".repeat(12));
        let chunks = Chunker::new(100, 0).cut(&text, true, |_, _| true);
        assert!(chunks.iter().any(|c| c.text.starts_with("# Two")), "{chunks:?}");
        assert!(!chunks.iter().any(|c| c.text.contains("alpha") && c.text.contains("beta")), "{chunks:?}");
    }

    #[test]
    fn neighbours_overlap() {
        let text: String = (0..200).map(|n| format!("w{n} ")).collect();
        let chunks = Chunker::new(100, 20).cut(&text, false, |_, _| true);
        assert!(chunks.windows(2).all(|w| w[1].offset < w[0].offset + w[0].text.len()), "{chunks:?}");
    }

    #[test]
    fn one_endless_line_is_cut_in_good_time() {
        let text = "{\"key\":\"värde\",".repeat(20_000);
        let began = std::time::Instant::now();
        let chunks = Chunker::new(1_000, 100).cut(&text, false, |_, _| true);
        assert!(chunks.len() >= 300);
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn a_caller_that_has_enough_is_obeyed() {
        let text = "line\n".repeat(200_000);
        let mut calls = 0;
        Chunker::new(100, 0).cut(&text, false, |done, total| {
            calls += 1;
            assert!(done < total);
            false
        });
        assert_eq!(calls, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn chunks_are_bounded_real_slices_in_order_and_lose_nothing(
            text in "(\\PC|[ \n#*>`\t-]){0,600}", size in 1_usize..80, overlap in 0_usize..90, markdown: bool,
        ) {
            let chunks = Chunker::new(size, overlap).cut(&text, markdown, |_, _| true);
            let mut covered = vec![false; text.len()];
            let mut last = 0;
            for chunk in &chunks {
                prop_assert!(chunk.text.chars().count() <= size);
                prop_assert!(!chunk.text.trim().is_empty());
                prop_assert_eq!(&text[chunk.offset..chunk.offset + chunk.text.len()], &chunk.text);
                prop_assert!(chunk.offset >= last);
                last = chunk.offset;
                covered[chunk.offset..chunk.offset + chunk.text.len()].fill(true);
            }
            for (at, c) in text.char_indices() {
                prop_assert!(c.is_whitespace() || covered[at], "lost {c:?} at {at} of {text:?}");
            }
        }
    }
}
