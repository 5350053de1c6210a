//! Where results go: proved writable before work begins, without leaving a trace.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Proves that `folder` can be created or written to, leaving nothing behind.
///
/// # Errors
/// When it, or the nearest folder above it that exists, is no folder or takes no new entry (exit code 2).
pub fn check_folder(folder: &Path) -> Result<(), Failure> {
    let refuse = |at: &Path, why: &dyn std::fmt::Display| {
        Failure::input(format_args!(
            "output folder {} cannot be written: {}: {why}",
            folder.display(),
            at.display()
        ))
        .help("give --out a folder that you may write to")
    };
    let folder_or_here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    for at in folder_or_here.ancestors() {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        match fs::metadata(at) {
            Ok(found) if found.is_dir() => {
                let probe = at.join(format!(".hectare-probe-{}", std::process::id()));
                return match fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)) {
                    Ok(()) => Ok(()),
                    Err(error) => Err(refuse(at, &error)),
                };
            }
            Ok(_) => return Err(refuse(at, &"it is not a folder")),
            // Below a regular file the system says "not a directory": the walk upwards meets that file.
            Err(_) => {}
        }
    }
    Err(refuse(folder, &"no folder above it exists"))
}

/// Proves that a file can be written at `path`, leaving nothing behind.
///
/// # Errors
/// When it is a folder, or its folder cannot be written (exit code 2).
pub fn check_file(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::input(format_args!("{} is a folder", path.display()))
            .help("give --out the name of a file"));
    }
    check_folder(&parent(path))
}

/// Creates `folder` and those above it.
///
/// # Errors
/// When the system refuses (exit code 3: [`check_folder`] went well before).
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let message = |error| Failure::work(format_args!("cannot create {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(message)
}

/// The folder of a file.
pub fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// Whether two paths are those of one file that exists.
pub fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A field of a CSV file (RFC 4180).
pub fn csv_field(field: &str) -> std::borrow::Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_nothing_and_sees_through_files() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        check_folder(&deep).unwrap();
        assert!(!dir.path().join("a").exists());
        fs::write(dir.path().join("file"), b"x").unwrap();
        let failure = check_folder(&dir.path().join("file/b")).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("not a folder"), "{failure}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn fields_are_quoted_where_they_must() {
        assert_eq!(csv_field("0_450.png"), "0_450.png");
        assert_eq!(csv_field("a,\"b\".png"), "\"a,\"\"b\"\".png\"");
    }
}
