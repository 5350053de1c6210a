//! Temporary files that are to take the place of others.

use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A new file in `folder` with a name that begins with `prefix`, removed when dropped unless it is given another name.
/// Temporary files are usually for their owner only; this one is to be a result, as readable as the umask makes new files.
///
/// # Errors
/// The operating system's.
pub fn temporary_in(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(prefix).tempfile_in(folder)
}
