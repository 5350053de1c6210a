//! Why a network could not be run.

use std::fmt;

use crate::ShapeError;

/// Why a network could not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecError {
    /// The input's size does not fit the network.
    Shape(ShapeError),
    /// A buffer has another length than its shape says.
    Length {
        /// Which buffer.
        what: &'static str,
        /// Numbers it should have.
        expected: usize,
        /// Numbers it has.
        got: usize,
    },
    /// The network has no node of that name.
    UnknownNode(String),
    /// The parameters are those of another network.
    ForeignParams,
    /// Nothing of the network is trained.
    NothingToTrain,
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecError::Shape(error) => error.fmt(f),
            ExecError::Length { what, expected, got } => {
                write!(f, "{what} has {got} numbers where its shape asks for {expected}")
            }
            ExecError::UnknownNode(name) => write!(f, "the network has no node {name}"),
            ExecError::ForeignParams => write!(f, "the parameters belong to another network"),
            ExecError::NothingToTrain => write!(f, "no parameter that the output depends on is trained"),
        }
    }
}

impl std::error::Error for ExecError {}

impl From<ShapeError> for ExecError {
    fn from(error: ShapeError) -> Self {
        ExecError::Shape(error)
    }
}

pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<(), ExecError> {
    if expected == got { Ok(()) } else { Err(ExecError::Length { what, expected, got }) }
}
