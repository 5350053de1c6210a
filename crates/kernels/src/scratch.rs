//! Working memory of a thread, kept between calls so that the steady state allocates nothing.

use std::cell::RefCell;

use crate::aligned::{AlignedVec, HUGE};

/// Buffers from this length on take whole large pages.
const LARGE: usize = 1 << 16;

thread_local! {
    static FREE: RefCell<Vec<AlignedVec>> = const { RefCell::new(Vec::new()) };
}

/// How long the buffer is that `len` numbers get.
pub(crate) fn held(len: usize) -> usize {
    if len >= LARGE { len.next_multiple_of(HUGE / 4) } else { len }
}

/// Calls `f` with `len` numbers of unspecified content. Calls may nest; each level has its own memory.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    // The smallest kept buffer that is large enough, so that nested calls of a fixed pattern settle.
    let kept = FREE.with_borrow_mut(|free| {
        let fitting = (0..free.len()).filter(|&i| free[i].len() >= len).min_by_key(|&i| free[i].len());
        fitting.map(|i| free.swap_remove(i)).or_else(|| free.pop())
    });
    let mut buffer = match kept {
        Some(buffer) if buffer.len() >= len => buffer,
        _ => AlignedVec::zeroed(held(len)),
    };
    let result = f(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// Numbers that this thread keeps.
#[cfg(test)]
pub(crate) fn kept() -> usize {
    FREE.with_borrow(|free| free.iter().map(|buffer| buffer.len()).sum())
}
