//! Hectares of each class: counted pixels times their area on the ground.

use std::fmt;

use serde::Serialize;

use crate::{MapError, MapFile, NODATA, PixelAreas};

/// What one class covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassArea {
    /// The class's id.
    pub id: u8,
    /// Its name.
    pub name: String,
    /// Pixels of the class.
    pub pixels: u64,
    /// Their area in hectares; nothing where the map has no coordinate system.
    pub area_ha: Option<f64>,
    /// Share of the area (of the pixels where there is no area) of all classes.
    pub share: f64,
}

/// The areas of a map's classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AreaTable {
    /// One row for each class of the map; of maps without a class map those that occur.
    pub classes: Vec<ClassArea>,
    /// Pixels without a class.
    pub nodata_pixels: u64,
}

/// Pixels of each id, and their area in square metres.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    pub pixels: [u64; 256],
    pub area_m2: [f64; 256],
}

impl Default for Tally {
    fn default() -> Self {
        Tally { pixels: [0; 256], area_m2: [0.0; 256] }
    }
}

impl Tally {
    /// Adds a row's pixels, all of one area. Sums are kept by row, so that they do not depend on how rows are read.
    pub(crate) fn add(&mut self, ids: impl Iterator<Item = u8>, area_m2: f64) {
        let mut row = [0u64; 256];
        ids.for_each(|id| row[usize::from(id)] += 1);
        for (id, count) in row.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            self.pixels[id] += count;
            self.area_m2[id] += count as f64 * area_m2;
        }
    }
}

impl AreaTable {
    /// The table of a count.
    pub(crate) fn new(map: &MapFile, tally: &Tally, has_area: bool) -> AreaTable {
        let classes = &map.classes;
        let amount = |id: usize| if has_area { tally.area_m2[id] } else { tally.pixels[id] as f64 };
        let ids = || classes.classes.iter().map(|class| usize::from(class.id));
        let total: f64 = ids().map(amount).sum();
        // Maps of other programs have 255 possible classes, of which a table of zeros would say nothing.
        let unnamed = !map.has_class_map;
        let rows = classes.classes.iter().filter(|c| !unnamed || tally.pixels[usize::from(c.id)] > 0);
        let classes = rows.map(|class| {
            let id = usize::from(class.id);
            ClassArea {
                id: class.id,
                name: class.name.clone(),
                pixels: tally.pixels[id],
                area_ha: has_area.then(|| tally.area_m2[id] / 1e4),
                share: if total > 0.0 { amount(id) / total } else { 0.0 },
            }
        });
        AreaTable { classes: classes.collect(), nodata_pixels: tally.pixels[usize::from(NODATA)] }
    }

    /// The table as CSV, unrounded.
    pub fn csv(&self) -> String {
        let mut text = String::from("id,name,pixels,area_ha,share\n");
        for class in &self.classes {
            let name = quoted(&class.name);
            let area = class.area_ha.map_or(String::new(), |area| area.to_string());
            text += &format!("{},{name},{},{area},{}\n", class.id, class.pixels, class.share);
        }
        text
    }
}

/// A field of a CSV file (RFC 4180).
pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// A count with a space between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

impl fmt::Display for AreaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        let has_area = self.classes.iter().any(|class| class.area_ha.is_some());
        let head = if has_area { format!("{:>16}", "area (ha)") } else { String::new() };
        writeln!(f, "{:>3}  {:<widest$} {:>16}{head} {:>8}", "id", "class", "pixels", "share")?;
        for class in &self.classes {
            let area = class.area_ha.map_or(String::new(), |area| format!("{area:>16.2}"));
            let share = format!("{:.2} %", 100.0 * class.share);
            let pixels = grouped(class.pixels);
            writeln!(f, "{:>3}  {:<widest$} {pixels:>16}{area} {share:>8}", class.id, class.name)?;
        }
        write!(f, "     {:<widest$} {:>16}", "no data", grouped(self.nodata_pixels))
    }
}

/// Counts a map. Areas are left out where `areas` is nothing.
///
/// # Errors
/// A map that cannot be read.
pub fn measure(map: &mut MapFile, areas: Option<&PixelAreas>) -> Result<AreaTable, MapError> {
    let (width, height) = (map.width(), map.height());
    let mut tally = Tally::default();
    let mut ids = Vec::new();
    let rows = (1 << 24) / width.max(1);
    let rows = rows.clamp(1, 512);
    for top in (0..height).step_by(rows) {
        map.read_rows(top, rows.min(height - top), &mut ids)?;
        for (y, row) in ids.chunks_exact(width).enumerate() {
            tally.add(row.iter().copied(), areas.map_or(0.0, |areas| areas.row_m2(top + y)));
        }
    }
    Ok(AreaTable::new(map, &tally, areas.is_some()))
}
