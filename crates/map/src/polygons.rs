//! A map's areas of one class as polygons, in one pass from top to bottom.
//!
//! The map is read in bands of rows. In each band the borders between classes are followed as arcs: chains of pixel corners
//! between nodes, which are the corners where three or four borders meet, and those where a border crosses from one band to
//! the next. An arc is simplified once and belongs to the polygons on both of its sides, so shared borders stay shared.
//! A polygon is put together from its arcs and written when its last row has passed. Memory is that of a band, and the
//! borders of the polygons that are still open.

mod arcs;
mod assemble;
mod simplify;

use std::fs::File;
use std::io;
use std::path::Path;

use crate::flatgeobuf::FlatGeobuf;
use crate::geopackage::{FieldKind, GeoPackage, failed};
use crate::mapper::write_file;
use crate::vector::{Geometry, Ring};
use crate::{Affine, Crs, MapError, MapFile, NODATA, PixelAreas, Transform, Value};

use arcs::{Arc, Band};
use assemble::rings;

/// Rows of a band.
const ROWS: usize = 256;

/// A label of pixels without a class.
const NONE: u32 = u32::MAX;

/// How polygons are made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolygonSettings {
    /// How far, in pixels, a simplified border may lie from the pixels' own; 0 keeps every corner.
    pub simplify: f64,
    /// Polygons of less than so many hectares are left out.
    pub min_area_ha: f64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolygonCounts {
    /// Polygons written.
    pub polygons: u64,
    /// Polygons left out, and their hectares.
    pub left_out: u64,
    /// Hectares of the polygons left out.
    pub left_out_ha: f64,
}

/// Connected pixels of one class (by their sides), as far as they have been met.
#[derive(Default)]
struct Component {
    parent: u32,
    class: u8,
    pixels: u64,
    area_m2: f64,
    /// Arcs, and whether the component lies on their left.
    arcs: Vec<(u32, bool)>,
}

#[derive(Default)]
struct Components(Vec<Component>);

impl Components {
    fn find(&mut self, mut label: u32) -> u32 {
        while self.0[label as usize].parent != label {
            let above = self.0[label as usize].parent;
            self.0[label as usize].parent = self.0[above as usize].parent;
            label = above;
        }
        label
    }

    fn new_label(&mut self, class: u8) -> u32 {
        let parent = self.0.len() as u32;
        self.0.push(Component { parent, class, ..Component::default() });
        parent
    }

    fn unite(&mut self, a: u32, b: u32) -> u32 {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return a;
        }
        // The older one stays, which keeps the order of arcs the same in every run.
        let (keep, drop) = if a < b { (a, b) } else { (b, a) };
        let mut gone = std::mem::take(&mut self.0[drop as usize]);
        self.0[drop as usize].parent = keep;
        let kept = &mut self.0[keep as usize];
        kept.pixels += gone.pixels;
        kept.area_m2 += gone.area_m2;
        kept.arcs.append(&mut gone.arcs);
        keep
    }
}

/// Arcs that open polygons need, in places that are used again.
#[derive(Default)]
struct Arcs {
    /// An arc and how many polygons still need it.
    places: Vec<Option<(Arc, u8)>>,
    free: Vec<u32>,
}

impl Arcs {
    fn keep(&mut self, arc: Arc, users: u8) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.places[at as usize] = Some((arc, users));
                at
            }
            None => {
                self.places.push(Some((arc, users)));
                self.places.len() as u32 - 1
            }
        }
    }

    fn get(&self, at: u32) -> Option<&Arc> {
        self.places[at as usize].as_ref().map(|(arc, _)| arc)
    }

    fn release(&mut self, at: u32) {
        if let Some((_, users)) = &mut self.places[at as usize] {
            *users -= 1;
            if *users == 0 {
                self.places[at as usize] = None;
                self.free.push(at);
            }
        }
    }
}

/// A finished polygon: class, pixels, square metres, rings in columns and rows, the outer one first.
struct Polygon {
    class: u8,
    pixels: u64,
    area_m2: f64,
    rings: Vec<Vec<[u32; 2]>>,
}

/// A layer that keeps the map's coordinates.
enum Layer {
    GeoPackage(Box<GeoPackage>),
    FlatGeobuf(Box<FlatGeobuf>),
}

impl Layer {
    fn new(flat: bool, file: File, crs: Option<&Crs>) -> io::Result<Layer> {
        let name = "land_cover";
        let fields = [
            ("class", FieldKind::Integer),
            ("name", FieldKind::Text),
            ("pixels", FieldKind::Integer),
            ("area_ha", FieldKind::Real),
        ];
        Ok(if flat {
            Layer::FlatGeobuf(Box::new(FlatGeobuf::new(file, name, &fields, crs)?))
        } else {
            Layer::GeoPackage(Box::new(GeoPackage::new(file, name, "POLYGON", &fields, crs)?))
        })
    }

    fn add(&mut self, rings: Vec<Ring>, values: &[Value]) -> io::Result<()> {
        match self {
            Layer::GeoPackage(layer) => layer.add(&Geometry::Polygons(vec![rings]), values),
            Layer::FlatGeobuf(layer) => layer.add(&rings, values),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Layer::GeoPackage(layer) => layer.finish(),
            Layer::FlatGeobuf(layer) => layer.finish(),
        }
    }
}

