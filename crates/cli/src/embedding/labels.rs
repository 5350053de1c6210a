//! Classes of rows: numbers with names.

use std::collections::BTreeMap;
use std::path::Path;

use hectare_train::npy;

use super::colours;
use crate::failure::{Failure, OrFail};

/// A class as pictures and pages show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its number.
    pub number: u32,
    /// Its name, where it has one beside its number.
    pub name: Option<String>,
    /// Its colour.
    pub colour: [u8; 3],
    /// Its rows.
    pub rows: usize,
}

impl Class {
    /// Number and name.
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.number),
            None => self.number.to_string(),
        }
    }
}

/// The class of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// The number of each row's class.
    pub of_row: Vec<u32>,
    /// The classes that occur, by number.
    pub classes: Vec<Class>,
}

impl Labels {
    /// From numbers, with the names that are known of them.
    pub fn new(of_row: Vec<u32>, names: &dyn Fn(u32) -> Option<String>) -> Labels {
        let mut counts = BTreeMap::new();
        for number in &of_row {
            *counts.entry(*number).or_insert(0) += 1;
        }
        let classes = counts
            .into_iter()
            .enumerate()
            .map(|(i, (number, rows))| {
                let name = names(number).filter(|name| *name != number.to_string());
                Class { number, name, colour: colours::of_class(i), rows }
            })
            .collect();
        Labels { of_row, classes }
    }

    /// Reads labels: whole numbers in a `.npy` file, or a text file with a number or a name on each line. Names are
    /// numbered in the order of the alphabet.
    ///
    /// # Errors
    /// A file that cannot be read or used (exit code 2).
    pub fn read(path: &Path) -> Result<Labels, Failure> {
        let refuse = |problem: String| {
            Failure::input(format_args!("{}: {problem}", path.display())).help(
                "labels are whole numbers in a .npy file, or a number or a name on each line of a text file",
            )
        };
        if path.extension().is_some_and(|ending| ending == "npy") {
            let (shape, numbers) = npy::read_numbers(path).or_input()?;
            if shape.iter().filter(|side| **side != 1).count() > 1 {
                return Err(refuse(format!("holds numbers of shape {shape:?}, not a list")));
            }
            let whole = |(row, x): (usize, &f32)| {
                let fits = x.fract() == 0.0 && (0.0..16_777_216.0).contains(x);
                fits.then_some(*x as u32)
                    .ok_or_else(|| refuse(format!("row {row} (counted from 0) holds {x}")))
            };
            let numbers = numbers.iter().enumerate().map(whole).collect::<Result<Vec<u32>, _>>()?;
            return Ok(Labels::new(numbers, &|_| None));
        }
        let bytes = std::fs::read(path)
            .map_err(|cause| Failure::input(format_args!("cannot read {}: {cause}", path.display())))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("is no text file in UTF-8".into()))?;
        let lines: Vec<&str> =
            text.strip_prefix('\u{feff}').unwrap_or(&text).lines().map(str::trim).collect();
        if let Some(row) = lines.iter().position(|line| line.is_empty()) {
            return Err(refuse(format!("line {} is empty", row + 1)));
        }
        let numbers: Result<Vec<u32>, _> = lines.iter().map(|line| line.parse()).collect();
        if let Ok(numbers) = numbers {
            return Ok(Labels::new(numbers, &|_| None));
        }
        let mut names: Vec<&str> = lines.clone();
        names.sort_unstable();
        names.dedup();
        let number = |line: &&str| names.binary_search(line).expect("it is one of them") as u32;
        Ok(Labels::new(lines.iter().map(number).collect(), &|number| {
            Some(names[number as usize].to_string())
        }))
    }

    /// The place of a class in the list of those that occur.
    pub fn place(&self, number: u32) -> usize {
        self.classes.binary_search_by_key(&number, |class| class.number).expect("rows have listed classes")
    }

    /// A class by its number, as people read it.
    pub fn title(&self, number: u32) -> String {
        self.classes[self.place(number)].title()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        std::fs::write(&path, "3\n1\n3\n").unwrap();
        let labels = Labels::read(&path).unwrap();
        assert_eq!(labels.of_row, [3, 1, 3]);
        assert_eq!((labels.classes.len(), labels.place(3), labels.title(3)), (2, 1, "3".into()));
        std::fs::write(&path, "tree\nbaby\r\ntree\n").unwrap();
        let labels = Labels::read(&path).unwrap();
        assert_eq!((labels.of_row.clone(), labels.title(1)), (vec![1, 0, 1], "1 tree".into()));
        assert_eq!(labels.classes[1].rows, 2);
        std::fs::write(&path, "tree\n\ntree\n").unwrap();
        let failure = Labels::read(&path).unwrap_err();
        assert!(failure.exit_code() == 2 && failure.to_string().contains("line 2 is empty"), "{failure}");
        let path = folder.path().join("labels.npy");
        npy::write(&path, &[3], &[1.0, 0.0, 2.5]).unwrap();
        assert!(Labels::read(&path).unwrap_err().to_string().contains("row 2"));
        npy::write(&path, &[3, 1], &[1.0, 0.0, 2.0]).unwrap();
        assert_eq!(Labels::read(&path).unwrap().of_row, [1, 0, 2]);
    }
}
