//! Data sets of one class per picture.

use std::path::{Path, PathBuf};

use crate::files::{entries, file_name, is_picture, stem};
use crate::{DataError, Exclusion, csv};

/// One picture and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSample {
    /// The file.
    pub path: PathBuf,
    /// Its name without the folder.
    pub name: String,
    /// Its class, an index into the set's names; `None` where nothing tells.
    pub label: Option<u16>,
}

/// A classification data set: pictures sorted by path, and the names of the classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassificationSet {
    /// The folder or list that was opened.
    pub root: PathBuf,
    /// The pictures.
    pub samples: Vec<ClassSample>,
    /// Names by class; numbers where the layout has no names.
    pub class_names: Vec<String>,
}

/// A class as a layout tells it.
enum Told {
    Number(u16),
    Name(String),
    Nothing,
}

impl ClassificationSet {
    /// Opens a data set in one of its layouts:
    ///
    /// * a folder of files `{class}_{id}.png` with numbers, as in `12_345.png`;
    /// * a folder per class (named, sorted by name; or numbered), searched to any depth;
    /// * a CSV list of `file,class` (a header is optional; files relative to the list; classes as numbers or
    ///   names);
    /// * any other folder of pictures: samples without a label, fit for prediction only.
    ///
    /// # Errors
    /// A path that is not there, a folder or list without pictures, a line that cannot be used.
    pub fn open(path: &Path) -> Result<ClassificationSet, DataError> {
        ClassificationSet::open_as(path, None)
    }

    /// As [`open`](Self::open), with the classes given: those of a model, or of the training set where a
    /// validation set is opened that may not hold them all.
    ///
    /// # Errors
    /// Also [`DataError::UnknownClass`] for a picture of a class that is not among `names`.
    pub fn open_as(path: &Path, names: Option<&[String]>) -> Result<ClassificationSet, DataError> {
        ClassificationSet::open_without(path, names, &Exclusion::default())
    }

    /// As [`open_as`](Self::open_as), without the pictures of a list. A class whose pictures are all on it stays
    /// a class.
    ///
    /// # Errors
    /// As [`open_as`](Self::open_as).
    pub fn open_without(
        path: &Path,
        names: Option<&[String]>,
        exclusion: &Exclusion,
    ) -> Result<ClassificationSet, DataError> {
        if !path.exists() {
            return Err(DataError::NotFound { path: path.into() });
        }
        let mut told = if path.is_dir() { read_folder(path)? } else { read_list(path)? };
        let found = names.is_none().then(|| collect_names(&told));
        told.retain(|(picture, _)| !exclusion.holds(picture));
        if told.is_empty() {
            let expected = "files like 12_345.png, a folder of pictures per class, or a CSV list".into();
            return Err(DataError::Empty { path: path.into(), expected });
        }
        let class_names = found.or_else(|| names.map(<[String]>::to_vec)).unwrap_or_default();
        let index: std::collections::HashMap<&str, u16> =
            class_names.iter().enumerate().map(|(i, n)| (n.as_str(), i as u16)).collect();
        let unknown = |path: &Path, class: String| DataError::UnknownClass {
            path: path.into(),
            class,
            classes: class_names.len(),
        };
        let mut samples = Vec::with_capacity(told.len());
        for (path, told) in told {
            let label = match told {
                Told::Nothing => None,
                Told::Number(n) if usize::from(n) < class_names.len() => Some(n),
                Told::Number(n) => return Err(unknown(&path, n.to_string())),
                Told::Name(name) => match index.get(name.as_str()) {
                    Some(&n) => Some(n),
                    None => return Err(unknown(&path, name)),
                },
            };
            samples.push(ClassSample { name: file_name(&path), path, label });
        }
        Ok(ClassificationSet { root: path.into(), samples, class_names })
    }

