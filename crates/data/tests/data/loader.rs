//! Sources, batches and the loader.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hectare_data::{
    Augment, Batch, BatchFormat, BatchSource, ClassificationSet, ClassificationSource, CropRule, DataError,
    Image, Loader, Mask, Sample, SampleSource, SegmentationSet, SegmentationSource, Target, epoch_batches,
    normalise_into, write_mask_rgb,
};
use hectare_kernels::loss::IGNORE;
use hectare_net::{ClassMap, Normalisation};

use crate::{Folder, coordinates};

/// Samples whose pixels are their number; loading can be slow, fail or panic.
struct Numbers {
    len: usize,
    delay: Duration,
    loaded: AtomicUsize,
    format: BatchFormat,
}

impl Numbers {
    fn new(len: usize, delay_ms: u64) -> Arc<Numbers> {
        let normalisation = Normalisation { mean: vec![0.0; 3], std: vec![1.0 / 255.0; 3] };
        let format = BatchFormat::new(&normalisation, None);
        Arc::new(Numbers { len, delay: Duration::from_millis(delay_ms), loaded: AtomicUsize::new(0), format })
    }
}

impl SampleSource for Numbers {
    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, index: usize, epoch: u64) -> Result<Sample, DataError> {
        self.loaded.fetch_add(1, Ordering::SeqCst);
        // Later batches are often ready before earlier ones.
        std::thread::sleep(if index.is_multiple_of(3) { self.delay * 2 } else { self.delay });
        match index {
            900 => return Err(DataError::NotFound { path: "900.png".into() }),
            901 => panic!("sample {index}"),
            _ => {}
        }
        let width = if index == 902 { 3 } else { 2 };
        let value = (index as u64 + 100 * epoch) as u8;
        let image = Image::from_fn(width, 1, |_, _| [value; 3]);
        Ok(Sample { image, target: Target::Class(index as u16) })
    }

    fn format(&self) -> &BatchFormat {
        &self.format
    }

    fn name(&self, index: usize) -> String {
        format!("{index}.png")
    }
}

fn batches(source: Arc<dyn BatchSource>, list: Vec<Vec<usize>>, threads: usize, queue: usize) -> Vec<Batch> {
    Loader::new(source, 0, list, threads, queue).map(Result::unwrap).collect()
}

#[test]
fn batches_come_in_order_whatever_the_threads() {
    let list = epoch_batches(23, 4, Some((7, 3)));
    for (threads, queue) in [(0, 1), (1, 1), (2, 1), (3, 2), (8, 4)] {
        let found = batches(Numbers::new(23, 1), list.clone(), threads, queue);
        assert_eq!(found.len(), 6);
        for (batch, expected) in found.iter().zip(&list) {
            assert_eq!(&batch.indices, expected);
            assert_eq!((batch.n, batch.h, batch.w), (expected.len(), 1, 2));
            let labels: Vec<usize> = batch.labels.iter().map(|&l| l.into()).collect();
            assert_eq!(&labels, expected);
            for (i, pixels) in batch.images.chunks(6).enumerate() {
                assert!(pixels.iter().all(|v| (v - expected[i] as f32).abs() < 1e-3), "{pixels:?}");
            }
        }
    }
}

#[test]
fn the_queue_is_bounded() {
    let source = Numbers::new(100, 0);
    let mut loader = Loader::new(source.clone(), 0, epoch_batches(100, 1, None), 4, 3);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(source.loaded.load(Ordering::SeqCst), 3);
    loader.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(source.loaded.load(Ordering::SeqCst), 4);
    assert!(loader.waits() <= 1);
    // Dropped half way, it stops its threads and loads no more.
    drop(loader);
    let loaded = source.loaded.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(source.loaded.load(Ordering::SeqCst), loaded);
}

#[test]
fn waiting_is_measured() {
    let mut slow = Loader::new(Numbers::new(4, 30), 0, epoch_batches(4, 1, None), 1, 1);
    assert_eq!(slow.by_ref().count(), 4);
    assert!(slow.waited() >= Duration::from_millis(100), "{:?}", slow.waited());
    assert_eq!(slow.waits(), 4);

    let mut fast = Loader::new(Numbers::new(4, 0), 0, epoch_batches(4, 1, None), 1, 4);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fast.by_ref().count(), 4);
    assert_eq!(fast.waits(), 0);
    assert!(fast.waited() < Duration::from_millis(100), "{:?}", fast.waited());
    assert!(fast.next().is_none());
}

#[test]
fn an_error_comes_in_its_place_and_ends_the_epoch() {
    for threads in [0, 2] {
        let list = vec![vec![1], vec![2, 900], vec![3]];
        let found: Vec<_> = Loader::new(Numbers::new(1000, 1), 0, list, threads, 4).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].as_ref().unwrap().indices, [1]);
        assert_eq!(found[1].as_ref().unwrap_err(), &DataError::NotFound { path: "900.png".into() });
    }
    let found: Vec<_> = Loader::new(Numbers::new(1000, 0), 0, vec![vec![901], vec![1]], 2, 2).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap_err(), &DataError::Worker { reason: "sample 901".into() });
    let found: Vec<_> = Loader::new(Numbers::new(1000, 0), 0, vec![vec![1, 902]], 0, 2).collect();
    let message = found[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("1.png has 2x1 pixels and 902.png 3x1"), "{message}");
}

