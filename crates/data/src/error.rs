//! What can be wrong with data, said so that a user can mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a file, a folder or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder that is not there.
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The operating system refused to read or write.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A picture whose file ends before its pixels do.
    Truncated {
        /// The picture.
        path: PathBuf,
    },
    /// A file with more bytes than its kind may have.
    LongFile {
        /// The file.
        path: PathBuf,
        /// Most bytes that it may have.
        limit: u64,
    },
    /// A picture that does not decode: damaged or of a kind that is not supported.
    Decode {
        /// The picture.
        path: PathBuf,
        /// What the decoder met.
        reason: String,
    },
    /// A picture with more pixels than [`MAX_PIXELS`](crate::MAX_PIXELS).
    TooLarge {
        /// The picture.
        path: PathBuf,
        /// Its width in pixels.
        width: usize,
        /// Its height in pixels.
        height: usize,
    },
    /// A mask holds a colour that the class map does not list.
    UnlistedColour {
        /// The mask.
        path: PathBuf,
        /// The most frequent unlisted colour, RGB.
        colour: [u8; 3],
        /// Pixels of that colour.
        count: u64,
        /// Unlisted colours beside this one.
        others: usize,
        /// Name of the class with the nearest colour.
        nearest: String,
        /// Colour of that class, RGB.
        nearest_colour: [u8; 3],
    },
    /// A mask of class ids holds an id that the class map does not have.
    UnlistedId {
        /// The mask.
        path: PathBuf,
        /// The most frequent such id.
        id: u16,
        /// Pixels with that id.
        count: u64,
        /// Number of classes in the map; ids run from 0 to one less.
        classes: usize,
    },
    /// A mask of another size than its image.
    SizeMismatch {
        /// The image.
        image: PathBuf,
        /// Its width and height.
        image_size: [usize; 2],
        /// The mask.
        mask: PathBuf,
        /// Its width and height.
        mask_size: [usize; 2],
    },
    /// Pictures of one batch that are not of one size.
    UnequalSizes {
        /// One picture.
        first: String,
        /// Its width and height.
        first_size: [usize; 2],
        /// Another.
        other: String,
        /// Its width and height.
        other_size: [usize; 2],
    },
    /// A folder or list without a single usable sample.
    Empty {
        /// The folder or list.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// Two files that would be one sample, or give one output.
    DuplicateStem {
        /// The name they share.
        stem: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A line of a CSV list or class map that cannot be used.
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A picture without a class where one is needed.
    Unlabelled {
        /// The picture.
        path: PathBuf,
    },
    /// A class that the expected list of classes does not hold.
    UnknownClass {
        /// The picture or folder.
        path: PathBuf,
        /// The class found.
        class: String,
        /// How many classes are known.
        classes: usize,
    },
    /// A scene that cannot be read, or labels that do not fit it.
    Scene {
        /// What is wrong, with the file's name.
        reason: String,
    },
    /// A loading thread panicked; a defect of the program.
    Worker {
        /// The panic's message.
        reason: String,
    },
}

impl DataError {
    /// An [`DataError::Io`], or [`DataError::NotFound`] where that is the cause.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> DataError {
        if error.kind() == std::io::ErrorKind::NotFound {
            return DataError::NotFound { path: path.into() };
        }
        DataError::Io { path: path.into(), reason: error.to_string() }
    }

    pub(crate) fn decode(path: &Path, reason: impl fmt::Display) -> DataError {
        DataError::Decode { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn line(path: &Path, line: usize, reason: impl fmt::Display) -> DataError {
        DataError::Line { path: path.into(), line, reason: reason.to_string() }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rgb = |c: &[u8; 3]| format!("{},{},{}", c[0], c[1], c[2]);
        match self {
            DataError::NotFound { path } => write!(f, "{} is not there", path.display()),
            DataError::Io { path, reason } => write!(f, "{}: {reason}", path.display()),
            DataError::Truncated { path } => {
                write!(f, "{} does not decode: the file is truncated", path.display())
            }
            DataError::LongFile { path, limit } => {
                write!(f, "{} is longer than the limit of {} MiB", path.display(), limit >> 20)
            }
            DataError::Decode { path, reason } => write!(f, "{} does not decode: {reason}", path.display()),
            DataError::TooLarge { path, width, height } => write!(
                f,
                "{} has {width}x{height} pixels, more than the limit of {} million",
                path.display(),
                crate::MAX_PIXELS / 1_000_000
            ),
            DataError::UnlistedColour { path, colour, count, others, nearest, nearest_colour } => {
                write!(
                    f,
                    "{}: {count} pixels of colour {} are not in the class map (nearest: {nearest} {})",
                    path.display(),
                    rgb(colour),
                    rgb(nearest_colour)
                )?;
                match others {
                    0 => Ok(()),
                    1 => write!(f, "; one other colour is unlisted too"),
                    n => write!(f, "; {n} other colours are unlisted too"),
                }
            }
            DataError::UnlistedId { path, id, count, classes } => write!(
                f,
                "{}: {count} pixels of class id {id}, but the class map has {classes} classes (ids 0 to {})",
                path.display(),
                classes.saturating_sub(1)
            ),
            DataError::SizeMismatch { image, image_size, mask, mask_size } => write!(
                f,
                "{} has {}x{} pixels, but its mask {} has {}x{}",
                image.display(),
                image_size[0],
                image_size[1],
                mask.display(),
                mask_size[0],
                mask_size[1]
            ),
            DataError::UnequalSizes { first, first_size, other, other_size } => write!(
                f,
                "{first} has {}x{} pixels and {other} {}x{}: pictures of one batch need one size (crop, resize or \
                 use batch size 1)",
                first_size[0], first_size[1], other_size[0], other_size[1]
            ),
            DataError::Empty { path, expected } => {
                write!(f, "{} holds no samples: expected {expected}", path.display())
            }
            DataError::DuplicateStem { stem, first, second } => {
                write!(f, "{} and {} both stand for {stem}", first.display(), second.display())
            }
            DataError::Line { path, line: 0, reason } => write!(f, "{}: {reason}", path.display()),
            DataError::Line { path, line, reason } => write!(f, "{}, line {line}: {reason}", path.display()),
            DataError::Unlabelled { path } => write!(
                f,
                "{} has no class: expected a name like 12_345.png, a folder per class or a CSV list",
                path.display()
            ),
            DataError::UnknownClass { path, class, classes } => {
                write!(f, "{} is of class {class}, which is not among the {classes} classes", path.display())
            }
            DataError::Scene { reason } => f.write_str(reason),
            DataError::Worker { reason } => write!(f, "a loading thread failed: {reason}"),
        }
    }
}

impl std::error::Error for DataError {}
