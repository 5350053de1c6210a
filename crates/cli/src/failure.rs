//! How a command ends when it does not end well, and the exit code that tells a script.

use std::fmt::Display;

/// What a command that ran to its end has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1: it ran and the answer is no.
    No,
}

/// Why a command could not run to its end.
#[derive(Debug)]
pub struct Failure {
    began: bool,
    message: String,
    remedy: Option<String>,
}

impl Failure {
    /// The user's input or flags are wrong, and nothing was done yet (exit code 2).
    pub fn input(message: impl Display) -> Failure {
        Failure { began: false, message: message.to_string(), remedy: None }
    }

    /// Something failed after work began (exit code 3).
    pub fn work(message: impl Display) -> Failure {
        Failure { began: true, message: message.to_string(), remedy: None }
    }

    /// Adds what to do about it.
    pub fn help(mut self, remedy: impl Display) -> Failure {
        self.remedy = Some(remedy.to_string());
        self
    }

    /// 2 or 3.
    pub fn exit_code(&self) -> u8 {
        if self.began { 3 } else { 2 }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  help: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Refuses what needs more memory than there is. `what` ends before the amount, as in "a map would need".
///
/// # Errors
/// Both amounts, and the remedy (exit code 2).
pub fn check_memory(what: impl Display, needed: u64, remedy: impl Display) -> Result<(), Failure> {
    let available = hectare_train::available_bytes().unwrap_or(u64::MAX);
    if needed <= available {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let text = format!("{what} {:.1} GiB of memory and {:.1} GiB are available", gib(needed), gib(available));
    Err(Failure::input(text).help(remedy))
}

/// Turns a library's error into the command's.
pub trait OrFail<T> {
    /// A mistake in the user's input (exit code 2).
    fn or_input(self) -> Result<T, Failure>;
    /// A failure after work began (exit code 3).
    fn or_work(self) -> Result<T, Failure>;
}

impl<T, E: Display> OrFail<T> for Result<T, E> {
    fn or_input(self) -> Result<T, Failure> {
        self.map_err(Failure::input)
    }

    fn or_work(self) -> Result<T, Failure> {
        self.map_err(Failure::work)
    }
}
