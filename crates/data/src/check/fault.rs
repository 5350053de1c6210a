//! What can be wrong or odd about a file of a data set.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::DataError;

/// What kind of thing is wrong, or odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A file that cannot be read or decoded.
    Undecodable,
    /// A picture whose file ends before its pixels do.
    Truncated,
    /// A picture of more pixels than the limit: nothing was allocated for it.
    TooLarge,
    /// A mask of another size than its picture.
    SizeMismatch,
    /// A colour or id that the class map does not hold.
    UnlistedColour,
    /// A picture without a mask or a mask without a picture.
    Orphan,
    /// Two pictures or two masks that stand for one sample.
    SameStem,
    /// A picture without a class.
    Unlabelled,
    /// Pixel-identical pictures with different labels.
    Contradiction,
    /// A picture that is in both sets.
    InBothSets,
    /// A class that only the other set has: it cannot be learnt.
    MissingClass,
    /// Pixel-identical pictures with one label (a note).
    Duplicate,
    /// A class without pictures or pixels (a note).
    AbsentClass,
    /// A picture of another size than nearly all (a note).
    OtherSize,
    /// Pixels of a colour that is read as a class besides the class's own colour (a note).
    Alias,
    /// A picture of 16 bits, of which the high ones are taken (a note).
    SixteenBit,
    /// A grey picture, whose three channels will be equal (a note).
    Grey,
    /// A CMYK picture, which is converted (a note).
    Cmyk,
    /// A picture with alpha, which is dropped (a note).
    Alpha,
    /// A picture that EXIF wants turned, which is not done (a note).
    Rotated,
    /// Names that are one name where case does not count (a note).
    CaseCollision,
}

impl FaultKind {
    /// The heading above things of this kind.
    pub(super) fn heading(self) -> &'static str {
        match self {
            FaultKind::Undecodable => "do not decode",
            FaultKind::Truncated => "truncated",
            FaultKind::TooLarge => "too many pixels",
            FaultKind::SizeMismatch => "mask of another size",
            FaultKind::UnlistedColour => "colour or id without a class",
            FaultKind::Orphan => "without a partner",
            FaultKind::SameStem => "two files for one sample",
            FaultKind::Unlabelled => "without a class",
            FaultKind::Contradiction => "same picture, different labels",
            FaultKind::InBothSets => "in both sets",
            FaultKind::MissingClass => "class that only the other set has",
            FaultKind::Duplicate => "same picture, same label",
            FaultKind::AbsentClass => "class that is absent",
            FaultKind::OtherSize => "unusual size",
            FaultKind::Alias => "colour that stands for another",
            FaultKind::SixteenBit => "16 bits",
            FaultKind::Grey => "grey",
            FaultKind::Cmyk => "CMYK",
            FaultKind::Alpha => "alpha",
            FaultKind::Rotated => "turned by EXIF",
            FaultKind::CaseCollision => "names that differ in case only",
        }
    }
}

/// One thing that is wrong or odd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Of what kind.
    pub kind: FaultKind,
    /// The file; the set's folder where it is about no single one.
    pub path: PathBuf,
    /// The other file, where it takes two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<PathBuf>,
    /// What is wrong with it, naming file and values.
    pub message: String,
}

impl Fault {
    /// About one file.
    pub(super) fn new(kind: FaultKind, path: &Path, message: impl fmt::Display) -> Fault {
        Fault { kind, path: path.into(), other: None, message: message.to_string() }
    }

    /// About two files.
    pub(super) fn pair(kind: FaultKind, path: &Path, other: &Path, message: impl fmt::Display) -> Fault {
        Fault { other: Some(other.into()), ..Fault::new(kind, path, message) }
    }

    /// What a reader refused.
    pub(super) fn of(path: &Path, error: &DataError) -> Fault {
        let kind = match error {
            DataError::UnlistedColour { .. } | DataError::UnlistedId { .. } => FaultKind::UnlistedColour,
            DataError::SizeMismatch { .. } => FaultKind::SizeMismatch,
            DataError::Truncated { .. } => FaultKind::Truncated,
            DataError::TooLarge { .. } => FaultKind::TooLarge,
            _ => FaultKind::Undecodable,
        };
        Fault::new(kind, path, error)
    }

    /// The files to leave out because of it. Of two that contradict each other both go, as nothing tells which
    /// label is right; of a picture in both sets the one of the set that was checked goes.
    pub(super) fn files_to_leave_out(&self) -> impl Iterator<Item = &Path> {
        let both = matches!(self.kind, FaultKind::Contradiction | FaultKind::SameStem);
        let first = (self.kind != FaultKind::MissingClass).then_some(&self.path);
        first.into_iter().chain(self.other.iter().filter(move |_| both)).map(PathBuf::as_path)
    }
}
