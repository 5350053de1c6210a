//! A stratified random sample of a map's pixels, to be labelled, and the labels read back.

use std::path::Path;

use hectare_kernels::rng::Key;

use crate::geopackage::{FieldKind, GeoPackage, failed};
use crate::mapper::write_file;
use crate::vector::{Geometry, Vectors, text_of};
use crate::{MapError, MapFile, NODATA, Value, Window};

/// The column that is to be filled in.
pub const LABEL_FIELD: &str = "lc";

/// What was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Pixels of each class on the map.
    pub pixels: Vec<u64>,
    /// Points drawn of each class.
    pub points: Vec<u64>,
}

/// Rows that are read at once.
fn rows_at_once(width: usize) -> usize {
    ((1 << 24) / width.max(1)).clamp(1, 512)
}

/// Draws `per_class` pixels of each class without replacement (all of a class that has fewer), and writes their centres to
/// a GeoPackage in the map's coordinates, shuffled, with an empty text column `lc`. The class of the map is left out, so that
/// it does not sway who labels. The same map and seed give the same file.
///
/// # Errors
/// A map without a georeference or that cannot be read, a file that cannot be written.
pub fn sample(map: &mut MapFile, per_class: usize, seed: u64, out: &Path) -> Result<Drawn, MapError> {
    let affine = map.geo.affine().ok_or_else(|| {
        MapError::Mismatch(format!("{} has no georeference that points could have", map.path().display()))
    })?;
    let (width, height, k) = (map.width(), map.height(), map.classes.len());
    let mut pixels = vec![0u64; k];
    each_row(map, |_, row| {
        row.iter().filter(|id| **id != NODATA).for_each(|id| pixels[usize::from(*id)] += 1);
    })?;
    // Which of a class's pixels, counted in reading order: Floyd's way of drawing without replacement.
    let mut wanted: Vec<Vec<u64>> = Vec::new();
    for (class, &count) in pixels.iter().enumerate() {
        let draws = (per_class as u64).min(count);
        let mut chosen = std::collections::BTreeSet::new();
        for (i, last) in (count - draws..count).enumerate() {
            let draw = Key { seed, stream: class as u64, step: 0 }.below(i as u64, last + 1);
            if !chosen.insert(draw) {
                chosen.insert(last);
            }
        }
        wanted.push(chosen.into_iter().collect());
    }
    let mut seen = vec![0u64; k];
    let mut next = vec![0usize; k];
    let mut points = Vec::new();
    each_row(map, |y, row| {
        for (x, id) in row.iter().enumerate().filter(|(_, id)| **id != NODATA) {
            let class = usize::from(*id);
            if wanted[class].get(next[class]) == Some(&seen[class]) {
                next[class] += 1;
                points.push([x, y]);
            }
            seen[class] += 1;
        }
    })?;
    debug_assert!(points.iter().all(|[x, y]| *x < width && *y < height));
    let order = Key { seed, stream: u64::MAX, step: 0 };
    for i in (1..points.len()).rev() {
        points.swap(i, order.below(i as u64, i as u64 + 1) as usize);
    }
    let crs = map.geo.crs();
    write_file(out, |file| {
        let fields = [(LABEL_FIELD, FieldKind::Text)];
        let package = GeoPackage::new(file, "points", "POINT", &fields, crs.as_ref());
        let mut package = package.map_err(failed(out))?;
        for [x, y] in &points {
            let point = affine.apply(*x as f64 + 0.5, *y as f64 + 0.5);
            package.add(&Geometry::Points(vec![point]), &[Value::Null]).map_err(failed(out))?;
        }
        package.finish().map_err(failed(out))
    })?;
    Ok(Drawn { pixels, points: wanted.iter().map(|chosen| chosen.len() as u64).collect() })
}

fn each_row(map: &mut MapFile, mut put: impl FnMut(usize, &[u8])) -> Result<(), MapError> {
    let (width, height) = (map.width(), map.height());
    let rows = rows_at_once(width);
    let mut ids = Vec::new();
    for top in (0..height).step_by(rows) {
        map.read_rows(top, rows.min(height - top), &mut ids)?;
        ids.chunks_exact(width).enumerate().for_each(|(y, row)| put(top + y, row));
    }
    Ok(())
}

