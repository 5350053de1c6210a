//! Polygons drawn back into pixels, and held against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::SampleKind;
use crate::testing::{Kind, noise};

fn traced(ids: &dyn Fn(usize, usize) -> u8, width: usize, height: usize, simplify: f64) -> Vec<Polygon> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.tif");
    let mut kind = Kind::new(width, height, 1, SampleKind::U8);
    kind.nodata = Some("255");
    kind.write(&path, |x, y, _| f64::from(ids(x, y)));
    let mut map = MapFile::open(&path).unwrap();
    let mut polygons = Vec::new();
    let mut put = |polygon| {
        polygons.push(polygon);
        Ok(())
    };
    trace(&mut map, Some(&PixelAreas::Uniform(100.0)), simplify, &mut put, &|_, _| {}).unwrap();
    polygons
}

fn twice_area(ring: &[[u32; 2]]) -> i64 {
    assemble::twice_area(ring)
}

/// The row's pixels whose centres lie in a polygon.
fn drawn(polygon: &Polygon, y: usize) -> Vec<usize> {
    let centre = y as f64 + 0.5;
    let mut crossings = Vec::new();
    for ring in &polygon.rings {
        for ends in ring.windows(2) {
            let [[x0, y0], [x1, y1]] = [ends[0].map(f64::from), ends[1].map(f64::from)];
            if (y0 <= centre) != (y1 <= centre) {
                crossings.push(x0 + (centre - y0) / (y1 - y0) * (x1 - x0));
            }
        }
    }
    crossings.sort_by(f64::total_cmp);
    assert_eq!(crossings.len() % 2, 0);
    crossings
        .as_chunks::<2>()
        .0
        .iter()
        .flat_map(|[a, b]| {
            (0..)
                .map(|x| x as usize)
                .skip_while(|x| (*x as f64 + 0.5) < *a)
                .take_while(|x| (*x as f64 + 0.5) < *b)
        })
        .collect()
}

type Ids = (usize, usize, Box<dyn Fn(usize, usize) -> u8>);

fn maps() -> Vec<Ids> {
    vec![
        (1, 1, Box::new(|_, _| 3)),
        (5, 4, Box::new(|_, _| 3)),
        (7, 5, Box::new(|x, y| ((x + y) % 2) as u8)),
        (
            9,
            9,
            Box::new(|x, y| {
                u8::from((2..7).contains(&x) && (2..7).contains(&y)) + u8::from((x, y) == (4, 4))
            }),
        ),
        // A component that touches itself at corners, with holes that touch its outer ring.
        (
            6,
            6,
            Box::new(|x, y| {
                if (x, y) == (1, 1) || (x, y) == (2, 2) || (x, y) == (4, 0) || (x, y) == (5, 1) {
                    NODATA
                } else {
                    1
                }
            }),
        ),
        (40, 700, Box::new(|x, y| if (x + y / 3) % 7 == 0 { 255 } else { noise(x / 3, y / 4, 1) % 3 })),
        (97, 530, Box::new(|x, y| noise(x, y, 1) % 2)),
        (130, 300, Box::new(|x, y| (((x * x + y * y) / 9000 + x / 40) % 4) as u8)),
        // Borders along the cuts between bands.
        (30, 520, Box::new(|x, y| if y / 256 == 1 { 1 } else { u8::from(x > 12) * 2 })),
    ]
}

#[test]
fn polygons_cover_the_map_exactly() {
    for (i, (width, height, ids)) in maps().into_iter().enumerate() {
        let polygons = traced(&ids, width, height, 0.0);
        let mut seen = vec![NODATA; width * height];
        for polygon in &polygons {
            let mut area = 0;
            for (at, ring) in polygon.rings.iter().enumerate() {
                assert_eq!(ring.first(), ring.last(), "map {i}: closed");
                let points: BTreeSet<_> = ring[1..].iter().collect();
                assert_eq!(points.len(), ring.len() - 1, "map {i}: no ring passes a point twice");
                let twice = twice_area(ring);
                assert!((twice < 0) == (at == 0), "map {i}: the outer ring comes first");
                area -= twice;
            }
            assert_eq!(area, 2 * polygon.pixels as i64, "map {i}");
            assert!((polygon.area_m2 - polygon.pixels as f64 * 100.0).abs() < 1e-6);
            for y in 0..height {
                for x in drawn(polygon, y) {
                    assert_eq!(seen[y * width + x], NODATA, "map {i}: {x} {y} drawn twice");
                    seen[y * width + x] = polygon.class;
                }
            }
        }
        assert!((0..width * height).all(|at| seen[at] == ids(at % width, at / width)), "map {i}");
    }
}

