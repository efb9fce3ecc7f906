//! `cargo xtask`: the one door for developers.
fn main() {}
