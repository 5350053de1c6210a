//! The map as a file: one band of class ids with palette, names and "no data", as this program writes it and reads it back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hectare_net::{Class, ClassMap};

use crate::tiff::{Field, SampleKind, TiffHeader, TiffReader, tag};
use crate::{GeoTags, MapError, NODATA, Window};

/// The item of GDAL's metadata that holds the classes as JSON.
const ITEM: &str = "HECTARE_CLASSES";

/// Text within XML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            letter if letter < ' ' && letter != '\n' && letter != '\t' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&amp;", "&")
}

/// `map.tif` to `map_confidence.tif`.
pub fn side_path(out: &Path, what: &str) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}_{what}.tif"))
}

/// The tags that make a band of ids a map: those of every image, and those of the first.
pub(crate) fn class_fields(classes: &ClassMap) -> (BTreeMap<u16, Field>, BTreeMap<u16, Field>) {
    let mut palette = vec![0u16; 3 * 256];
    for class in &classes.classes {
        for (band, value) in class.colour.iter().enumerate() {
            palette[band * 256 + usize::from(class.id)] = u16::from(*value) * 257;
        }
    }
    let every = BTreeMap::from([
        (tag::PHOTOMETRIC, Field::Short(vec![3])),
        (tag::COLOR_MAP, Field::Short(palette)),
        (tag::GDAL_NODATA, Field::Text(NODATA.to_string())),
    ]);
    let mut text = String::from("<GDALMetadata>\n");
    for class in &classes.classes {
        text += &format!("  <Item name=\"CLASS_{}\">{}</Item>\n", class.id, escape(&class.name));
    }
    let json = serde_json::to_value(classes).unwrap_or_default();
    text += &format!("  <Item name=\"{ITEM}\">{}</Item>\n", escape(&json.to_string()));
    text +=
        "  <Item name=\"DESCRIPTION\" sample=\"0\" role=\"description\">land cover</Item>\n</GDALMetadata>\n";
    (every, BTreeMap::from([(tag::GDAL_METADATA, Field::Text(text))]))
}

/// Class names as GDAL finds them beside a file.
pub(crate) fn aux_xml(classes: &ClassMap) -> String {
    let mut text = String::from("<PAMDataset>\n  <PAMRasterBand band=\"1\">\n    <CategoryNames>\n");
    for class in &classes.classes {
        text += &format!("      <Category>{}</Category>\n", escape(&class.name));
    }
    text + "    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
}

/// A map that is open for reading.
#[derive(Debug)]
pub struct MapFile {
    path: PathBuf,
    reader: TiffReader,
    /// Names and colours, of the file or made from its palette.
    pub classes: ClassMap,
    /// Whether the file itself tells names and colours.
    pub has_class_map: bool,
    /// The georeference.
    pub geo: GeoTags,
    nodata: Option<f64>,
}

impl MapFile {
    /// Opens a map: one band of 8-bit class ids. Of files that other programs wrote the classes are named by number and
    /// take the palette's colours.
    ///
    /// # Errors
    /// A file that is no such raster.
    pub fn open(path: &Path) -> Result<MapFile, MapError> {
        let (header, _) = TiffHeader::read(path)?;
        let reader = TiffReader::new(&header, 0, 256 << 20)?;
        let first = &header.directories[0];
        let layout = reader.layout();
        if layout.samples != 1 || layout.kind != SampleKind::U8 {
            return Err(MapError::Mismatch(format!(
                "{} is no map: {} bands of {} where one band of uint8 class ids is expected",
                path.display(),
                layout.samples,
                layout.kind.name()
            )));
        }
        let metadata = first.get(&tag::GDAL_METADATA).map(|entry| entry.text()).unwrap_or_default();
        let stored = metadata.split_once(&format!("name=\"{ITEM}\">")).and_then(|(_, rest)| {
            let (json, _) = rest.split_once("</Item>")?;
            serde_json::from_str::<ClassMap>(&unescape(json)).ok()
        });
        let has_class_map = stored.is_some();
        let classes = stored.unwrap_or_else(|| {
            let palette = first.get(&tag::COLOR_MAP).map(|entry| entry.integers()).unwrap_or_default();
            let colour = |id: usize| {
                let size = palette.len() / 3;
                [0, 1, 2].map(
                    |band| {
                        if id < size { (palette[band * size + id] >> 8) as u8 } else { id as u8 }
                    },
                )
            };
            let class =
                |id: usize| Class { id: id as u8, name: id.to_string(), colour: colour(id), ignored: false };
            ClassMap { classes: (0..255).map(class).collect(), aliases: Vec::new() }
        });
        let nodata = first.get(&tag::GDAL_NODATA).and_then(|entry| entry.text().trim().parse().ok());
        Ok(MapFile { path: path.into(), reader, classes, has_class_map, geo: GeoTags::of(first), nodata })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.reader.layout().width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.reader.layout().height
    }

    /// Reads rows of ids, [`NODATA`] where there is none.
    ///
    /// # Errors
    /// Data that cannot be read or decoded, ids that the class map does not have.
    pub fn read_rows(&mut self, y: usize, rows: usize, ids: &mut Vec<u8>) -> Result<(), MapError> {
        self.read(Window { x: 0, y, width: self.width(), height: rows }, ids)
    }

    /// Reads a window of ids, [`NODATA`] where there is none.
    ///
    /// # Errors
    /// As [`MapFile::read_rows`].
    pub fn read(&mut self, window: Window, ids: &mut Vec<u8>) -> Result<(), MapError> {
        ids.clear();
        ids.resize(window.width * window.height, NODATA);
        self.reader.read(window, &[0], |span| {
            if let Some(bytes) = span.bytes {
                let start = span.y * window.width + span.x;
                let to = ids[start..start + span.count].iter_mut();
                to.zip(bytes.chunks(span.stride)).for_each(|(to, from)| *to = from[0]);
            }
        })?;
        if let Some(nodata) = self.nodata {
            ids.iter_mut().filter(|id| f64::from(**id) == nodata).for_each(|id| *id = NODATA);
        }
        let known = self.classes.len();
        if let Some(id) = ids.iter().find(|id| usize::from(**id) >= known && **id != NODATA) {
            return Err(MapError::Mismatch(format!(
                "{} holds the class id {id} and its class map ends at {}",
                self.path.display(),
                known.saturating_sub(1)
            )));
        }
        Ok(())
    }
}