#[test]
fn an_epoch_holds_every_sample_once() {
    let order = |seed, epoch| epoch_batches(50, 8, Some((seed, epoch)));
    let list = order(1, 0);
    assert_eq!(list.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 2]);
    assert_eq!(list.concat().into_iter().collect::<HashSet<_>>().len(), 50);
    assert_eq!(list, order(1, 0));
    assert_ne!(list, order(1, 1));
    assert_ne!(list, order(2, 0));
    assert_eq!(epoch_batches(5, 2, None), [vec![0, 1], vec![2, 3], vec![4]]);
    assert!(epoch_batches(0, 2, None).is_empty());
}

#[test]
fn pixels_are_normalised_as_torchvision_does() {
    let image = Image { width: 2, height: 1, pixels: vec![0, 128, 255, 10, 20, 30] };
    let normalisation = Normalisation::default();
    let mut out = [0.0; 6];
    normalise_into(&image, &normalisation, &mut out);
    for (i, (&v, &found)) in image.pixels.iter().zip(&out).enumerate() {
        let expected = (f32::from(v) / 255.0 - normalisation.mean[i % 3]) / normalisation.std[i % 3];
        assert_eq!(found, expected);
    }
}

#[test]
fn classification_samples() {
    let folder = Folder::new();
    for i in 0..4 {
        folder.image(&format!("{i}_0.png"), &coordinates(10 + i, 10));
    }
    let set = ClassificationSet::open(folder.path()).unwrap();
    let crop = CropRule::RandomResized { area: [0.5, 1.0], aspect: [1.0, 1.0], size: 8 };
    let normalisation = Normalisation::default();
    for augment in [
        Augment::default(),
        Augment { crop, flip_h: true, ..Augment::default() },
        Augment { rotate_deg: 10.0, ..Augment::default() },
    ] {
        let new = |cache| {
            let source =
                ClassificationSource::new(set.clone(), [8, 8], augment.clone(), 1, &normalisation).unwrap();
            Arc::new(source.with_cache(cache))
        };
        // With a cache for all, for one and for none; twice, so that the second comes from the cache.
        let expected = batches(new(0), vec![vec![0, 1, 2, 3]], 0, 1);
        for cache in [350, u64::MAX / 2] {
            let source = new(cache);
            for _ in 0..2 {
                let found = batches(source.clone(), vec![vec![0, 1, 2, 3]], 2, 2);
                assert_eq!(found[0].images, expected[0].images);
                assert_eq!(found[0].labels, [0, 1, 2, 3]);
            }
        }
    }
    folder.picture("who.png", [0; 3]);
    let set = ClassificationSet::open(folder.path()).unwrap();
    assert!(ClassificationSource::new(set, [8, 8], Augment::default(), 1, &normalisation).is_err());
}

#[test]
fn segmentation_samples() {
    let folder = Folder::new();
    let mut classes = ClassMap::course();
    classes.classes[6].ignored = true;
    let mask = Mask::from_fn(20, 12, |x, _| if x < 10 { 6 } else { 2 });
    for i in 0..2 {
        folder.image(&format!("{i}_sat.png"), &coordinates(20, 12));
        write_mask_rgb(&mask, &classes, &folder.file(&format!("{i}_mask.png"))).unwrap();
    }
    let set = SegmentationSet::open(folder.path()).unwrap();
    let new = |resize, augment| {
        SegmentationSource::new(set.clone(), classes.clone(), resize, augment, 1, &Normalisation::default())
    };
    let whole = batches(Arc::new(new(None, Augment::default())), vec![vec![0, 1]], 1, 1).remove(0);
    assert_eq!((whole.n, whole.h, whole.w, whole.labels.len()), (2, 12, 20, 480));
    assert_eq!((whole.labels[9], whole.labels[10]), (IGNORE, 2));

    let half = batches(Arc::new(new(Some([10, 6]), Augment::default())), vec![vec![0]], 1, 1).remove(0);
    assert_eq!((half.h, half.w), (6, 10));
    assert_eq!(half.labels[..10], [IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, 2, 2, 2, 2, 2]);

    let crop = CropRule::RandomCrop { size: 6, scale: [0.8, 1.2] };
    let augment = Augment { crop, flip_v: true, quarter_turns: true, ..Augment::default() };
    let epoch = |source: Arc<dyn BatchSource>, epoch| -> Vec<Batch> {
        Loader::new(source, epoch, vec![vec![0], vec![1]], 2, 2).map(Result::unwrap).collect()
    };
    let plain = epoch(Arc::new(new(None, augment.clone())), 0);
    let cached = Arc::new(new(None, augment.clone()).with_cache(1 << 20));
    let all = [epoch(cached.clone(), 0), epoch(cached.clone(), 0), epoch(cached, 1)];
    for (a, b) in plain.iter().zip(&all[0]).chain(plain.iter().zip(&all[1])) {
        assert_eq!((&a.images, &a.labels), (&b.images, &b.labels));
    }
    assert_ne!(all[0][0].images, all[2][0].images, "another epoch is another crop");
    // A file that went away is an error, not a panic.
    std::fs::remove_file(folder.path().join("1_mask.png")).unwrap();
    let mut loader = Loader::new(Arc::new(new(None, Augment::default())), 0, vec![vec![1]], 1, 1);
    assert!(matches!(loader.next(), Some(Err(DataError::NotFound { .. }))));
}
