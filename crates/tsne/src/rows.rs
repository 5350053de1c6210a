//! The input: rows of finite numbers.

use hectare_kernels::threads::parallel_chunks_mut;
use hectare_kernels::{Isa, elementwise};

use crate::TsneError;
use crate::parts::map_parts;

/// N rows of D finite numbers. Distances and principal components do not change when all rows move together or
/// are scaled together, so the rows are kept centred, and scaled by a power of two to numbers near 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    data: Vec<f32>,
    columns: usize,
    mean: Vec<f64>,
    scale: f64,
}

impl Rows {
    /// Takes N x `columns` numbers, row by row.
    ///
    /// # Errors
    /// No rows, a count that does not fit, or a number that is NaN or infinite, with its row.
    pub fn new(data: Vec<f32>, columns: usize) -> Result<Rows, TsneError> {
        if data.is_empty() || columns == 0 {
            return Err(TsneError::Empty);
        }
        if !data.len().is_multiple_of(columns) {
            return Err(TsneError::Shape { numbers: data.len(), columns });
        }
        refuse_special(&data, columns)?;
        let mean = column_means(&data, columns);
        let mut rows = Rows { data, columns, mean, scale: 1.0 };
        let largest = map_parts(rows.len(), 256, |range| rows.largest(range)).into_iter().fold(0.0, f64::max);
        // A power of two loses no digit.
        rows.scale = if largest > 0.0 { (-largest.log2().ceil()).exp2() } else { 1.0 };
        let (mean, scale) = (&rows.mean, rows.scale);
        parallel_chunks_mut(&mut rows.data, 64 * columns, |_, part| centre(part, mean, scale));
        Ok(rows)
    }

    /// New rows, moved and scaled as these were.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub(crate) fn like(&self, mut data: Vec<f32>) -> Result<Vec<f32>, TsneError> {
        if !data.len().is_multiple_of(self.columns) {
            return Err(TsneError::Shape { numbers: data.len(), columns: self.columns });
        }
        refuse_special(&data, self.columns)?;
        parallel_chunks_mut(&mut data, 64 * self.columns, |_, part| centre(part, &self.mean, self.scale));
        Ok(data)
    }

    /// Number of rows.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.data.len() / self.columns
    }

    /// Numbers in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The numbers, centred and scaled.
    pub fn centred(&self) -> &[f32] {
        &self.data
    }

    /// What the numbers were multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    fn largest(&self, range: std::ops::Range<usize>) -> f64 {
        let rows = self.data[range.start * self.columns..range.end * self.columns].chunks_exact(self.columns);
        rows.map(|row| {
            row.iter().zip(&self.mean).fold(0.0, |most, (x, m)| (f64::from(*x) - m).abs().max(most))
        })
        .fold(0.0, f64::max)
    }

    /// Brings rows to length 1; rows of zeros stay. Cosines are of the rows as they were given.
    pub(crate) fn normalised(&self) -> Vec<f32> {
        self.normalise(&self.data)
    }

    /// [`Rows::normalised`] for rows that are centred and scaled as these are.
    pub(crate) fn normalise(&self, centred: &[f32]) -> Vec<f32> {
        let mut data = centred.to_vec();
        parallel_chunks_mut(&mut data, self.columns, |_, row| {
            let given: Vec<f64> =
                row.iter().zip(&self.mean).map(|(x, m)| f64::from(*x) + m * self.scale).collect();
            let norm = given.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (x, given) in row.iter_mut().zip(&given) {
                *x = if norm > 0.0 { (given / norm) as f32 } else { 0.0 };
            }
        });
        data
    }
}

fn centre(part: &mut [f32], mean: &[f64], scale: f64) {
    for row in part.chunks_exact_mut(mean.len()) {
        for (x, m) in row.iter_mut().zip(mean) {
            *x = ((f64::from(*x) - m) * scale) as f32;
        }
    }
}

fn refuse_special(data: &[f32], columns: usize) -> Result<(), TsneError> {
    if elementwise::all_finite(Isa::best(), data) {
        return Ok(());
    }
    match data.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(TsneError::NotFinite { row: at / columns, column: at % columns, value: data[at] }),
        None => Ok(()),
    }
}

fn column_means(data: &[f32], columns: usize) -> Vec<f64> {
    let n = data.len() / columns;
    let sums = map_parts(n, n.div_ceil(64).max(64), |range| {
        let mut sums = vec![0.0_f64; columns];
        for row in data[range.start * columns..range.end * columns].chunks_exact(columns) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
        sums
    });
    let mut mean = vec![0.0; columns];
    for part in &sums {
        for (mean, sum) in mean.iter_mut().zip(part) {
            *mean += sum;
        }
    }
    for mean in &mut mean {
        *mean /= n as f64;
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_centred_and_scaled() {
        let rows = Rows::new(vec![1e30, 4.0, -1e30, 4.0], 2).unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.centred()[0] > 0.5 && rows.centred()[0] <= 1.0);
        assert_eq!(rows.centred()[0], -rows.centred()[2]);
        assert_eq!((rows.centred()[1], rows.centred()[3]), (0.0, 0.0));
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_row() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut data = vec![0.5; 30];
            data[3 * 7 + 2] = value;
            let error = Rows::new(data, 3).unwrap_err();
            assert!(matches!(error, TsneError::NotFinite { row: 7, column: 2, .. }), "{error}");
            assert!(error.to_string().contains("row 7"), "{error}");
        }
        assert_eq!(Rows::new(vec![], 3), Err(TsneError::Empty));
        assert_eq!(Rows::new(vec![1.0; 4], 3), Err(TsneError::Shape { numbers: 4, columns: 3 }));
    }
}
