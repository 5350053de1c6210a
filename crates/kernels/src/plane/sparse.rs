//! A sparse square matrix, row by row.

use crate::threads::parallel_chunks_mut;

/// A sparse N x N matrix in compressed rows. Every column index is below N: it is checked once, when the matrix is
/// made.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl SparseRows {
    /// A matrix whose row `i` has the entries `starts[i]..starts[i + 1]`.
    ///
    /// # Panics
    /// When the lengths do not fit, the starts fall, or a column is not below N.
    pub fn new(starts: Vec<usize>, columns: Vec<u32>, values: Vec<f32>) -> SparseRows {
        assert!(starts.first() == Some(&0) && starts.is_sorted());
        assert!(starts.last() == Some(&columns.len()) && columns.len() == values.len());
        let n = starts.len() - 1;
        assert!(columns.iter().all(|column| (*column as usize) < n), "a column beyond the matrix");
        SparseRows { starts, columns, values }
    }

    /// Rows of the matrix.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entries that are stored.
    pub fn entries(&self) -> usize {
        self.columns.len()
    }

    /// Columns and values of a row.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.starts[i]..self.starts[i + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same matrix with row and column `order[i]` moved to place `i`. Entries keep their order in a row.
    ///
    /// # Panics
    /// When `order` is no permutation of the rows.
    pub fn permuted(&self, order: &[u32]) -> SparseRows {
        let n = self.len();
        assert_eq!(order.len(), n);
        let mut place = vec![u32::MAX; n];
        for (new, old) in order.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        assert!(!place.contains(&u32::MAX), "every row has a place");
        let mut starts = Vec::with_capacity(n + 1);
        starts.push(0);
        let mut end = 0;
        for old in order {
            end += self.row(*old as usize).0.len();
            starts.push(end);
        }
        let mut columns = vec![0; end];
        let mut values = vec![0.0; end];
        let mut rows: Vec<(&mut [u32], &mut [f32])> = Vec::with_capacity(n);
        let (mut columns_left, mut values_left) = (&mut columns[..], &mut values[..]);
        for row in starts.windows(2) {
            let (a, rest) = columns_left.split_at_mut(row[1] - row[0]);
            let (b, other_rest) = values_left.split_at_mut(row[1] - row[0]);
            (columns_left, values_left) = (rest, other_rest);
            rows.push((a, b));
        }
        parallel_chunks_mut(&mut rows, 256, |chunk, rows| {
            for (i, (columns, values)) in rows.iter_mut().enumerate() {
                let (from, from_values) = self.row(order[chunk * 256 + i] as usize);
                for (to, from) in columns.iter_mut().zip(from) {
                    *to = place[*from as usize];
                }
                values.copy_from_slice(from_values);
            }
        });
        SparseRows { starts, columns, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_move_together() {
        let matrix = SparseRows::new(vec![0, 2, 2, 3], vec![1, 2, 0], vec![1.0, 2.0, 3.0]);
        let moved = matrix.permuted(&[2, 0, 1]);
        assert_eq!(moved.row(0), (&[1][..], &[3.0][..]));
        assert_eq!(moved.row(1), (&[2, 0][..], &[1.0, 2.0][..]));
        assert_eq!(moved.row(2), (&[][..], &[][..]));
        assert_eq!(moved.permuted(&[1, 2, 0]), matrix);
    }

    #[test]
    #[should_panic(expected = "beyond the matrix")]
    fn columns_are_checked() {
        SparseRows::new(vec![0, 1], vec![1], vec![1.0]);
    }
}
