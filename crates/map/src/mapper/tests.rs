//! Maps of scenes that the tests draw, by segmenters whose answer is known and by networks.

use std::cell::Cell;
use std::time::Duration;

use hectare_kernels::Isa;
use hectare_kernels::threads::Pool;
use hectare_net::{ModelCard, ModelKind, ModelSpec, build, initialise};

use super::*;
use crate::testing::{Kind, noise};
use crate::{MapFile, NetworkSegmenter, SampleKind, Turned};

/// Says a class by the pixel alone, and stops working when told to.
struct ByPixel {
    left: Cell<usize>,
}

const K: usize = 7;

/// The class that [`ByPixel`] gives.
fn class_of(level: f64) -> u8 {
    (level as usize / 37 % K) as u8
}

impl Segmenter for ByPixel {
    fn classes(&self) -> usize {
        K
    }

    fn reach(&self) -> Option<usize> {
        Some(0)
    }

    fn probabilities(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), MapError> {
        if self.left.get() == 0 {
            return Err(MapError::Mismatch("told to stop".into()));
        }
        self.left.set(self.left.get() - 1);
        out.clear();
        for pixel in input.chunks_exact(3) {
            let level = (pixel[0] * 0.229 + 0.485) * 255.0;
            let class = usize::from(class_of(f64::from(level.round())));
            out.extend((0..K).map(|k| if k == class { 0.7 } else { 0.05 }));
        }
        assert_eq!(out.len(), h * w * K);
        Ok(())
    }
}

fn steady() -> ByPixel {
    ByPixel { left: Cell::new(usize::MAX) }
}

fn card() -> ModelCard {
    let mut spec = ModelSpec::new(ModelKind::Fcn8s);
    spec.width = 0.03125;
    spec.input = [64, 64];
    ModelCard::new(spec)
}

fn map_of(
    scene: &Path,
    out: &Path,
    segmenter: &mut dyn Segmenter,
    settings: &MapSettings,
) -> Result<Mapped, MapError> {
    let card = card();
    let mut scene = Scene::open(scene)?;
    let recipe = Recipe::new(&(&card).into(), scene.info(), None, None)?;
    let mapper = Mapper {
        scene: &mut scene,
        recipe: &recipe,
        classes: &card.classes,
        settings,
        out,
        fingerprint: String::new(),
    };
    mapper.run(segmenter, &|_, _| {})
}

fn ids(path: &Path) -> Vec<u8> {
    let mut map = MapFile::open(path).unwrap();
    let mut ids = Vec::new();
    let height = map.height();
    map.read_rows(0, height, &mut ids).unwrap();
    ids
}

