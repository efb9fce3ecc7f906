//! The `ragpulse` command.
fn main() {}
