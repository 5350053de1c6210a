//! Points and polygons from files: GeoPackage and GeoJSON.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sqlite::{Database, Value};
use crate::{Crs, MapError};

/// A ring of a polygon: closed, its last point equal to its first.
pub type Ring = Vec<[f64; 2]>;

/// What a feature is on the ground.
#[derive(Clone, Debug, PartialEq)]
pub enum Geometry {
    /// One point or several.
    Points(Vec<[f64; 2]>),
    /// Polygons, each an outer ring and its holes.
    Polygons(Vec<Vec<Ring>>),
}

/// One row of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Where it lies.
    pub geometry: Geometry,
    /// Its attributes by name.
    pub fields: BTreeMap<String, Value>,
}

/// Points or polygons with their coordinate system.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// The coordinate system; nothing where the file does not tell.
    pub crs: Option<Crs>,
    /// The features in the file's order.
    pub features: Vec<Feature>,
}

/// A value as people write it; nothing for [`Value::Null`] and blank text.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Blob(_) => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
    }
}

impl Vectors {
    /// Reads a GeoPackage of one layer, or a GeoJSON file (longitudes and latitudes).
    ///
    /// # Errors
    /// A file that is not there, is damaged or of another kind, several layers, geometries other than points and polygons.
    pub fn read(path: &Path) -> Result<Vectors, MapError> {
        let start = crate::scene::start_of(path)?;
        if start.starts_with(b"SQLite format 3") {
            return geopackage(path);
        }
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        if matches!(ending.as_str(), "geojson" | "json") {
            return geojson(path);
        }
        Err(MapError::unsupported(
            path,
            "points and polygons are read from GeoPackage (.gpkg) and GeoJSON files",
        ))
    }

    /// All coordinates in another system.
    ///
    /// # Errors
    /// A layer without a coordinate system, systems between which there is no transformation here.
    pub fn transformed(mut self, to: &Crs, path: &Path) -> Result<Vectors, MapError> {
        let fail = |reason: String| MapError::unsupported(path, reason);
        let from = self.crs.as_ref().ok_or_else(|| fail("the layer has no coordinate system".into()))?;
        if from.same_as(to) {
            return Ok(self);
        }
        let transform = from.transform_to(to).map_err(fail)?;
        let each = |point: &mut [f64; 2]| {
            *point = transform.apply(*point)?;
            Ok::<(), String>(())
        };
        for feature in &mut self.features {
            match &mut feature.geometry {
                Geometry::Points(points) => points.iter_mut().try_for_each(each).map_err(fail)?,
                Geometry::Polygons(polygons) => {
                    polygons.iter_mut().flatten().flatten().try_for_each(each).map_err(fail)?;
                }
            }
        }
        self.crs = Some(to.clone());
        Ok(self)
    }