/// Labelled points held against a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// A row for each mapped class, a column for each true one.
    pub confusion: Vec<Vec<u64>>,
    /// Points without a label.
    pub unlabelled: u64,
    /// Points outside the map or where it has no class.
    pub outside: u64,
}

/// Reads labelled points and looks up the map's class at each. A label is a class's name, whatever its case, or its id.
///
/// # Errors
/// A field that the layer does not have, a label that is no class, points that cannot be brought to the map's coordinates,
/// a layer without a labelled point on the map.
pub fn reference(map: &mut MapFile, points: &Path, field: &str) -> Result<Reference, MapError> {
    let layer = Vectors::read(points)?;
    let name = points.display();
    let fields = layer.field_names();
    if !fields.iter().any(|own| own == field) {
        return Err(MapError::Mismatch(format!("{name} has no field {field}; it has {}", fields.join(", "))));
    }
    let crs = map.geo.crs();
    let layer = match (&crs, &layer.crs) {
        (Some(crs), Some(_)) => layer.transformed(crs, points)?,
        // Neither tells: the points were drawn in the map's own coordinates.
        _ => layer,
    };
    let affine = map.geo.affine().ok_or_else(|| {
        MapError::Mismatch(format!("{} has no georeference to find points by", map.path().display()))
    })?;
    let k = map.classes.len();
    let mut said = Reference { confusion: vec![vec![0; k]; k], unlabelled: 0, outside: 0 };
    let mut places = Vec::new();
    for feature in &layer.features {
        let Some(label) = feature.fields.get(field).and_then(text_of) else {
            said.unlabelled += 1;
            continue;
        };
        let by_name = map.classes.classes.iter().position(|class| class.name.eq_ignore_ascii_case(&label));
        let by_id =
            || label.parse::<f64>().ok().filter(|id| *id >= 0.0 && *id < k as f64 && id.fract() == 0.0);
        let class = by_name.or_else(|| by_id().map(|id| id as usize)).ok_or_else(|| {
            MapError::Mismatch(format!(
                "{name}: {label:?} is none of the map's classes ({})",
                map.classes.names().join(", ")
            ))
        })?;
        let Geometry::Points(points) = &feature.geometry else {
            return Err(MapError::Mismatch(format!("{name} holds polygons; a sample is points")));
        };
        for [x, y] in points {
            let at = affine.inverse(*x, *y).filter(|[column, row]| {
                (0.0..map.width() as f64).contains(column) && (0.0..map.height() as f64).contains(row)
            });
            match at {
                Some([column, row]) => places.push((row as usize, column as usize, class)),
                None => said.outside += 1,
            }
        }
    }
    places.sort_unstable();
    let mut id = Vec::new();
    for (y, x, class) in places {
        map.read(Window { x, y, width: 1, height: 1 }, &mut id)?;
        if id[0] == NODATA { said.outside += 1 } else { said.confusion[usize::from(id[0])][class] += 1 }
    }
    if said.confusion.iter().flatten().all(|count| *count == 0) {
        return Err(MapError::Mismatch(format!(
            "{name} has no labelled point on the map ({} without a label, {} outside it)",
            said.unlabelled, said.outside
        )));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleKind;
    use crate::testing::{Kind, noise};

    fn map(path: &Path) -> (MapFile, impl Fn(usize, usize) -> u8 + use<>) {
        let class = |x: usize, y: usize| match noise(x / 9, y / 7, 3) % 5 {
            4 => NODATA,
            3 => 5,
            class => class,
        };
        let mut kind = Kind::new(160, 120, 1, SampleKind::U8).on_ground(32632, 10.0, [5e5, 5.2e6]);
        kind.nodata = Some("255");
        kind.write(path, |x, y, _| f64::from(class(x, y)));
        let mut map = MapFile::open(path).unwrap();
        map.classes = hectare_net::ClassMap::course();
        (map, class)
    }

    #[test]
    fn a_sample_is_stratified_and_comes_back_labelled() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("points.gpkg");
        let (mut map, class) = map(&dir.path().join("map.tif"));
        let drawn = sample(&mut map, 40, 7, &out).unwrap();
        assert_eq!(drawn.points, drawn.pixels.iter().map(|n| 40.min(*n)).collect::<Vec<_>>());
        assert_eq!((drawn.points[0], drawn.points[3]), (40, 0));
        let bytes = std::fs::read(&out).unwrap();
        sample(&mut map, 40, 7, &out).unwrap();
        assert!(std::fs::read(&out).unwrap() == bytes, "the same seed, the same points");
        sample(&mut map, 40, 8, &out).unwrap();
        assert!(std::fs::read(&out).unwrap() != bytes);
        // Label them all right but for those in the left half of class 0; by name and by id.
        let points = Vectors::read(&out).unwrap();
        assert_eq!(points.crs.as_ref().unwrap().epsg, Some(32632));
        let mut seen = std::collections::BTreeSet::new();
        let mut wrong = 0;
        let labelled = std::fs::File::create(dir.path().join("labelled.gpkg")).unwrap();
        let fields = [("lc", FieldKind::Text)];
        let mut package = GeoPackage::new(labelled, "points", "POINT", &fields, points.crs.as_ref()).unwrap();
        for (i, feature) in points.features.iter().enumerate() {
            let Geometry::Points(at) = &feature.geometry else { panic!() };
            let (x, y) = ((at[0][0] - 5e5) / 10.0, (5.2e6 - at[0][1]) / 10.0);
            assert!((x.fract() - 0.5).abs() < 1e-6 && (y.fract() - 0.5).abs() < 1e-6, "centres");
            assert!(seen.insert((x as usize, y as usize)), "drawn twice");
            let mut label = class(x as usize, y as usize);
            assert_ne!(label, NODATA);
            if label == 0 && x < 80.0 {
                label = 2;
                wrong += 1;
            }
            let name = &map.classes.classes[usize::from(label)].name;
            let text = if i % 2 == 0 { label.to_string() } else { name.to_lowercase() };
            package.add(&feature.geometry, &[Value::Text(text)]).unwrap();
        }
        package.add(&Geometry::Points(vec![[0.0, 0.0]]), &[Value::Text("Water".into())]).unwrap();
        package.add(&Geometry::Points(vec![[0.0, 0.0]]), &[Value::Null]).unwrap();
        package.finish().unwrap();
        let path = dir.path().join("labelled.gpkg");
        let said = reference(&mut map, &path, "lc").unwrap();
        assert!(wrong > 0);
        assert_eq!((said.unlabelled, said.outside), (1, 1));
        assert_eq!((said.confusion[0][0], said.confusion[0][2]), (40 - wrong, wrong));
        assert_eq!((said.confusion[5][5], said.confusion[1][1]), (40, 40));
        assert!(reference(&mut map, &path, "land").unwrap_err().to_string().contains("lc"));
        assert!(reference(&mut map, &out, "lc").unwrap_err().to_string().contains("without a label"));
    }

    #[test]
    fn a_point_without_the_field_has_no_label() {
        let dir = tempfile::tempdir().unwrap();
        let (mut map, class) = map(&dir.path().join("map.tif"));
        let points = dir.path().join("points.geojson");
        let x = (0..160).find(|x| class(*x, 0) != NODATA).unwrap();
        let point = |properties: &str| {
            let at = format!("[{}, {}]", 5e5 + 10.0 * x as f64 + 5.0, 5.2e6 - 5.0);
            format!(
                r#"{{"type": "Feature", "properties": {{{properties}}}, "geometry": {{"type": "Point", "coordinates": {at}}}}}"#
            )
        };
        let crs = r#""crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}"#;
        let features = [point(r#""lc": 3"#), point(r#""name": "gate""#), point("")].join(", ");
        let text = format!(r#"{{"type": "FeatureCollection", {crs}, "features": [{features}]}}"#);
        std::fs::write(&points, text).unwrap();
        let said = reference(&mut map, &points, "lc").unwrap();
        assert_eq!((said.unlabelled, said.outside), (2, 0));
        assert_eq!(said.confusion[usize::from(class(x, 0))][3], 1);
    }
}