#[test]
fn simplified_borders_stay_shared_and_cross_nothing() {
    for (i, (width, height, ids)) in maps().into_iter().enumerate() {
        for tolerance in [0.75, 1.5, 4.0] {
            let whole = traced(&ids, width, height, 0.0);
            let polygons = traced(&ids, width, height, tolerance);
            assert_eq!(polygons.len(), whole.len());
            // Every line between two classes is in two polygons, once in each direction; the outer border and that of nodata in one.
            let mut lines: BTreeMap<([u32; 2], [u32; 2]), i64> = BTreeMap::new();
            let (mut corners, mut before) = (0, 0);
            for (polygon, whole) in polygons.iter().zip(&whole) {
                corners += polygon.rings.iter().map(Vec::len).sum::<usize>();
                before += whole.rings.iter().map(Vec::len).sum::<usize>();
                assert_eq!((polygon.pixels, polygon.class), (whole.pixels, whole.class));
                for ring in &polygon.rings {
                    assert!(ring.len() >= 4, "map {i}");
                    let points: BTreeSet<_> = ring[1..].iter().collect();
                    assert_eq!(points.len(), ring.len() - 1, "map {i} {tolerance}");
                    for ends in ring.windows(2) {
                        *lines.entry((ends[0], ends[1])).or_default() += 1;
                    }
                }
            }
            assert!(corners <= before);
            assert!(
                lines.values().all(|count| *count == 1),
                "map {i} {tolerance}: a line runs twice one way"
            );
            // No two lines cross within.
            let unique: Vec<_> = lines
                .keys()
                .map(|(a, b)| if a < b { (*a, *b) } else { (*b, *a) })
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            let mut by_row: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (at, (a, b)) in unique.iter().enumerate() {
                (a[1].min(b[1])..=a[1].max(b[1])).for_each(|y| by_row.entry(y).or_default().push(at));
            }
            let turn = |a: [u32; 2], b: [u32; 2], c: [u32; 2]| {
                let [a, b, c] = [a, b, c].map(|p| p.map(i64::from));
                ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])).signum()
            };
            for row in by_row.values() {
                for (k, one) in row.iter().enumerate() {
                    for two in &row[k + 1..] {
                        let ((a, b), (c, d)) = (unique[*one], unique[*two]);
                        let crosses = turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0;
                        assert!(!crosses, "map {i} {tolerance}: {a:?} {b:?} crosses {c:?} {d:?}");
                    }
                }
            }
            if i == 7 && tolerance > 1.0 {
                assert!(corners * 2 < before, "{corners} of {before}");
            }
        }
    }
}

#[test]
fn geojson_takes_no_polygon_across_the_180th_meridian() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("map.tif"), dir.path().join("map.geojson"));
    let write = |kind: Kind, out: &Path| {
        kind.write(&path, |_, _, _| 1.0);
        let mut map = MapFile::open(&path).unwrap();
        write_polygons(&mut map, None, &PolygonSettings::default(), out, &|_, _| {})
    };
    // UTM zone 1 begins at 180 degrees, near 170 km east here.
    let zone = || Kind::new(20, 8, 1, SampleKind::U8).on_ground(32601, 1000.0, [160_000.0, 1_000_000.0]);
    let error = write(zone(), &out).unwrap_err().to_string();
    assert!(error.contains("180th") && error.contains(".gpkg"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no half file");
    assert_eq!(write(zone(), &dir.path().join("map.gpkg")).unwrap().polygons, 1);
    // Lines that are longer than half a turn, in two systems.
    let globe = Kind::new(360, 4, 1, SampleKind::U8).on_ground(4326, 1.0, [-180.0, 2.0]);
    assert_eq!(write(globe, &out).unwrap().polygons, 1);
    let globe = Kind::new(400, 4, 1, SampleKind::U8).on_ground(3857, 1e5, [-2e7, 2e5]);
    assert_eq!(write(globe, &out).unwrap().polygons, 1);
}
