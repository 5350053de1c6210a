//! Files written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::TrainError;

/// Writes `path` by way of a temporary file in the same folder: fsync, then rename.
///
/// # Errors
/// The operating system's, naming `path`.
pub fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), TrainError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let attempt = || -> io::Result<()> {
        let temporary = tempfile::Builder::new().prefix(".hectare-").tempfile_in(folder)?;
        let mut writer = BufWriter::with_capacity(1 << 20, temporary);
        write(&mut writer)?;
        let temporary = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        readable(temporary.as_file());
        temporary.persist(path).map_err(|error| error.error)?;
        sync_folder(folder);
        Ok(())
    };
    attempt().map_err(|cause| TrainError::io("cannot write", path, cause))
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), TrainError> {
    write_with(path, |writer| writer.write_all(bytes.as_ref()))
}

/// Temporary files are for their owner only; results are as readable as other new files.
fn readable(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = file.set_permissions(fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = file;
}

/// Makes a rename last; what cannot be synced (some file systems) is left to the operating system.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// The operating system's, naming the folder.
pub fn create_folder(path: &Path) -> Result<(), TrainError> {
    fs::create_dir_all(path).map_err(|cause| TrainError::io("cannot create the folder", path, cause))
}

/// Makes a folder if need be and proves that files can be made in it.
///
/// # Errors
/// The operating system's, naming the folder.
pub fn writable_folder(path: &Path) -> Result<(), TrainError> {
    create_folder(path)?;
    match tempfile::tempfile_in(path) {
        Ok(_) => Ok(()),
        Err(cause) => Err(TrainError::io("cannot write into the folder", path, cause)),
    }
}

/// Checks, writing nothing that stays, that `path` is a folder one can write into or could be made.
///
/// # Errors
/// The operating system's, naming the folder.
pub fn check_creatable(path: &Path) -> Result<(), TrainError> {
    let absolute = std::path::absolute(path)
        .map_err(|cause| TrainError::io("cannot write into the folder", path, cause))?;
    let nearest = absolute.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(&absolute);
    match tempfile::tempfile_in(nearest) {
        Ok(_) => Ok(()),
        Err(cause) => Err(TrainError::io("cannot write into the folder", nearest, cause)),
    }
}

/// Gives a whole file a second name, in place of what has that name now: a hard link, or a copy where the
/// file system has no links.
///
/// # Errors
/// The operating system's, naming `to`.
pub(crate) fn duplicate(from: &Path, to: &Path) -> Result<(), TrainError> {
    let temporary = to.with_extension("linking");
    remove(&temporary)?;
    if fs::hard_link(from, &temporary).is_err() {
        return write_with(to, |writer| io::copy(&mut File::open(from)?, writer).map(|_| ()));
    }
    fs::rename(&temporary, to).map_err(|cause| TrainError::io("cannot write", to, cause))?;
    // Renaming one link of a file onto another of its links leaves both.
    remove(&temporary)
}

/// Removes a file that may be absent.
pub(crate) fn remove(path: &Path) -> Result<(), TrainError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(TrainError::io("cannot remove", path, cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, "old").unwrap();
        let failed = write_with(&path, |writer| {
            writer.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().ends_with("a.txt: disk full"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