/// Follows the whole map and gives each polygon to `put`.
fn trace(
    map: &mut MapFile,
    areas: Option<&PixelAreas>,
    simplify: f64,
    put: &mut dyn FnMut(Polygon) -> Result<(), MapError>,
    progress: &dyn Fn(usize, usize),
) -> Result<(), MapError> {
    let (width, height) = (map.width(), map.height());
    let mut components = Components::default();
    let mut arcs = Arcs::default();
    let padded = width + 2;
    // The row above the band, with a pixel of nothing on each side.
    let (mut ids_above, mut labels_above) = (vec![NODATA; padded], vec![NONE; padded]);
    let mut read = Vec::new();
    for top in (0..height).step_by(ROWS) {
        let rows = ROWS.min(height - top);
        map.read_rows(top, rows, &mut read)?;
        let last = top + rows == height;
        // Below the last row comes nothing.
        let count = rows + usize::from(last);
        let (mut ids, mut labels) = (ids_above.clone(), labels_above.clone());
        ids.resize((count + 1) * padded, NODATA);
        labels.resize((count + 1) * padded, NONE);
        for y in 0..rows {
            let start = (y + 1) * padded;
            ids[start + 1..start + 1 + width].copy_from_slice(&read[y * width..][..width]);
            let area = areas.map_or(0.0, |areas| areas.row_m2(top + y));
            for at in start + 1..start + 1 + width {
                let id = ids[at];
                if id == NODATA {
                    continue;
                }
                let above = at - padded;
                let mut label = NONE;
                if ids[at - 1] == id {
                    label = labels[at - 1];
                }
                if ids[above] == id {
                    label = if label == NONE || label == labels[above] {
                        labels[above]
                    } else {
                        components.unite(label, labels[above])
                    };
                }
                if label == NONE {
                    label = components.new_label(id);
                }
                labels[at] = label;
                let root = components.find(label);
                let component = &mut components.0[root as usize];
                component.pixels += 1;
                component.area_m2 += area;
            }
        }
        let band = Band { ids: &ids, labels: &labels, padded, rows: count, top, cut: ROWS };
        let mut found = band.arcs();
        if simplify > 0.0 {
            simplify::simplify(&mut found, width, top, count, ROWS, simplify);
        }
        for arc in found {
            let sides = [(arc.left, true), (arc.right, false)];
            let users = sides.iter().filter(|(label, _)| *label != NONE).count() as u8;
            let at = arcs.keep(arc, users);
            for (label, on_left) in sides.into_iter().filter(|(label, _)| *label != NONE) {
                let root = components.find(label);
                components.0[root as usize].arcs.push((at, on_left));
            }
        }
        // Components that do not reach the last row are finished; the others get new labels.
        let start = count * padded;
        let mut names = std::collections::HashMap::new();
        let mut open = Components::default();
        labels_above.fill(NONE);
        ids_above.copy_from_slice(&ids[start..]);
        for x in 0..padded {
            if labels[start + x] != NONE {
                let root = components.find(labels[start + x]);
                labels_above[x] = *names.entry(root).or_insert_with(|| {
                    let name = open.new_label(components.0[root as usize].class);
                    let old = std::mem::take(&mut components.0[root as usize]);
                    components.0[root as usize].parent = root;
                    open.0[name as usize] = Component { parent: name, ..old };
                    name
                });
            }
        }
        for component in components.0.drain(..).filter(|component| component.pixels > 0) {
            let rings = rings(&component.arcs, |at| arcs.get(at));
            component.arcs.iter().for_each(|(at, _)| arcs.release(*at));
            let Component { class, pixels, area_m2, .. } = component;
            put(Polygon { class, pixels, area_m2, rings })?;
        }
        components = open;
        progress(top + rows, height);
    }
    Ok(())
}