    /// Names of all attributes.
    pub fn field_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.features.iter().flat_map(|f| f.fields.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn geopackage(path: &Path) -> Result<Vectors, MapError> {
    let mut database = Database::open(path)?;
    let none = || MapError::damaged(path, "a GeoPackage without a layer of features");
    let (columns, rows) = database.table("gpkg_geometry_columns")?.ok_or_else(none)?;
    let row = rows.first().ok_or_else(none)?;
    if rows.len() > 1 {
        let at = columns.iter().position(|name| name == "table_name").ok_or_else(none)?;
        let names: Vec<String> = rows.iter().filter_map(|row| text_of(&row[at])).collect();
        return Err(MapError::unsupported(
            path,
            format!(
                "holds the layers {}, and one alone is read; export the one that is meant into a file of its own (ogr2ogr \
                 one.gpkg many.gpkg LAYER)",
                names.join(", ")
            ),
        ));
    }
    let of = |name: &str| columns.iter().position(|c| c == name).map(|at| row[at].clone());
    let (Some(Value::Text(table)), Some(Value::Text(column)), Some(Value::Integer(srs))) =
        (of("table_name"), of("column_name"), of("srs_id"))
    else {
        return Err(none());
    };
    let systems = database.table("gpkg_spatial_ref_sys")?;
    let crs = systems.and_then(|(columns, rows)| {
        let at = |name: &str| columns.iter().position(|c| c == name);
        let (id, organisation, code) = (at("srs_id")?, at("organization")?, at("organization_coordsys_id")?);
        let row = rows.iter().find(|row| row[id] == Value::Integer(srs))?;
        match (&row[organisation], &row[code]) {
            (Value::Text(name), Value::Integer(code)) if name.eq_ignore_ascii_case("EPSG") => {
                u16::try_from(*code).ok().map(Crs::of_epsg)
            }
            _ => None,
        }
    });
    let (columns, rows) = database.table(&table)?.ok_or_else(none)?;
    let at = columns.iter().position(|name| *name == column).ok_or_else(none)?;
    let mut features = Vec::new();
    for row in rows {
        let Value::Blob(blob) = &row[at] else { continue };
        let Some(geometry) = geometry_of_blob(blob) else {
            return Err(MapError::unsupported(
                path,
                "a geometry is damaged or neither point nor polygon; curves are not supported",
            ));
        };
        let fields = columns.iter().cloned().zip(row.iter().cloned());
        let fields = fields.enumerate().filter(|(i, _)| *i != at).map(|(_, field)| field).collect();
        features.push(Feature { geometry, fields });
    }
    Ok(Vectors { crs, features })
}

/// GeoPackage's envelope around well-known binary.
fn geometry_of_blob(blob: &[u8]) -> Option<Geometry> {
    let flags = *blob.get(3).filter(|_| blob.starts_with(b"GP"))?;
    let envelope = match flags >> 1 & 7 {
        0 => 0,
        1 => 32,
        2 | 3 => 48,
        4 => 64,
        _ => return None,
    };
    let mut rest = blob.get(8 + envelope..)?;
    let mut points = Vec::new();
    let mut polygons = Vec::new();
    well_known(&mut rest, 0, &mut points, &mut polygons)?;
    Some(if polygons.is_empty() { Geometry::Points(points) } else { Geometry::Polygons(polygons) })
}

fn well_known(
    rest: &mut &[u8],
    depth: usize,
    points: &mut Vec<[f64; 2]>,
    polygons: &mut Vec<Vec<Ring>>,
) -> Option<()> {
    fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
        let (first, after) = rest.split_first_chunk::<N>()?;
        *rest = after;
        Some(first)
    }
    if depth > 3 {
        return None;
    }
    let little = take::<1>(rest)?[0] == 1;
    let number = |rest: &mut &[u8]| {
        let bytes = take::<4>(rest)?;
        Some(if little { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) })
    };
    let double = |rest: &mut &[u8]| {
        let bytes = take::<8>(rest)?;
        Some(if little { f64::from_le_bytes(*bytes) } else { f64::from_be_bytes(*bytes) })
    };
    let mut kind = number(rest)?;
    // Z and M: the thousands of ISO, the high bits of others.
    let mut further = (kind >> 31 & 1) + (kind >> 30 & 1);
    kind &= 0x0fff_ffff;
    further += match kind / 1000 {
        0 => 0,
        1 | 2 => 1,
        _ => 2,
    };
    let point = |rest: &mut &[u8]| {
        let point = [double(rest)?, double(rest)?];
        for _ in 0..further {
            double(rest)?;
        }
        Some(point)
    };
    match kind % 1000 {
        1 => {
            let point = point(rest)?;
            if point.iter().all(|v| v.is_finite()) {
                points.push(point);
            }
        }
        3 => {
            let mut polygon = Vec::new();
            for _ in 0..number(rest)? {
                let mut ring = Ring::new();
                for _ in 0..number(rest)? {
                    ring.push(point(rest)?);
                }
                polygon.push(ring);
            }
            polygons.push(polygon);
        }
        4 | 6 => {
            for _ in 0..number(rest)? {
                well_known(rest, depth + 1, points, polygons)?;
            }
        }
        _ => return None,
    }
    Some(())
}

fn geojson(path: &Path) -> Result<Vectors, MapError> {
    let text = std::fs::read_to_string(path).map_err(|error| MapError::io(path, &error))?;
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| MapError::damaged(path, error))?;
    // The old form names a system; the present one is longitude and latitude always.
    let named = document["crs"]["properties"]["name"].as_str();
    let code = named.and_then(|name| name.rsplit(':').next()?.parse::<u16>().ok());
    let crs = match (named, code) {
        (Some(name), _) if name.ends_with("CRS84") => Crs::of_epsg(4326),
        (_, Some(code)) => Crs::of_epsg(code),
        _ => Crs::of_epsg(4326),
    };
    let list = document["features"].as_array();
    let list = list.ok_or_else(|| MapError::damaged(path, "no FeatureCollection"))?;
    let mut features = Vec::new();
    for feature in list {
        let geometry = &feature["geometry"];
        if geometry.is_null() {
            continue;
        }
        let geometry = geometry_of_json(geometry).ok_or_else(|| {
            MapError::unsupported(path, "a geometry is damaged or neither point nor polygon")
        })?;
        let mut fields = BTreeMap::new();
        for (name, value) in feature["properties"].as_object().into_iter().flatten() {
            let value = match value {
                serde_json::Value::String(text) => Value::Text(text.clone()),
                serde_json::Value::Number(number) => match number.as_i64() {
                    Some(number) => Value::Integer(number),
                    None => Value::Real(number.as_f64().unwrap_or(f64::NAN)),
                },
                serde_json::Value::Bool(flag) => Value::Integer(i64::from(*flag)),
                _ => Value::Null,
            };
            fields.insert(name.clone(), value);
        }
        features.push(Feature { geometry, fields });
    }
    Ok(Vectors { crs: Some(crs), features })
}

