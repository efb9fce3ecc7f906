//! Which pipelines a grant is for: names with `*` for any run of characters. Pure; never backtracks without bound.

use std::fmt;
use std::str::FromStr;

use ragpulse_protocol::PipelineId;

/// The longest pattern, in characters: as long as the longest name.
const LONGEST: usize = 128;

/// A pattern of names: `docs-*`, `*`, or a whole name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Why a text is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no pattern of pipelines: 1 to 128 of A-Z a-z 0-9 . _ - and * for any run of characters")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Whether a name is one of those meant. Case matters.
    pub fn matches(&self, name: &PipelineId) -> bool {
        matches(self.0.as_bytes(), name.as_str().as_bytes())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*');
        if (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(InvalidPattern(text.chars().take(60).collect()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The greedy match with one point to come back to: at most `pattern.len() * name.len()` steps.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(byte) if *byte == name[of] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                // The last star takes one more.
                Some((back, taken)) => {
                    at = back + 1;
                    of = taken + 1;
                    star = Some((back, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition, in exponential time.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            Some((byte, rest)) => name.first() == Some(byte) && plainly(rest, &name[1..]),
        }
    }

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, name, hit) in [
            ("docs-*", "docs-", true),
            ("docs-*", "docs-a-b", true),
            ("docs-*", "docs", false),
            ("docs-*", "my-docs-a", false),
            ("*", "anything", true),
            ("a", "A", false),
            ("*-eu-*", "docs-eu-1", true),
            ("a.c", "abc", false),
        ] {
            let (pattern, name) = (pattern.parse::<Pattern>().unwrap(), PipelineId::new(name).unwrap());
            assert_eq!(pattern.matches(&name), hit, "{pattern} {name}");
        }
        for wrong in ["", "a b", "docs?", "ä", &"a".repeat(129)] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
        // Would take for ever if every star came back.
        assert!(!matches("*a".repeat(60).as_bytes(), "a".repeat(59).as_bytes()));
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                plainly(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
