//! Tests of the crate as its users see it. Every file is made by the tests themselves, except for what
//! Pillow says of a few small synthetic pictures (`tests/fixtures`, made by `fixtures/make_image_fixtures.py`).

mod augment;
mod checks;
mod class_maps;
mod faults;
mod kinds;
mod layouts;
mod loader;
mod masks;
mod pillow;

use std::path::{Path, PathBuf};

use hectare_data::{Image, Mask, write_png};
use tempfile::TempDir;

/// A folder that is removed after the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in the folder; folders above it are made.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        // Some file systems flush to disk when a file is cut to nothing and written again; a new file is not.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A small picture of one colour.
    pub(crate) fn picture(&self, name: &str, colour: [u8; 3]) -> PathBuf {
        self.image(name, &Image::from_fn(4, 3, |_, _| colour))
    }

    pub(crate) fn image(&self, name: &str, image: &Image) -> PathBuf {
        let path = self.file(name);
        write_png(image, &path).unwrap();
        path
    }

    /// A PNG file of any kind.
    pub(crate) fn png(
        &self,
        name: &str,
        (width, height): (u32, u32),
        colour: png::ColorType,
        depth: png::BitDepth,
        palette: Option<&[u8]>,
        data: &[u8],
    ) -> PathBuf {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        self.write(name, bytes)
    }
}

/// A picture whose pixels say where they are: R is the column, G the row.
pub(crate) fn coordinates(width: usize, height: usize) -> Image {
    Image::from_fn(width, height, |x, y| [x as u8, y as u8, 7])
}

/// A mask whose ids say where they are, as far as one byte can: the lower half bytes of column and row.
pub(crate) fn coordinate_mask(width: usize, height: usize) -> Mask {
    Mask::from_fn(width, height, coordinate_id)
}

pub(crate) fn coordinate_id(x: usize, y: usize) -> u8 {
    ((x % 15) * 16 + y % 15) as u8
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
