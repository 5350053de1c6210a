//! What the work will take, known before it begins.

use crate::{Settings, TsneError};

/// Bytes that an embedding of N rows of D numbers takes at its peak, the input among them, to within some tens of
/// per cent. It grows with N D and N times the perplexity; nothing is N^2.
pub fn memory_needed(n: usize, columns: usize, settings: &Settings) -> u64 {
    let (n, columns) = (n as u64, columns as u64);
    let features = settings.pca.map_or(columns, |pca| columns.min(pca as u64));
    let k = neighbours_for(settings.perplexity).min(n.saturating_sub(1) as usize) as u64;
    let rows = 4 * n * columns;
    let reduction = 4 * n * (features + 80);
    let candidates = 8 * n * (2 * (k + 8.max(k / 8)) + 64);
    let search = 4 * n * (2 * features + 120) + candidates + 8 * n * k;
    let matrix = 8 * n * k * 6;
    let grid = 200 << 20;
    rows + reduction + search.max(matrix) + 64 * n + grid
}

/// Neighbours of a point for a perplexity.
pub(crate) fn neighbours_for(perplexity: f64) -> usize {
    (3.0 * perplexity).ceil() as usize
}

/// Refuses what needs more than it may take.
pub(crate) fn check(n: usize, columns: usize, settings: &Settings) -> Result<(), TsneError> {
    let needed = memory_needed(n, columns, settings);
    match settings.memory_limit {
        Some(limit) if needed > limit => Err(TsneError::Memory { needed, limit, rows: n }),
        _ => Ok(()),
    }
}