#[test]
fn every_pixel_is_written_once_and_the_grid_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (scene, out) = (dir.path().join("scene.tif"), dir.path().join("map.tif"));
    for [width, height] in [[1, 1], [1, 4000], [513, 511], [700, 90]] {
        let mut kind = Kind::new(width, height, 3, SampleKind::U8).on_ground(32632, 10.0, [5e5, 5.2e6]);
        kind.nodata = Some("0");
        let level = |x: usize, y: usize| f64::from(noise(x / 9, y / 5, 1).max(1));
        let empty = |x: usize, y: usize| x > 5 && (x + y) % 50 < 4;
        kind.write(&scene, |x, y, _| if empty(x, y) { 0.0 } else { level(x, y) });
        let mut bytes = Vec::new();
        for (tile, overlap) in [(64, 32), (256, 64), (1024, 256)] {
            let settings = MapSettings {
                tile,
                overlap: Some(overlap),
                probabilities: true,
                confidence: true,
                ..MapSettings::default()
            };
            map_of(&scene, &out, &mut steady(), &settings).unwrap();
            let map = ids(&out);
            for (i, id) in map.iter().enumerate() {
                let (x, y) = (i % width, i / width);
                let expected = if empty(x, y) { NODATA } else { class_of(level(x, y)) };
                assert_eq!(*id, expected, "{width}x{height}, windows of {tile}, at {x} {y}");
            }
            bytes.push(fs::read(&out).unwrap());
            let sure = ids_of_any(&side_path(&out, "confidence"));
            assert!(sure.iter().zip(&map).all(|(sure, id)| *sure == if *id == NODATA { NODATA } else { 70 }));
            let mut scene = Scene::open(&side_path(&out, "probabilities")).unwrap();
            assert_eq!((scene.info().bands, scene.info().kind), (K, SampleKind::F32));
            scene.select(&[0, 1, 2, 3, 4, 5, 6]).unwrap();
            let mut patch = Patch::default();
            scene.read(Window { x: 0, y: 0, width, height }, &mut patch).unwrap();
            let values: Vec<f32> = patch.samples.iter().collect();
            for (values, id) in values.chunks_exact(K).zip(&map) {
                match *id {
                    NODATA => assert!(values.iter().all(|v| v.is_nan())),
                    id => assert!((values[usize::from(id)] - 0.7).abs() < 1e-6),
                }
            }
        }
        assert!(bytes.windows(2).all(|two| two[0] == two[1]), "another cut, the same file");
        let (one, two) = (Scene::open(&scene).unwrap(), Scene::open(&out).unwrap());
        assert_eq!(one.info().geo, two.info().geo);
        assert_eq!(two.info().nodata, Some(255.0));
        assert_eq!(MapFile::open(&out).unwrap().classes, card().classes);
        assert!(out.with_extension("qml").exists() && dir.path().join("map.tif.aux.xml").exists());
        assert!(!partial_folder(&out).exists());
    }
}

/// Bytes of a one-band file.
fn ids_of_any(path: &Path) -> Vec<u8> {
    let mut scene = Scene::open(path).unwrap();
    let (width, height) = (scene.info().width, scene.info().height);
    let mut patch = Patch::default();
    scene.read(Window { x: 0, y: 0, width, height }, &mut patch).unwrap();
    patch.samples.iter().map(|v| v as u8).collect()
}

#[test]
fn work_is_taken_up_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (scene, out, whole) =
        (dir.path().join("scene.tif"), dir.path().join("map.tif"), dir.path().join("whole.tif"));
    Kind::new(301, 403, 3, SampleKind::U8).write(&scene, |x, y, _| f64::from(noise(x / 9, y / 5, 1)));
    let settings = MapSettings {
        tile: 96,
        overlap: Some(32),
        probabilities: true,
        save_every: Duration::ZERO,
        ..MapSettings::default()
    };
    map_of(&scene, &whole, &mut steady(), &settings).unwrap();
    for windows in [3, 7, 12] {
        let stopped = map_of(&scene, &out, &mut ByPixel { left: Cell::new(windows) }, &settings);
        assert_eq!(stopped.unwrap_err().to_string(), "told to stop");
        assert!(!out.exists(), "no half file");
    }
    // Rows of five windows: none, one and three of them were finished.
    assert_eq!(map_of(&scene, &out, &mut steady(), &settings).unwrap().resumed_rows, 3);
    assert!(fs::read(&out).unwrap() == fs::read(&whole).unwrap());
    let (a, b) = (side_path(&out, "probabilities"), side_path(&whole, "probabilities"));
    assert!(fs::read(a).unwrap() == fs::read(b).unwrap());
    // Other settings begin anew.
    let stopped = map_of(&scene, &out, &mut ByPixel { left: Cell::new(9) }, &settings);
    assert!(stopped.is_err());
    let other = MapSettings { tile: 128, ..settings };
    assert_eq!(map_of(&scene, &out, &mut steady(), &other).unwrap().resumed_rows, 0);
}

