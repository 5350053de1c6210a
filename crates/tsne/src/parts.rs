//! Work in parts of a fixed size, whose results come back in order.

use std::ops::Range;

use hectare_kernels::threads::parallel_chunks_mut;

/// `f` of each range of `part` out of `0..len`, in order, computed on all threads.
pub(crate) fn map_parts<R: Send>(
    len: usize,
    part: usize,
    f: impl Fn(Range<usize>) -> R + Sync + Send,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..len.div_ceil(part)).map(|_| None).collect();
    parallel_chunks_mut(&mut results, 1, |i, result| {
        result[0] = Some(f(i * part..((i + 1) * part).min(len)));
    });
    results.into_iter().flatten().collect()
}
