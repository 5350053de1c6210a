//! Lists of files to leave out: one path a line, relative to the list's own folder.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::DataError;
use crate::csv::read_text;

/// Files that a data set is opened without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusion {
    paths: HashSet<PathBuf>,
}

impl Exclusion {
    /// Reads a list: one path a line, relative to the list's folder (or absolute); empty lines and those that
    /// begin with `#` are skipped. The files need not be there.
    ///
    /// # Errors
    /// A list that is not there or is no text.
    pub fn read(list: &Path) -> Result<Exclusion, DataError> {
        let folder = list.parent().unwrap_or(Path::new(""));
        let text = read_text(list)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        Ok(Exclusion { paths: lines.map(|line| place(&folder.join(line))).collect() })
    }

    /// Whether `file` is on the list.
    pub fn holds(&self, file: &Path) -> bool {
        !self.paths.is_empty() && self.paths.contains(&place(file))
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many of the files are there.
    pub fn present(&self) -> usize {
        self.paths.iter().filter(|path| path.exists()).count()
    }

    /// The list again, with absolute paths: it means the same files wherever it lies.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.paths.iter().map(|path| format!("{}\n", path.display())).collect();
        lines.sort();
        lines.concat()
    }
}

/// The text of a list of `files` that will lie at `list`.
pub fn list_text(list: &Path, files: &[&Path]) -> String {
    let folder = place(list).parent().map(Path::to_path_buf).unwrap_or_default();
    let line = |file: &&Path| {
        let path = relative(&folder, &place(file));
        // A name may begin as a remark does.
        let dot = if path.as_os_str().as_encoded_bytes().starts_with(b"#") { "./" } else { "" };
        format!("{dot}{}\n", path.display())
    };
    files.iter().map(line).collect()
}

/// One spelling for each file: its folder with links resolved where it is there, and its name as it is (a link
/// to a picture is a sample of its own).
fn place(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    match (path.parent().map(std::fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// The way from `folder` to `file`, both absolute; `file` itself where there is none.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (folder.components().collect(), file.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return file.into();
    }
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    up.chain(to[shared..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_held_wherever_the_list_lies() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("sets/train")).unwrap();
        std::fs::create_dir_all(at("lists")).unwrap();
        let files = [at("sets/train/1.png"), at("sets/2.png")];
        let refs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        for (list, first) in [
            (at("list.txt"), "sets/train/1.png"),
            (at("lists/list.txt"), "../sets/train/1.png"),
            (at("sets/train/list.txt"), "1.png"),
        ] {
            let text = list_text(&list, &refs);
            assert_eq!(text.lines().next(), Some(first));
            std::fs::write(&list, format!("# a remark\n\n{text}")).unwrap();
            let exclusion = Exclusion::read(&list).unwrap();
            assert_eq!(exclusion.len(), 2);
            assert!(files.iter().all(|file| exclusion.holds(file)));
            assert!(exclusion.holds(&at("lists/../sets/2.png")) && !exclusion.holds(&at("sets/3.png")));
            // Absolute, it may be moved.
            std::fs::write(at("lists/moved.txt"), exclusion.to_text()).unwrap();
            assert_eq!(Exclusion::read(&at("lists/moved.txt")).unwrap(), exclusion);
        }
        assert!(Exclusion::read(&at("nowhere.txt")).is_err());
        assert!(Exclusion::default().is_empty() && !Exclusion::default().holds(&files[0]));
    }
}
