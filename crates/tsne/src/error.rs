//! What can be wrong with the input.

use std::fmt;

/// Why there is no embedding.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TsneError {
    /// There are no rows, or rows without numbers.
    Empty,
    /// The count of numbers is no multiple of the columns.
    Shape {
        /// Numbers there are.
        numbers: usize,
        /// Numbers in a row.
        columns: usize,
    },
    /// A number is NaN or infinite.
    NotFinite {
        /// Its row, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// What stands there.
        value: f32,
    },
    /// A setting is out of its range.
    Setting {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There are labels, names or points for another number of rows.
    Count {
        /// What there is of them.
        what: &'static str,
        /// How many.
        got: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// The work needs more memory than it may take.
    Memory {
        /// Bytes it needs.
        needed: u64,
        /// Bytes it may take.
        limit: u64,
        /// Rows of the input.
        rows: usize,
    },
}

impl fmt::Display for TsneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TsneError::Empty => write!(f, "there are no rows to embed"),
            TsneError::Shape { numbers, columns } => {
                write!(f, "{numbers} numbers are no rows of {columns}")
            }
            TsneError::NotFinite { row, column, value } => {
                write!(f, "row {row}, column {column} (counted from 0) holds {value}")
            }
            TsneError::Setting { name, problem } => write!(f, "{name} {problem}"),
            TsneError::Count { what, got, rows } => write!(f, "{got} {what} for {rows} rows"),
            TsneError::Memory { needed, limit, rows } => {
                let mib = |bytes: &u64| bytes.div_ceil(1 << 20);
                write!(
                    f,
                    "{rows} rows need {} MiB of memory, and {} MiB are allowed",
                    mib(needed),
                    mib(limit)
                )
            }
        }
    }
}

impl std::error::Error for TsneError {}
