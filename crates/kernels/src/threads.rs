//! Work on all cores, cut by shape and never by the number of threads.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// Calls `f(0) .. f(tasks - 1)`, each once, on the threads of the current pool.
pub fn parallel_for(tasks: usize, f: impl Fn(usize) + Sync + Send) {
    match tasks {
        0 => {}
        1 => f(0),
        _ => (0..tasks).into_par_iter().with_max_len(1).for_each(f),
    }
}

/// Splits `data` into chunks of `chunk` elements (the last may be shorter) and calls `f(index, chunk)` on
/// each.
pub fn parallel_chunks_mut<T: Send>(data: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    data.par_chunks_mut(chunk.max(1)).with_max_len(1).enumerate().for_each(|(i, part)| f(i, part));
}

/// Runs both on the threads of the current pool, beside each other where it has two, and gives what they give.
pub fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

/// A set of threads to run kernels on.
pub struct Pool(rayon::ThreadPool);

impl Pool {
    /// A pool of `threads` threads (at least one).
    ///
    /// # Panics
    /// When the operating system cannot start a thread.
    pub fn new(threads: usize) -> Pool {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
        Pool(pool.expect("the operating system starts threads"))
    }

    /// Runs `f` with this pool as the current one.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.0.install(f)
    }
}

/// Sets the number of threads of the default pool. Has no effect after the first kernel has run.
pub fn set_default_threads(threads: usize) {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build_global();
}

/// Threads in the current pool.
pub fn current_threads() -> usize {
    rayon::current_num_threads()
}

/// A mutable slice that tasks of one [`parallel_for`] share, each writing its own part.
pub(crate) struct SharedMut<'a, T> {
    ptr: *mut T,
    len: usize,
    _borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `slice`, whose callers promise disjoint ranges.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

#[allow(dead_code)]
impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        SharedMut { ptr: data.as_mut_ptr(), len: data.len(), _borrow: PhantomData }
    }

    /// Part of the slice, bounds checked.
    ///
    /// # Safety
    /// No two parts that live at the same time may overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds by the assertion, disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }

    /// The start of the slice.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.ptr
    }
}