#[test]
fn the_exact_overlap_makes_the_map_independent_of_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (scene, out) = (dir.path().join("scene.tif"), dir.path().join("map.tif"));
    let (width, height) = (1121, 790);
    let level = |x: usize, y: usize, band: usize| {
        f64::from(noise(x / 40, y / 30, band) / 2) + f64::from(noise(x, y, band + 9) / 4)
    };
    Kind::new(width, height, 3, SampleKind::U8).write(&scene, level);
    let segmenter = || {
        let card = card();
        let network = build(&card.spec).unwrap();
        let params = initialise(&network, 5);
        NetworkSegmenter::new(network, params, K, Isa::best()).unwrap()
    };
    let reach = segmenter().reach().unwrap();
    assert!((180..=320).contains(&reach), "{reach}");
    let mut maps = Vec::new();
    for (tile, threads) in [(1152, 2), (672, 1), (672, 3), (800, 2)] {
        let settings = MapSettings { tile, overlap: None, ..MapSettings::default() };
        Pool::new(threads).install(|| map_of(&scene, &out, &mut segmenter(), &settings)).unwrap();
        maps.push(ids(&out));
    }
    assert!(maps[0].iter().any(|id| *id != maps[0][0]), "a map of more than one class");
    assert_eq!(maps[1], maps[2], "threads");
    for other in &maps[1..] {
        let differ = maps[0].iter().zip(other).filter(|(a, b)| a != b).count();
        assert!(differ * 1000 <= width * height, "{differ} pixels");
    }
    // A window that the overlap leaves nothing of is refused with the remedy.
    let settings = MapSettings { tile: 256, overlap: None, ..MapSettings::default() };
    let error = map_of(&scene, &out, &mut segmenter(), &settings).unwrap_err().to_string();
    assert!(error.contains("--tile"), "{error}");
    // Positions averaged: the mirrored scene gives the mirrored map.
    let settings = MapSettings::default();
    let small = |mirrored: bool| {
        let at = |x: usize| if mirrored { 95 - x } else { x };
        Kind::new(96, 96, 3, SampleKind::U8).write(&scene, |x, y, band| level(at(x), y, band));
        map_of(&scene, &out, &mut Turned(segmenter()), &settings).unwrap();
        ids(&out)
    };
    let (one, two) = (small(false), small(true));
    let differ = (0..96 * 96).filter(|i| one[*i] != two[i / 96 * 96 + 95 - i % 96]).count();
    assert!(differ <= 9, "{differ}");
}

#[test]
fn nothing_is_left_of_what_cannot_be_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let (scene, out) = (dir.path().join("scene.tif"), dir.path().join("map.tif"));
    let mut kind = Kind::new(200, 100, 3, SampleKind::U8);
    kind.nodata = Some("0");
    kind.write(&scene, |_, _, _| 0.0);
    let error = map_of(&scene, &out, &mut steady(), &MapSettings::default()).unwrap_err().to_string();
    assert!(error.contains("no data"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let kind = Kind::new(200, 100, 2, SampleKind::U8);
    kind.write(&scene, |_, _, _| 9.0);
    let error = map_of(&scene, &out, &mut steady(), &MapSettings::default()).unwrap_err().to_string();
    assert!(error.contains("--bands"), "{error}");
    let kind = Kind::new(200, 100, 3, SampleKind::U16);
    kind.write(&scene, |_, _, _| 9.0);
    let error = map_of(&scene, &out, &mut steady(), &MapSettings::default()).unwrap_err().to_string();
    assert!(error.contains("--scale"), "{error}");
}

#[test]
fn windows_of_another_resolution_fit_the_network() {
    for factor in [0.125, 0.3, 0.5, 0.85, 1.2, 2.0, 7.3, 8.0] {
        let settings = MapSettings::default().resampled(factor);
        assert!(crate::Resampled::side(settings.tile, factor) <= 1024, "{factor}");
        assert!(settings.overlap.unwrap() as f64 * factor >= 256.0 && settings.dead as f64 * factor >= 96.0);
        let grid = settings.grid(20_000, 20_000, None).unwrap();
        assert!(grid.count() > 1 && settings.tile.is_multiple_of(32), "{factor}");
    }
}
