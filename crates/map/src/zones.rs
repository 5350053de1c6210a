//! Areas of a map's classes within polygons.

use std::path::Path;

use crate::area::Tally;
use crate::fill::Fill;
use crate::vector::{Geometry, Vectors, text_of};
use crate::{AreaTable, MapError, MapFile, PixelAreas};

/// The table of one zone.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Zone {
    /// What it is called.
    pub zone: String,
    /// Its areas.
    #[serde(flatten)]
    pub areas: AreaTable,
}

struct Shape {
    name: String,
    fill: Fill,
    tally: Tally,
}

/// Counts a map within each polygon of a file: a pixel belongs to the zones that its centre lies in. Zones are named by
/// `field`, or else by a field called name, or by their number from 1.
///
/// # Errors
/// A file without polygons, a field that it does not have, coordinates that cannot be brought to the map's, a map that
/// cannot be read.
pub fn measure_zones(
    map: &mut MapFile,
    areas: Option<&PixelAreas>,
    path: &Path,
    field: Option<&str>,
) -> Result<Vec<Zone>, MapError> {
    let layer = Vectors::read(path)?;
    let names = layer.field_names();
    if let Some(field) = field
        && !names.iter().any(|own| own == field)
    {
        return Err(MapError::Mismatch(format!(
            "{} has no field {field}; it has {}",
            path.display(),
            names.join(", ")
        )));
    }
    let field =
        field.map(str::to_owned).or_else(|| names.into_iter().find(|n| n.eq_ignore_ascii_case("name")));
    let missing = |what: &str| MapError::Mismatch(format!("{} has no {what}", map.path().display()));
    let affine = map.geo.affine().ok_or_else(|| missing("georeference to find zones by"))?;
    let crs = map.geo.crs().ok_or_else(|| missing("coordinate system to find zones by"))?;
    let layer = layer.transformed(&crs, path)?;
    let mut shapes = Vec::new();
    for (i, feature) in layer.features.iter().enumerate() {
        let Geometry::Polygons(polygons) = &feature.geometry else { continue };
        let name = field.as_ref().and_then(|field| text_of(feature.fields.get(field)?));
        let fill = Fill::new(polygons, &affine)?;
        let name = name.unwrap_or_else(|| (i + 1).to_string());
        shapes.push(Shape { name, fill, tally: Tally::default() });
    }
    if shapes.is_empty() {
        return Err(MapError::Mismatch(format!("{} holds no polygons", path.display())));
    }
    let (width, height) = (map.width(), map.height());
    let rows = ((1 << 24) / width.max(1)).clamp(1, 512);
    let mut ids = Vec::new();
    for top in (0..height).step_by(rows) {
        map.read_rows(top, rows.min(height - top), &mut ids)?;
        for (y, row) in ids.chunks_exact(width).enumerate() {
            let area = areas.map_or(0.0, |areas| areas.row_m2(top + y));
            for Shape { fill, tally, .. } in &mut shapes {
                fill.row(top + y, width, |columns| tally.add(row[columns].iter().copied(), area));
            }
        }
    }
    let table = |shape: Shape| {
        let areas = AreaTable::new(map, &shape.tally, areas.is_some());
        Zone { zone: shape.name, areas }
    };
    Ok(shapes.into_iter().map(table).collect())
}

/// All zones as CSV, unrounded.
pub fn zones_csv(zones: &[Zone]) -> String {
    let mut text = String::from("zone,id,name,pixels,area_ha,share\n");
    for zone in zones {
        let name = crate::area::quoted(&zone.zone);
        for row in zone.areas.csv().lines().skip(1) {
            text += &format!("{name},{row}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleKind;
    use crate::testing::Kind;

    #[test]
    fn pixels_belong_to_the_zone_of_their_centre() {
        let dir = tempfile::tempdir().unwrap();
        let (path, zones) = (dir.path().join("map.tif"), dir.path().join("zones.geojson"));
        let kind = Kind::new(10, 8, 1, SampleKind::U8).on_ground(32632, 10.0, [0.0, 80.0]);
        kind.write(&path, |x, _, _| (x % 3) as f64);
        let mut map = MapFile::open(&path).unwrap();
        // Two zones that share a border through pixels, the second with a hole, and one that is elsewhere.
        let crs = r#""crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}"#;
        let polygon = |name: &str, rings: &str| {
            format!(
                r#"{{"type": "Feature", "properties": {{"name": "{name}"}}, "geometry": {{"type": "Polygon", "coordinates": {rings}}}}}"#
            )
        };
        let text = format!(
            r#"{{"type": "FeatureCollection", {crs}, "features": [{}, {}, {}]}}"#,
            polygon("west", "[[[-50, -50], [34, -50], [34, 150], [-50, 150], [-50, -50]]]"),
            polygon(
                "east",
                "[[[34, 0], [100, 0], [100, 80], [34, 80], [34, 0]], [[60, 20], [80, 20], [80, 40], [60, 40], [60, 20]]]"
            ),
            polygon("away", "[[[1000, 0], [1100, 0], [1100, 80], [1000, 0]]]"),
        );
        std::fs::write(&zones, text).unwrap();
        let areas = PixelAreas::Uniform(100.0);
        let said = measure_zones(&mut map, Some(&areas), &zones, None).unwrap();
        let pixels: Vec<u64> = said.iter().map(|z| z.areas.classes.iter().map(|c| c.pixels).sum()).collect();
        assert_eq!(pixels, [3 * 8, 7 * 8 - 4, 0]);
        assert_eq!(said.iter().map(|zone| &zone.zone[..]).collect::<Vec<_>>(), ["west", "east", "away"]);
        assert_eq!(said[0].areas.classes[0].area_ha, Some(0.08));
        assert!(measure_zones(&mut map, None, &zones, Some("none")).is_err());
    }
}
