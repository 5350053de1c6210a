//! Cutting long arrays into tasks of a fixed size, whatever the number of threads.

use std::ops::Range;

use crate::threads::{SharedMut, parallel_chunks_mut};

/// Elements of a task that streams through memory: large against the cost of starting a task, small
/// against a layer.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Rows of `width` elements in a task of about [`CHUNK`] elements, at least one.
pub(crate) fn rows_per_task(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// The `i`-th range of `chunk` out of `len`.
pub(crate) fn piece(i: usize, len: usize, chunk: usize) -> Range<usize> {
    i * chunk..((i + 1) * chunk).min(len)
}

/// Calls `f(range, a[range], b[range])` on pieces of `chunk` elements.
pub(crate) fn for_each2<T: Send, U: Send>(
    a: &mut [T],
    b: &mut [U],
    chunk: usize,
    f: impl Fn(Range<usize>, &mut [T], &mut [U]) + Sync + Send,
) {
    assert_eq!(a.len(), b.len());
    let len = a.len();
    let b = SharedMut::new(b);
    parallel_chunks_mut(a, chunk, |i, a| {
        let range = piece(i, len, chunk);
        // SAFETY: each task has its own range.
        let b = unsafe { b.slice(range.clone()) };
        f(range, a, b);
    });
}

/// Calls `f(range, a[range], b[range], c[range])` on pieces of `chunk` elements.
pub(crate) fn for_each3(
    a: &mut [f32],
    b: &mut [f32],
    c: &mut [f32],
    chunk: usize,
    f: impl Fn(Range<usize>, &mut [f32], &mut [f32], &mut [f32]) + Sync + Send,
) {
    assert_eq!(a.len(), c.len());
    let c = SharedMut::new(c);
    for_each2(a, b, chunk, |range, a, b| {
        // SAFETY: each task has its own range.
        let c = unsafe { c.slice(range.clone()) };
        f(range, a, b, c);
    });
}

/// The results of `f(piece)` for each piece of `chunk` out of `len`, in order.
pub(crate) fn collect<R: Send + Clone + Default>(
    len: usize,
    chunk: usize,
    f: impl Fn(Range<usize>) -> R + Sync + Send,
) -> Vec<R> {
    let mut results = vec![R::default(); len.div_ceil(chunk)];
    parallel_chunks_mut(&mut results, 1, |i, result| result[0] = f(piece(i, len, chunk)));
    results
}

/// Calls `f(i)` for `0..tasks`, each of which gets its own `width` elements of `data`.
pub(crate) fn for_each_row<T: Send>(data: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    if width == 0 {
        return;
    }
    assert_eq!(data.len() % width, 0);
    let step = rows_per_task(width);
    parallel_chunks_mut(data, step * width, |task, part| {
        for (i, row) in part.chunks_exact_mut(width).enumerate() {
            f(task * step + i, row);
        }
    });
}
