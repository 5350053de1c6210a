//! Ctrl-C and SIGTERM: the first is a wish to stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A flag that the first of these signals raises. Where the operating system refuses to register it, signals keep
/// ending the program.
pub fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, exit_code) in [(SIGINT, 130), (SIGTERM, 143)] {
        // In this order: the end comes only when the flag was up before.
        let _ = flag::register_conditional_shutdown(signal, exit_code, Arc::clone(&stop));
        let _ = flag::register(signal, Arc::clone(&stop));
    }
    stop
}