fn geometry_of_json(geometry: &serde_json::Value) -> Option<Geometry> {
    let point = |value: &serde_json::Value| Some([value.get(0)?.as_f64()?, value.get(1)?.as_f64()?]);
    let polygon = |value: &serde_json::Value| {
        let ring = |ring: &serde_json::Value| ring.as_array()?.iter().map(point).collect::<Option<Ring>>();
        value.as_array()?.iter().map(ring).collect::<Option<Vec<Ring>>>()
    };
    let coordinates = &geometry["coordinates"];
    Some(match geometry["type"].as_str()? {
        "Point" => Geometry::Points(vec![point(coordinates)?]),
        "MultiPoint" => Geometry::Points(coordinates.as_array()?.iter().map(point).collect::<Option<_>>()?),
        "Polygon" => Geometry::Polygons(vec![polygon(coordinates)?]),
        "MultiPolygon" => {
            Geometry::Polygons(coordinates.as_array()?.iter().map(polygon).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geopackage::{FieldKind, GeoPackage};
    use crate::sqlite::{Table, Writer};

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer.gpkg");
        let geometries = [
            Geometry::Points(vec![[3.5, -7.25]]),
            Geometry::Polygons(vec![vec![
                vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 0.0]],
                vec![[2.0, 1.0], [3.0, 1.0], [3.0, 2.0], [2.0, 1.0]],
            ]]),
            Geometry::Polygons(vec![vec![vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]; 2]),
        ];
        for geometry in geometries {
            let fields = [("lc", FieldKind::Text), ("n", FieldKind::Integer)];
            let crs = Crs::of_epsg(32632);
            let kind = if matches!(geometry, Geometry::Points(_)) { "POINT" } else { "GEOMETRY" };
            let file = std::fs::File::create(&path).unwrap();
            let mut package = GeoPackage::new(file, "layer", kind, &fields, Some(&crs)).unwrap();
            package.add(&geometry, &[Value::Text("Forest".into()), Value::Integer(-3)]).unwrap();
            package.add(&geometry, &[Value::Null, Value::Integer(70_000)]).unwrap();
            package.finish().unwrap();
            let read = Vectors::read(&path).unwrap();
            assert_eq!(read.crs, Some(crs));
            assert_eq!(read.features.len(), 2);
            assert!(read.features.iter().all(|feature| feature.geometry == geometry));
            assert_eq!(read.features[0].fields["lc"], Value::Text("Forest".into()));
            assert_eq!(read.features[1].fields["n"], Value::Integer(70_000));
        }
    }

    #[test]
    fn of_several_layers_none_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("many.gpkg");
        let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
        let mut table = Table::default();
        for (id, name) in [(1, "fields"), (2, "roads")] {
            let row = [Value::Text(name.into()), Value::Text("geom".into()), Value::Integer(4326)];
            writer.row(&mut table, id, &row).unwrap();
        }
        let root = writer.finish_table(table).unwrap();
        let sql = "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, srs_id INTEGER)";
        writer.finish(&[("gpkg_geometry_columns", root, sql)], &[], 0, 0).unwrap();
        let error = Vectors::read(&path).unwrap_err().to_string();
        assert!(error.contains("fields, roads") && error.contains("ogr2ogr"), "{error}");
    }

    #[test]
    fn geojson_is_longitude_and_latitude() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zones.geojson");
        let text = r#"{"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {"name": "east", "n": 3}, "geometry":
             {"type": "Polygon", "coordinates": [[[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]]}},
            {"type": "Feature", "properties": {}, "geometry": null}]}"#;
        std::fs::write(&path, text).unwrap();
        let read = Vectors::read(&path).unwrap();
        assert_eq!((read.crs.as_ref().unwrap().epsg, read.features.len()), (Some(4326), 1));
        assert_eq!(text_of(&read.features[0].fields["n"]).unwrap(), "3");
        let utm = read.transformed(&Crs::of_epsg(32632), &path).unwrap();
        let Geometry::Polygons(polygons) = &utm.features[0].geometry else { panic!() };
        // pyproj: Transformer.from_crs(4326, 32632, always_xy=True).transform(9, 47)
        let [x, y] = polygons[0][0][0];
        assert!((x - 500_000.0).abs() < 1e-6 && (y - 5_205_164.110_2).abs() < 1e-3, "{x} {y}");
        std::fs::write(&path, "{}").unwrap();
        assert!(Vectors::read(&path).is_err());
    }
}