    /// Checks that every picture has a class, as training and evaluation need.
    ///
    /// # Errors
    /// [`DataError::Unlabelled`] with the first that has none.
    pub fn require_labels(&self) -> Result<(), DataError> {
        match self.samples.iter().find(|s| s.label.is_none()) {
            Some(sample) => Err(DataError::Unlabelled { path: sample.path.clone() }),
            None => Ok(()),
        }
    }

    /// Pictures of each class.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.class_names.len()];
        for label in self.samples.iter().filter_map(|s| s.label) {
            counts[usize::from(label)] += 1;
        }
        counts
    }
}

/// Numbers `0 ..= highest` where all classes are numbers, else the names in order.
fn collect_names(told: &[(PathBuf, Told)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut highest = None;
    for (_, told) in told {
        match told {
            Told::Number(n) => highest = highest.max(Some(*n)),
            Told::Name(name) => names.push(name.clone()),
            Told::Nothing => {}
        }
    }
    if names.is_empty() {
        return highest.map_or(Vec::new(), |h| (0..=h).map(|n| n.to_string()).collect());
    }
    names.sort();
    names.dedup();
    names
}

fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, Told)>, DataError> {
    let (files, folders) = entries(folder)?;
    let pictures: Vec<PathBuf> = files.into_iter().filter(|f| is_picture(f)).collect();
    if !pictures.is_empty() {
        let told = pictures.into_iter().map(|p| {
            let class = class_of_name(&p).map_or(Told::Nothing, Told::Number);
            (p, class)
        });
        return Ok(told.collect());
    }
    let numbered = folders.iter().all(|f| file_name(f).parse::<u16>().is_ok());
    let mut told = Vec::new();
    for folder in folders {
        let class = file_name(&folder);
        let number = if numbered { class.parse::<u16>().ok() } else { None };
        let mut pictures = Vec::new();
        walk(&folder, &mut pictures)?;
        told.extend(
            pictures.into_iter().map(|p| (p, number.map_or_else(|| Told::Name(class.clone()), Told::Number))),
        );
    }
    Ok(told)
}

fn walk(folder: &Path, pictures: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let (files, folders) = entries(folder)?;
    pictures.extend(files.into_iter().filter(|f| is_picture(f)));
    folders.iter().try_for_each(|f| walk(f, pictures))
}

/// The class in `{class}_{id}.png`; both must be numbers (`0010_sat.jpg` is of no class).
fn class_of_name(path: &Path) -> Option<u16> {
    let stem = stem(path);
    let (class, id) = stem.split_once('_')?;
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if digits(class) && digits(id) { class.parse().ok() } else { None }
}

fn read_list(path: &Path) -> Result<Vec<(PathBuf, Told)>, DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut lines = csv::read(path)?;
    if lines.first().is_some_and(|(_, f)| is_header(f)) {
        lines.remove(0);
    }
    let numbered = lines.iter().all(|(_, f)| f.len() < 2 || f[1].parse::<u16>().is_ok());
    let mut told = Vec::with_capacity(lines.len());
    for (line, fields) in lines {
        let [file, class] = &fields[..] else {
            let reason = format!("expected file,class, found {} fields", fields.len());
            return Err(DataError::line(path, line, reason));
        };
        let picture = folder.join(file);
        if !picture.is_file() {
            return Err(DataError::line(path, line, format!("{} is not there", picture.display())));
        }
        if class.is_empty() {
            return Err(DataError::line(path, line, "the class is missing"));
        }
        let class = match class.parse::<u16>() {
            Ok(n) if numbered => Told::Number(n),
            _ => Told::Name(class.clone()),
        };
        told.push((picture, class));
    }
    Ok(told)
}

/// Whether the first line of a list names its columns.
pub(crate) fn is_header(fields: &[String]) -> bool {
    const NAMES: [&str; 8] =
        ["file", "filename", "file_name", "path", "image", "image_id", "name", "picture"];
    fields.first().is_some_and(|f| NAMES.iter().any(|n| f.eq_ignore_ascii_case(n)))
}
