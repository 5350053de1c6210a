//! Files written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use hectare_net::temporary_in;

use crate::error::TrainError;

/// How names of temporary files begin: of this crate's, and of the weight files'.
pub(crate) const TEMPORARY: &str = ".hectare-";
const TEMPORARY_WEIGHTS: &str = ".weights-";

/// Writes `path` by way of a temporary file in the same folder: fsync, then rename.
///
/// # Errors
/// The operating system's, naming `path`.
pub fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), TrainError> {
    write_checked(path, write, |_| Ok(true))
}

/// As [`write_with`]; what was there before is replaced only if `check`, which reads the new file from its start,
/// finds it right.
///
/// # Errors
/// As [`write_with`], and a file that `check` refuses.
pub(crate) fn write_checked(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    check: impl FnOnce(&mut File) -> io::Result<bool>,
) -> Result<(), TrainError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let attempt = || -> io::Result<()> {
        let temporary = temporary_in(folder, TEMPORARY)?;
        let mut writer = BufWriter::with_capacity(1 << 20, temporary);
        write(&mut writer)?;
        let mut temporary = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        temporary.as_file_mut().seek(SeekFrom::Start(0))?;
        if !check(temporary.as_file_mut())? {
            return Err(io::Error::other("what was written could not be read back"));
        }
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

/// Removes the temporary files that a killed program left in a folder, if there is such a folder.
///
/// # Errors
/// The operating system's, naming the file.
pub(crate) fn sweep(folder: &Path) -> Result<(), TrainError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY) || name.starts_with(TEMPORARY_WEIGHTS) || name.ends_with(LINKING) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Bytes that can still be written below a folder; `None` where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let system = rustix::fs::statvfs(folder).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// Refuses to begin writing what will not fit.
///
/// # Errors
/// [`TrainError::Space`].
pub(crate) fn check_space(folder: &Path, needed: u64) -> Result<(), TrainError> {
    match free_bytes(folder) {
        Some(free) if free < needed => Err(TrainError::Space { path: folder.to_path_buf(), needed, free }),
        _ => Ok(()),
    }
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

/// How names of second links begin their life.
const LINKING: &str = ".linking";

/// Gives a whole file a second name, in place of what has that name now: a hard link, or a copy where the
/// file system has no links.
///
/// # Errors
/// The operating system's, naming `to`.
pub(crate) fn duplicate(from: &Path, to: &Path) -> Result<(), TrainError> {
    let temporary = to.with_extension(&LINKING[1..]);
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
    fn what_cannot_be_read_back_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, "old").unwrap();
        let read_back = |file: &mut File| {
            let mut text = String::new();
            io::Read::read_to_string(file, &mut text).map(|_| text == "old")
        };
        let failed = write_checked(&path, |writer| writer.write_all(b"new"), read_back);
        assert!(failed.unwrap_err().to_string().contains("read back"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write_checked(&path, |writer| writer.write_all(b"old"), read_back).unwrap();
    }

    #[test]
    fn leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in [".hectare-1", ".weights-x", "best.linking", "best.safetensors"] {
            write(&path(name), "x").unwrap();
        }
        sweep(folder.path()).unwrap();
        sweep(&path("nothing there")).unwrap();
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["best.safetensors"]);
    }

    #[test]
    fn space_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        check_space(folder.path(), 1).unwrap();
        if free_bytes(folder.path()).is_some() {
            let error = check_space(folder.path(), u64::MAX).unwrap_err().to_string();
            assert!(error.contains("GiB"), "{error}");
        }
    }

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
