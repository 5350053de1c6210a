//! Progress on stderr: bars on a terminal, plain lines elsewhere, nothing with `-q`.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hectare_train::{EpochRecord, Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console;

/// Seconds between two plain lines about one long piece of work.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A bar over `total` things called `what`.
fn bar(what: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} [{bar:20}] {pos}/{len} {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(what.to_string());
    bar
}

/// Counts things that are done one by one.
pub struct Counter {
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    spoke: Option<Instant>,
}

impl Counter {
    /// Nothing done yet. `what` is a plural with a participle, as "pictures checked".
    pub fn new(what: &'static str) -> Counter {
        Counter { what, state: Mutex::new(State { bar: None, spoke: Some(Instant::now()) }) }
    }

    /// `done` of `total` are done.
    pub fn set(&self, done: usize, total: usize) {
        let Ok(mut state) = self.state.lock() else { return };
        if console::moves() {
            let bar = state.bar.get_or_insert_with(|| bar(self.what, total));
            // Threads report out of order.
            if done as u64 > bar.position() {
                bar.set_position(done as u64);
            }
        } else if state.spoke.is_some_and(|at| at.elapsed() > LINE_EVERY) && done < total {
            state.spoke = Some(Instant::now());
            console::say(format_args!("{done} of {total} {}", self.what));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Ok(mut state) = self.state.lock()
            && let Some(bar) = state.bar.take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Shows a training run.
#[derive(Default)]
pub struct Watcher {
    state: Mutex<State>,
    stop: Arc<AtomicBool>,
    plain: bool,
}

impl Watcher {
    /// With `plain`, a line for every step in place of bars.
    pub fn plain(self, plain: bool) -> Watcher {
        Watcher { plain, ..self }
    }

    /// A watcher that ends the run, after the step in progress, once the flag is up.
    pub fn until(stop: Arc<AtomicBool>) -> Watcher {
        Watcher { stop, ..Watcher::default() }
    }

    /// Lines go above the bar.
    fn line(state: &State, line: impl Display) {
        match &state.bar {
            Some(bar) => bar.suspend(|| console::say(line)),
            None => console::say(line),
        }
    }

    fn moved(&self, state: &mut State, what: &str, done: usize, total: usize, message: String) {
        if !console::moves() || self.plain {
            return;
        }
        let same = state.bar.as_ref().is_some_and(|bar| bar.prefix() == what);
        if !same {
            if let Some(old) = state.bar.take() {
                old.finish_and_clear();
            }
            state.bar = Some(bar(what, total));
        }
        if let Some(bar) = &state.bar {
            bar.set_message(message);
            bar.set_position(done as u64);
        }
    }

    fn cleared(state: &mut State) {
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Watcher {
    fn event(&self, event: &Event<'_>) {
        let Ok(mut state) = self.state.lock() else { return };
        match *event {
            Event::Message(text) => Self::line(&state, text),
            Event::Checking { set, done, total } => {
                self.moved(&mut state, &format!("checking the {set} set"), done, total, String::new());
                if done == total {
                    Self::cleared(&mut state);
                }
            }
            Event::EpochStart { .. } => state.spoke = Some(Instant::now()),
            Event::Step { epoch, done, steps, loss, lr, images_per_s } => {
                let message = format!("loss {loss:.4} rate {lr:.2e} {images_per_s:.1} images/s");
                if self.plain {
                    console::say(format_args!("epoch {epoch} step {done}/{steps} {message}"));
                } else if console::moves() {
                    self.moved(&mut state, &format!("epoch {epoch}"), done, steps, message);
                } else if state.spoke.is_none_or(|at| at.elapsed() > LINE_EVERY) && done < steps {
                    state.spoke = Some(Instant::now());
                    console::say(format_args!("epoch {epoch}, step {done} of {steps}: {message}"));
                }
            }
            Event::Validating { done, total } => {
                self.moved(&mut state, "validating", done, total, String::new());
            }
            Event::EpochEnd(record) => {
                Self::cleared(&mut state);
                console::detail(detail(record));
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Two who watch one run.
pub struct Both<'a>(pub &'a dyn Observer, pub &'a dyn Observer);

impl Observer for Both<'_> {
    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
        self.1.event(event);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop() || self.1.should_stop()
    }
}

/// The figures of each class after an epoch, for `-v`.
fn detail(record: &EpochRecord) -> String {
    let Some(validation) = &record.validation else { return "no validation in this epoch".into() };
    let figure = |value: Option<f64>| value.map_or("absent".into(), |v| format!("{v:.4}"));
    let classes: Vec<String> =
        validation.classes.iter().map(|class| format!("{} {}", class.name, figure(class.value))).collect();
    format!("  per class: {}", classes.join(", "))
}