/// Writes a map's polygons, with the fields class, name, pixels and area_ha, by the ending of `out`: a GeoPackage or FlatGeobuf in
/// the map's coordinates, or GeoJSON in longitude and latitude (WGS 84, RFC 7946). `progress(done, total)` counts rows.
///
/// # Errors
/// A map without a georeference or that cannot be read, another ending, for GeoJSON a coordinate system that cannot be
/// transformed or a polygon across the 180th meridian, an output that cannot be written.
pub fn write_polygons(
    map: &mut MapFile,
    areas: Option<&PixelAreas>,
    settings: &PolygonSettings,
    out: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<PolygonCounts, MapError> {
    let affine = map.geo.affine().ok_or_else(|| {
        MapError::Mismatch(format!("{} has no georeference that polygons could have", map.path().display()))
    })?;
    let crs = map.geo.crs();
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let classes = map.classes.clone();
    let mut counts = PolygonCounts::default();
    let mut sift = |polygon: &Polygon| {
        let small = areas.is_some() && polygon.area_m2 / 1e4 < settings.min_area_ha;
        if small {
            counts.left_out += 1;
            counts.left_out_ha += polygon.area_m2 / 1e4;
        } else {
            counts.polygons += 1;
        }
        !small
    };
    match ending.as_str() {
        "gpkg" | "fgb" => write_file(out, |file| {
            let mut layer = Layer::new(ending == "fgb", file, crs.as_ref()).map_err(failed(out))?;
            let mut put = |polygon: Polygon| {
                if !sift(&polygon) {
                    return Ok(());
                }
                let rings = polygon.rings.iter().map(|ring| ground(ring, &affine)).collect();
                let values = [
                    Value::Integer(i64::from(polygon.class)),
                    Value::Text(name_of(&classes, polygon.class)),
                    Value::Integer(polygon.pixels as i64),
                    if areas.is_some() { Value::Real(polygon.area_m2 / 1e4) } else { Value::Null },
                ];
                layer.add(rings, &values).map_err(failed(out))
            };
            trace(map, areas, settings.simplify, &mut put, progress)?;
            layer.finish().map_err(failed(out))
        })?,
        "geojson" | "json" => {
            let crs = crs.ok_or_else(|| {
                MapError::Mismatch(
                    "GeoJSON is in longitude and latitude, and the map has no coordinate system".into(),
                )
            })?;
            let to_degrees = crs.transform_to(&Crs::of_epsg(4326)).map_err(|reason| {
                MapError::unsupported(
                    out,
                    format!("{reason}; write a GeoPackage (.gpkg), which keeps the map's own"),
                )
            })?;
            write_file(out, |file| {
                use std::io::Write;
                let mut text = std::io::BufWriter::with_capacity(1 << 18, file);
                let io = failed(out);
                text.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[").map_err(&io)?;
                let mut first = true;
                let mut put = |polygon: Polygon| {
                    if !sift(&polygon) {
                        return Ok(());
                    }
                    let line = feature(&polygon, &classes, areas.is_some(), &affine, &to_degrees)
                        .map_err(|reason| MapError::unsupported(out, reason))?;
                    let comma = if std::mem::take(&mut first) { "\n" } else { ",\n" };
                    text.write_all(comma.as_bytes())
                        .and_then(|()| text.write_all(line.as_bytes()))
                        .map_err(&io)
                };
                trace(map, areas, settings.simplify, &mut put, progress)?;
                text.write_all(b"\n]}\n").and_then(|()| text.flush()).map_err(&io)
            })?;
        }
        _ => {
            return Err(MapError::unsupported(
                out,
                "polygons are written as GeoPackage (.gpkg), FlatGeobuf (.fgb) or GeoJSON (.geojson); the name's ending says which",
            ));
        }
    }
    Ok(counts)
}

fn name_of(classes: &hectare_net::ClassMap, id: u8) -> String {
    classes.classes.get(usize::from(id)).map_or_else(|| id.to_string(), |class| class.name.clone())
}

/// A ring in coordinates.
fn ground(ring: &[[u32; 2]], affine: &Affine) -> Ring {
    ring.iter().map(|[x, y]| affine.apply(f64::from(*x), f64::from(*y))).collect()
}

/// Whether the longitude jumps between the ends of a line: they lie more than half a turn apart and its middle is not between
/// them, as it is where a line is that long.
fn jumps([a, b]: [[f64; 2]; 2], [from, to]: [f64; 2], to_degrees: &Transform) -> Result<bool, String> {
    if (to - from).abs() <= 180.0 {
        return Ok(false);
    }
    let middle = to_degrees.apply([f64::midpoint(a[0], b[0]), f64::midpoint(a[1], b[1])])?;
    Ok((middle[0] - f64::midpoint(from, to)).abs() > 90.0)
}

/// A line of GeoJSON.
fn feature(
    polygon: &Polygon,
    classes: &hectare_net::ClassMap,
    has_area: bool,
    affine: &Affine,
    to_degrees: &Transform,
) -> Result<String, String> {
    let mut rings = Vec::new();
    for (i, ring) in polygon.rings.iter().enumerate() {
        let plane = ground(ring, affine);
        let mut ring = plane.iter().map(|at| to_degrees.apply(*at)).collect::<Result<Ring, _>>()?;
        for (ends, degrees) in plane.windows(2).zip(ring.windows(2)) {
            if jumps([ends[0], ends[1]], [degrees[0][0], degrees[1][0]], to_degrees)? {
                return Err("polygons cross the 180th meridian, at which longitudes begin anew; write a GeoPackage (.gpkg), \
                            which keeps the map's coordinates"
                    .into());
            }
        }
        // Outer rings run counterclockwise, holes clockwise.
        let twice: f64 = ring.windows(2).map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1]).sum();
        if (twice > 0.0) != (i == 0) {
            ring.reverse();
        }
        rings.push(ring);
    }
    let area = has_area.then_some(polygon.area_m2 / 1e4);
    let document = serde_json::json!({
        "type": "Feature",
        "properties": {
            "class": polygon.class,
            "name": name_of(classes, polygon.class),
            "pixels": polygon.pixels,
            "area_ha": area,
        },
        "geometry": { "type": "Polygon", "coordinates": rings },
    });
    Ok(document.to_string())
}

#[cfg(test)]
mod tests;
