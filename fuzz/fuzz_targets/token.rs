//! See `tests/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ragpulse_fuzz::run("token", input));
