//! Writes the seeds of a target into a folder: `ragpulse-fuzz TARGET FOLDER`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(folder)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        eprintln!("usage: ragpulse-fuzz TARGET FOLDER");
        return ExitCode::FAILURE;
    };
    for (name, bytes) in ragpulse_fuzz::seeds(&target) {
        if let Err(error) = std::fs::write(folder.join(format!("seed-{name}")), bytes) {
            eprintln!("error: {}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
