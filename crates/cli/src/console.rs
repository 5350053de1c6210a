//! The two streams: results on stdout, everything else on stderr, and neither ever panics.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicI8, Ordering};

use crate::failure::Failure;

/// -1 quiet, 0 normal, 1 and more verbose.
static LEVEL: AtomicI8 = AtomicI8::new(0);

/// Sets how much is said on stderr.
pub fn set_level(verbose: i8, quiet: bool) {
    LEVEL.store(if quiet { -1 } else { verbose }, Ordering::Relaxed);
}

/// Whether more than warnings and errors is wanted.
pub fn speaks() -> bool {
    LEVEL.load(Ordering::Relaxed) >= 0
}

/// Whether progress may move about on stderr.
pub fn moves() -> bool {
    speaks() && std::io::stderr().is_terminal()
}

/// A line that a user wants to see unless asked to be quiet.
pub fn say(line: impl Display) {
    if speaks() {
        stderr(line);
    }
}

/// A line for `-v`.
pub fn detail(line: impl Display) {
    if LEVEL.load(Ordering::Relaxed) > 0 {
        stderr(line);
    }
}

/// Something that is probably not what the user wants, but does not stop the work.
pub fn warn(line: impl Display) {
    stderr(format_args!("warning: {line}"));
}

/// Why the command ends.
pub fn error(failure: &Failure) {
    stderr(failure);
}

fn stderr(line: impl Display) {
    // Nobody reads stderr any more: that is no reason to stop working.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes a result to stdout. A reader that went away (`| head`) ends the program quietly.
///
/// # Errors
/// When stdout cannot be written for another reason, a full disk say.
pub fn result(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => {
            other.map_err(|error| Failure::work(format_args!("cannot write to standard output: {error}")))
        }
    }
}

/// Writes one JSON document to stdout.
///
/// # Errors
/// As [`result`].
pub fn json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(Failure::work)?;
    result(format_args!("{text}\n"))
}
