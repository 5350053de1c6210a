//! Whatever the size: every model gives a finite result as large as it should, the same bits for any batch, number of
//! threads and way of planning memory, and survives its own file.

use hectare_kernels::rng::Key;
use hectare_kernels::threads::Pool;
use hectare_kernels::{Isa, elementwise};
use hectare_net::weights::{holds, read_model, write};
use hectare_net::{Geometry, ModelCard, ModelKind, ModelSpec, Predictor, Shape, build, initialise};

const WIDTH: f64 = 0.03125;

fn key(stream: u64) -> Key {
    Key { seed: 11, stream, step: 0 }
}

/// Specs of all models and geometries, each with sizes drawn for it: odd, even, around multiples of 32.
fn cases() -> Vec<(ModelSpec, Vec<[usize; 2]>)> {
    let mut cases = Vec::new();
    for (index, model) in ModelKind::ALL.into_iter().enumerate() {
        for geometry in [Geometry::Modern, Geometry::Caffe] {
            let fcn = model.is_fcn();
            if geometry == Geometry::Caffe && !fcn {
                continue;
            }
            let least = if geometry == Geometry::Caffe { 26 } else { 1 };
            let random = key(index as u64);
            let side = |i: u64| least + random.u32(i) as usize % 70;
            let mut sizes: Vec<[usize; 2]> = (0..4).map(|i| [side(2 * i), side(2 * i + 1)]).collect();
            sizes.extend([[least, 97], [31, 33], [64, 65]].map(|[h, w]| [h.max(least), w]));
            let spec = ModelSpec { width: WIDTH, classes: 5, geometry, ..ModelSpec::new(model) };
            if model.is_classifier() {
                // A classifier has one size of its own.
                for [h, w] in &mut sizes {
                    (*h, *w) = (*h + 31, *w + 31);
                    cases.push((ModelSpec { input: [*h, *w], ..spec.clone() }, vec![[*h, *w]]));
                }
            } else {
                cases.push((spec, sizes));
            }
        }
    }
    // Scenes have other bands than three.
    for bands in [1, 2, 4, 5, 13, 32] {
        let spec = ModelSpec { width: WIDTH, classes: 5, bands, ..ModelSpec::new(ModelKind::Fcn8s) };
        cases.push((spec, vec![[33, 65], [64, 31]]));
    }
    cases
}

#[test]
fn results_are_whole_finite_and_the_same_bits_however_computed() {
    const N: usize = 3;
    for (spec, sizes) in cases() {
        let net = build(&spec).unwrap();
        let params = initialise(&net, 4);
        let predict = |threads: usize, n: usize, [h, w]: [usize; 2], images: &[f32]| {
            let mut predictor = Predictor::new(net.clone(), params.clone(), Isa::best()).unwrap();
            Pool::new(threads).install(|| {
                let output = predictor.run(n, h, w, images).unwrap();
                (output.shape, output.data.to_vec())
            })
        };
        for size in sizes {
            let [h, w] = size;
            let images: Vec<f32> =
                (0..N * h * w * spec.bands).map(|i| 4.0 * key(99).f32(i as u64) - 2.0).collect();
            let (shape, all) = predict(1, N, size, &images);
            let expected = if spec.model.is_classifier() { Shape::new(5, 1, 1) } else { Shape::new(5, h, w) };
            assert_eq!(shape, expected, "{spec:?} {size:?}");
            assert!(elementwise::all_finite(Isa::best(), &all), "{spec:?} {size:?}");
            for threads in [2, 3, 8] {
                assert!(
                    predict(threads, N, size, &images).1 == all,
                    "{spec:?} {size:?} on {threads} threads"
                );
            }
            for (image, result) in images.chunks(h * w * spec.bands).zip(all.chunks(shape.len())) {
                assert!(predict(2, 1, size, image).1 == result, "{spec:?} {size:?} one by one");
            }
        }
    }
}

#[test]
fn one_predictor_serves_sizes_in_any_order() {
    for (spec, sizes) in cases().into_iter().filter(|(spec, _)| !spec.model.is_classifier()) {
        let net = build(&spec).unwrap();
        let params = initialise(&net, 4);
        let fresh = || Predictor::new(net.clone(), params.clone(), Isa::best()).unwrap();
        let mut shared = fresh();
        for [h, w] in sizes.iter().chain(sizes.iter().rev()).copied() {
            let image: Vec<f32> = (0..h * w * spec.bands).map(|i| key(5).f32(i as u64)).collect();
            let alone = fresh().run(1, h, w, &image).unwrap().data.to_vec();
            assert!(shared.run(1, h, w, &image).unwrap().data == alone, "{spec:?} {h}x{w}");
        }
    }
}

#[test]
fn every_model_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    for (index, (spec, _)) in cases().into_iter().enumerate() {
        let params = initialise(&build(&spec).unwrap(), index as u64);
        let card = ModelCard::new(spec);
        write(&path, &card, &params).unwrap();
        assert!(holds(&path, &params).unwrap(), "{:?}", card.spec);
        let loaded = read_model(&path).unwrap();
        assert_eq!((&loaded.card, &loaded.params), (&card, &params));
        let mut other = params.clone();
        *other.values.last_mut().unwrap() += 1.0;
        assert!(!holds(&path, &other).unwrap(), "{:?}", card.spec);
    }
}
