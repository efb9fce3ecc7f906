//! The targets, and what they share.

pub(crate) mod answer;
pub(crate) mod command;
pub(crate) mod event;
pub(crate) mod fold;
pub(crate) mod http;
mod hub;
pub(crate) mod names;
pub(crate) mod report;
pub(crate) mod socket;
pub(crate) mod token;

use ragpulse_protocol::Problem;

/// The text before the first line break, and what follows.
fn split(input: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(input).ok()?.split_once('\n')
}

/// A refusal must not carry back what was sent: whoever does not read it would have the hub keep it.
fn is_short(problem: &Problem) {
    let length = serde_json::to_string(problem).unwrap().len();
    assert!(
        length <= 8_192,
        "a refusal of {length} bytes: {}…",
        &problem.detail[..problem.detail.floor_char_boundary(200)]
    );
}
