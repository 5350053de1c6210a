//! Fresh folders, small data sets and the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The seven colours of the course, in the order of the ids.
pub const PALETTE: [[u8; 3]; 7] =
    [[0, 255, 255], [255, 255, 0], [255, 0, 255], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]];

/// What a call of the binary said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The only document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless stderr holds each of `words`, and one error only.
    #[track_caller]
    pub fn complains(&self, words: &[&str]) {
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in:\n{}", self.err);
        }
        assert_eq!(self.err.matches("error:").count(), 1, "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// A fresh folder to work in.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(TempDir::new().unwrap())
    }

    /// A path in the folder.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs the binary in the folder; `line` is cut at spaces.
    #[track_caller]
    pub fn hectare(&self, line: &str) -> Said {
        let output = self.command(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// The command that [`Place::hectare`] runs.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hectare"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Every file and folder with its bytes.
    pub fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, tree: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    tree.insert(path.clone(), Vec::new());
                    walk(&path, tree);
                } else {
                    tree.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        let mut tree = BTreeMap::new();
        walk(self.0.path(), &mut tree);
        tree
    }

    /// Runs the binary and fails the test unless it exits with 2, complains once with each of `words`, prints
    /// nothing on stdout and leaves the folder as it was.
    #[track_caller]
    pub fn refuses(&self, line: &str, words: &[&str]) {
        let before = self.tree();
        let said = self.hectare(line).exits(2);
        said.complains(words);
        assert_eq!(said.out, "");
        let after = self.tree();
        let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "files appeared or went");
        assert!(after == before, "a file changed");
    }

    /// A narrow network's file.
    pub fn init(&self, model: &str, file: &str, more: &str) {
        self.hectare(&format!("init {model} --width 0.03125 --seed 1 --out {file} {more}")).exits(0);
    }

    /// `count` pictures of each of `classes` classes, `{class}_{id}.png`, that a network can tell apart.
    pub fn pictures(&self, folder: &str, classes: usize, count: usize) {
        let folder = self.folder(folder);
        for class in 0..classes {
            for id in 0..count {
                let tint = (class * 200 / classes.max(2)) as u8;
                let picture = image::RgbImage::from_fn(32, 32, |x, y| {
                    image::Rgb([tint, 220 - tint, noise(x, y, (class * 1000 + id) as u32)])
                });
                picture.save(folder.join(format!("{class}_{id}.png"))).unwrap();
            }
        }
    }

    /// `count` tiles of `side` x `side` pixels, `NNNN_sat.png` and `NNNN_mask.png`, in two or three classes.
    pub fn tiles(&self, folder: &str, count: usize, side: u32) {
        let folder = self.folder(folder);
        for index in 0..count {
            let class = |x: u32, y: u32| match (x * 2 < side, y * 2 < side) {
                (true, _) => 1,
                (false, true) => 3,
                (false, false) => 4 + index % 2,
            };
            let image = image::RgbImage::from_fn(side, side, |x, y| {
                let [r, g, b] = PALETTE[class(x, y)];
                let grain = noise(x, y, index as u32) / 4;
                image::Rgb([r / 2 + grain, g / 2 + grain, b / 2 + grain])
            });
            let mask = image::RgbImage::from_fn(side, side, |x, y| image::Rgb(PALETTE[class(x, y)]));
            image.save(folder.join(format!("{index:04}_sat.png"))).unwrap();
            mask.save(folder.join(format!("{index:04}_mask.png"))).unwrap();
        }
    }

    /// A mask of one colour, or of the colours of ids given pixel by pixel.
    pub fn mask(&self, path: &str, width: u32, height: u32, id: impl Fn(u32, u32) -> usize) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb(PALETTE[id(x, y)])).save(path).unwrap();
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.at(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Cuts a file to a part of its length.
    pub fn truncate(&self, path: &str, part: f64) {
        let path = self.at(path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..(bytes.len() as f64 * part) as usize]).unwrap();
    }
}

/// A byte that looks random.
fn noise(x: u32, y: u32, seed: u32) -> u8 {
    let mut bits = (x.wrapping_mul(0x9e37_79b9) ^ y.wrapping_mul(0x85eb_ca6b))
        .wrapping_add(seed.wrapping_mul(0xc2b2_ae35));
    bits = (bits ^ bits >> 15).wrapping_mul(0x2c1b_3c6d);
    bits = (bits ^ bits >> 12).wrapping_mul(0x297a_2d39);
    (bits ^ bits >> 15) as u8
}

/// The shape in a .npy header and the numbers behind it.
pub fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..data].to_vec()).unwrap();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0.to_string();
    (shape, bytes[data..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
}

/// Writes a TIFF of one strip, whose offset has to be 8: tags with their type and the bytes of their values.
pub fn write_tiff(path: &Path, pixels: &[u8], entries: &[(u16, u16, Vec<u8>)]) {
    let mut bytes = b"II*\0".to_vec();
    bytes.extend(((8 + pixels.len()) as u32).to_le_bytes());
    bytes.extend(pixels);
    let mut outside = bytes.len() + 2 + 12 * entries.len() + 4;
    bytes.extend((entries.len() as u16).to_le_bytes());
    let mut behind: Vec<u8> = Vec::new();
    for (tag, kind, data) in entries {
        let size = [0, 1, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 8][usize::from(*kind)];
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(((data.len() / size) as u32).to_le_bytes());
        if data.len() <= 4 {
            bytes.extend(data.iter().copied().chain([0; 4]).take(4));
        } else {
            bytes.extend((outside as u32).to_le_bytes());
            outside += data.len();
            behind.extend(data);
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(behind);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
