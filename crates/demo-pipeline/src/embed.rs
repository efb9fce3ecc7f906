//! Turns text into vectors without a model to download: hashed n-grams.
//!
//! Comes in: any text. Never: meaning. Texts are near when they share words, neighbouring words or parts of words,
//! which finds what is worded alike, also over word forms and typing errors, but not what is only meant alike.

use std::collections::HashMap;

/// Signed feature hashing (the "hashing trick") of words, word pairs and character n-grams, scaled to length 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashedNgramVectorizer;

/// What one occurrence of a feature weighs: whole words tell most, their parts only help over word forms.
const WORD: f32 = 1.0;
const PAIR: f32 = 0.5;
const GRAM: f32 = 0.5;

impl HashedNgramVectorizer {
    /// Its name, with what its vectors depend on: others than these cannot be compared with its own.
    pub const NAME: &'static str = "hashed-ngram-256-v1";
    /// Numbers in a vector.
    pub const DIMENSIONS: usize = 256;

    /// The vector of a text: of length 1, or all zeros for a text of white space only.
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let mut counts: HashMap<u64, (f32, f32)> = HashMap::new();
        let mut add = |feature: u64, weight: f32| counts.entry(feature).or_insert((weight, 0.0)).1 += 1.0;

        let lower = text.to_lowercase();
        let mut before: Option<(u64, f32)> = None;
        let mut padded: Vec<char> = Vec::new();
        for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
            let (hash, weight) = (fnv(1, word.bytes()), telling(word));
            add(hash, WORD * weight);
            if let Some((before, other)) = before {
                let pair = before.to_le_bytes().into_iter().chain(hash.to_le_bytes());
                add(fnv(2, pair), PAIR * weight.min(other));
            }
            before = Some((hash, weight));
            // The edges of a word are features too: "un…" at a beginning is not "…un…" inside.
            padded.clear();
            padded.push(' ');
            padded.extend(word.chars());
            padded.push(' ');
            grams(&padded, GRAM * weight, &mut add);
        }
        if before.is_none() {
            // Only signs: still text that somebody may look for.
            padded.extend(lower.chars().filter(|c| !c.is_whitespace()));
            if !padded.is_empty() {
                padded.insert(0, ' ');
                padded.push(' ');
            }
            grams(&padded, GRAM, &mut add);
        }

        // Summing must not depend on the map's order, or equal texts would differ in the last bits.
        let mut features: Vec<_> = counts.into_iter().collect();
        features.sort_unstable_by_key(|(feature, _)| *feature);
        let mut sums = vec![0.0_f64; Self::DIMENSIONS];
        for (feature, (weight, count)) in features {
            let mixed = mix(feature);
            let sign = if mixed >> 63 == 0 { 1.0 } else { -1.0 };
            // The hundredth occurrence tells less than the first.
            sums[(mixed % Self::DIMENSIONS as u64) as usize] += sign * f64::from(weight * (1.0 + count.ln()));
        }
        let length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
        // Two features can cancel each other out; for so short a text the unsigned first axis is as good as any.
        if length < 1e-9 && !padded.is_empty() {
            sums[0] = 1.0;
        }
        let scale = if length < 1e-9 { 1.0 } else { length.recip() };
        sums.into_iter().map(|x| (x * scale) as f32).collect()
    }
}

/// Short words of Latin letters are mostly grammar ("of the"): without a list of them for every language, their
/// length tells best how little they say.
fn telling(word: &str) -> f32 {
    if !word.bytes().all(|b| b.is_ascii_alphabetic()) {
        return 1.0;
    }
    match word.len() {
        0..=2 => 0.2,
        3 => 0.4,
        4 => 0.8,
        _ => 1.0,
    }
}

/// Three characters in a row, each run a feature.
fn grams(chars: &[char], weight: f32, add: &mut impl FnMut(u64, f32)) {
    for gram in chars.windows(3) {
        add(fnv(3, gram.iter().flat_map(|c| u32::from(*c).to_le_bytes())), weight);
    }
}

/// How near two vectors of length 1 are: 1 the same, 0 nothing shared.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// FNV-1a: the same on every machine and in every version, as stored vectors need.
fn fnv(kind: u8, bytes: impl IntoIterator<Item = u8>) -> u64 {
    std::iter::once(kind)
        .chain(bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads the bits, since the low ones of FNV are weak and choose the place.
fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: &str, b: &str) -> f32 {
        cosine(&HashedNgramVectorizer.embed(a), &HashedNgramVectorizer.embed(b))
    }

    #[test]
    fn texts_that_share_words_are_near() {
        let text = "The stork builds its nest on the chimney of the old mill";
        assert!(near("storks nesting on chimneys", text) > near("quarterly revenue of the bank", text) + 0.1);
        assert!(near("STORK", "stork") > 0.999);
    }

    #[test]
    fn vectors_are_the_same_in_every_version() {
        let vector = HashedNgramVectorizer.embed("a stable vector");
        let (at, most) = vector.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
        assert_eq!((at, (most * 1e4).round()), (210, -4340.0));
    }

    proptest! {
        #[test]
        fn vectors_have_length_one_and_follow_from_the_text(text in "\\PC{0,200}") {
            let vector = HashedNgramVectorizer.embed(&text);
            prop_assert_eq!(vector.len(), HashedNgramVectorizer::DIMENSIONS);
            prop_assert!(vector.iter().all(|x| x.is_finite()));
            let length = cosine(&vector, &vector).sqrt();
            let expected = if text.trim().is_empty() { 0.0 } else { 1.0 };
            prop_assert!((length - expected).abs() < 1e-4, "{length} for {text:?}");
            prop_assert_eq!(vector, HashedNgramVectorizer.embed(&text));
        }
    }
}
