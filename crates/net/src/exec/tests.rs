//! The executor against itself: memory reuse, fusions, threads, batch sizes, and finite differences.

use hectare_kernels::Isa;
use hectare_kernels::rng::Key;
use hectare_kernels::threads::Pool;

use super::{Options, Predictor, StepKey, Trainer};
use crate::ops::{
    Add, BatchNorm2d, Concat, Conv2d, ConvTranspose2d, Crop, Dropout, Flatten, Linear, MaxPool2d, Operation,
    Pad, Relu,
};
use crate::{Geometry, Head, ModelKind, ModelSpec, Network, NetworkBuilder, Params, build, initialise};

const KEY: StepKey = StepKey { seed: 5, step: 3 };

/// Uniform in -1..1.
fn noise(stream: u64, len: usize) -> Vec<f32> {
    let sequence = Key { seed: 11, stream, step: 0 }.sequence();
    (0..len).map(|i| 2.0 * sequence.f32(i as u64) - 1.0).collect()
}

/// Parameters of the size that training gives them, biases and shifts included.
fn params_of(net: &Network) -> Params {
    let mut params = initialise(net, 1);
    for (value, noise) in params.values.iter_mut().zip(noise(99, net.layout().total)) {
        *value += 0.1 * noise;
    }
    params
}

/// The sum of the result times fixed numbers: its gradient is those numbers.
fn weighted_sum(logits: &[f32], dlogits: &mut [f32]) -> f64 {
    dlogits.copy_from_slice(&noise(7, logits.len()));
    logits.iter().zip(dlogits).map(|(x, g)| f64::from(*x) * f64::from(*g)).sum()
}

fn gradients(
    net: &Network,
    params: &Params,
    [n, h, w]: [usize; 3],
    options: Options,
    frozen: Option<&[bool]>,
) -> (f64, Vec<f32>, usize) {
    let mut trainer = Trainer::new(net, Isa::best(), n, h, w).unwrap();
    trainer.set_options(options);
    if let Some(frozen) = frozen {
        trainer.freeze(frozen).unwrap();
    }
    let input = noise(1, n * h * w * net.bands());
    let mut params = params.clone();
    let mut grads = vec![f32::NAN; net.layout().total];
    let loss = trainer.step(&mut params, n, h, w, &input, KEY, &mut weighted_sum, &mut grads, false).unwrap();
    (loss, grads, trainer.arena())
}

/// Compares the gradients of all parameters with differences of the loss. The loss is linear between kinks,
/// but kinks (ReLU, maximum) are everywhere, so steps are small and losses are summed in f64.
fn check_differences(name: &str, net: &Network, size: [usize; 3]) {
    let params = params_of(net);
    let (_, grads, _) = gradients(net, &params, size, Options::default(), None);
    let [n, h, w] = size;
    let input = noise(1, n * h * w * net.bands());
    let mut trainer = Trainer::new(net, Isa::best(), n, h, w).unwrap();
    let mut scratch = vec![0.0; net.layout().total];
    let mut loss_at = |values: &[f32]| {
        let mut moved = params.clone();
        moved.values.copy_from_slice(values);
        trainer.step(&mut moved, n, h, w, &input, KEY, &mut weighted_sum, &mut scratch, false).unwrap()
    };
    for entry in &net.layout().entries {
        // Some numbers of each parameter, and a random direction through all of it.
        let len = entry.range.len();
        let count = len.min(6);
        let mut directions: Vec<Vec<f32>> = (0..count)
            .map(|i| {
                let mut one = vec![0.0; len];
                one[i * len / count] = 1.0;
                one
            })
            .collect();
        let random = noise(50, len);
        let norm = random.iter().map(|x| x * x).sum::<f32>().sqrt();
        directions.push(random.iter().map(|x| x / norm).collect());
        for direction in directions {
            let exact: f64 = grads[entry.range.clone()]
                .iter()
                .zip(&direction)
                .map(|(g, d)| f64::from(*g) * f64::from(*d))
                .sum();
            let scale = grads[entry.range.clone()].iter().fold(0.1_f64, |max, g| max.max(f64::from(g.abs())));
            // f32 activations are good to about 1e-6 of the loss, which the step divides; a kink within the
            // larger step spoils it, hence the smaller one.
            let mut measured = 0.0;
            let close = [2e-3, 2e-4].into_iter().any(|step: f32| {
                let mut moved = |sign: f32| {
                    let mut values = params.values.to_vec();
                    for (value, d) in values[entry.range.clone()].iter_mut().zip(&direction) {
                        *value += sign * step * d;
                    }
                    loss_at(&values)
                };
                measured = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
                (measured - exact).abs() < 2e-2 * scale
            });
            assert!(close, "{name}: {} measured {measured}, computed {exact}", entry.name);
        }
    }
}

/// A convolution, then `op`, then a convolution, so that the gradient of `op`'s input is tested through the
/// first one's weights.
fn around(op: impl Operation + 'static, channels: usize) -> Network {
    let mut net = NetworkBuilder::new("Test", 3);
    let before = net.add("before", Conv2d::new(3, 4, 3).padding(1), &[0]);
    let tested = net.add("tested", op, &[before]);
    net.add("after", Conv2d::new(channels, 2, 1), &[tested]);
    net.finish().unwrap()
}

#[test]
fn differences_of_conv2d() {
    check_differences("3x3", &around(Conv2d::new(4, 5, 3).padding(1), 5), [2, 7, 9]);
    check_differences("1x1", &around(Conv2d::new(4, 5, 1), 5), [2, 5, 6]);
    let odd = Conv2d::new(4, 3, 1).window([3, 2], [2, 1], [0, 1]).without_bias();
    check_differences("3x2 stride 2x1", &around(odd, 3), [2, 8, 6]);
    check_differences("7x7 padding 3", &around(Conv2d::new(4, 3, 7).padding(3), 3), [1, 5, 8]);
}

#[test]
fn differences_of_conv_transpose2d() {
    check_differences("k4 s2", &around(ConvTranspose2d::new(4, 3, 4, 2), 3), [2, 4, 5]);
    check_differences("k4 s2 p1", &around(ConvTranspose2d::bilinear(4, 4, 2).padding(1), 4), [2, 4, 5]);
    check_differences("k2 s2", &around(ConvTranspose2d::new(4, 3, 2, 2), 3), [1, 3, 4]);
}

#[test]
fn differences_of_relu_and_pooling() {
    check_differences("relu", &around(Relu, 4), [2, 6, 5]);
    check_differences("pool", &around(MaxPool2d::new(2, 2), 4), [2, 7, 6]);
    check_differences("overlapping pool", &around(MaxPool2d::new(3, 2).padding(1), 4), [2, 7, 6]);
    check_differences("ceil pool", &around(MaxPool2d::new(2, 2).ceil_mode(), 4), [2, 7, 5]);
}

#[test]
fn differences_of_dropout() {
    check_differences("dropout", &around(Dropout::new(0.5), 4), [2, 6, 5]);
    check_differences("dropout2d", &around(Dropout::channels(0.25), 4), [2, 6, 5]);
}

#[test]
fn differences_of_batch_norm2d() {
    check_differences("batch norm", &around(BatchNorm2d::new(4), 4), [2, 6, 5]);
    // And where nothing before it has parameters.
    let mut net = NetworkBuilder::new("Test", 3);
    let norm = net.add("norm", BatchNorm2d::new(3), &[0]);
    net.add("relu", Relu, &[norm]);
    check_differences("first", &net.finish().unwrap(), [2, 4, 5]);
}

#[test]
fn differences_of_pad() {
    check_differences("pad", &around(Pad::to_multiple(4), 4), [2, 5, 7]);
}

#[test]
fn differences_of_linear_and_flatten() {
    let mut net = NetworkBuilder::new("Test", 3);
    let conv = net.add("conv", Conv2d::new(3, 4, 3).padding(1), &[0]);
    let flat = net.add("flatten", Flatten, &[conv]);
    let hidden = net.add("hidden", Linear::new(4 * 3 * 5, 6), &[flat]);
    let relu = net.add("relu", Relu, &[hidden]);
    net.add("linear", Linear::new(6, 3), &[relu]);
    check_differences("linear", &net.finish().unwrap(), [3, 3, 5]);

    // A flattened map that is the result, so that the order matters.
    let mut net = NetworkBuilder::new("Test", 3);
    let conv = net.add("conv", Conv2d::new(3, 4, 3).padding(1), &[0]);
    net.add("flatten", Flatten, &[conv]);
    check_differences("flatten", &net.finish().unwrap(), [2, 3, 4]);
}

#[test]
fn differences_of_skips() {
    // One value with three readers, two of which could work in place; a sum with itself; joins and crops.
    let mut net = NetworkBuilder::new("Test", 3);
    let first = net.add("first", Conv2d::new(3, 4, 3).padding(1), &[0]);
    let relu = net.add("relu", Relu, &[first]);
    let drop = net.add("drop", Dropout::channels(0.5), &[first]);
    let conv = net.add("conv", Conv2d::new(4, 4, 3), &[first]);
    let crop = net.add("crop", Crop::new(1), &[relu, conv]);
    let sum = net.add("sum", Add, &[crop, conv]);
    let twice = net.add("twice", Add, &[sum, sum]);
    let inner = net.add("inner", Crop::new(2), &[drop, twice]);
    let join = net.add("join", Concat::new(3), &[twice, inner, conv]);
    let same = net.add("same", Crop::new(0), &[join, conv]);
    let join = net.add("join2", Concat::new(2), &[same, join]);
    net.add("last", Conv2d::new(24, 2, 1), &[join]);
    let net = net.finish().unwrap();
    check_differences("skips", &net, [2, 7, 6]);
    let params = params_of(&net);
    let plain = gradients(
        &net,
        &params,
        [2, 7, 6],
        Options { reuse: false, fuse: false, ..Options::default() },
        None,
    );
    let shared = gradients(&net, &params, [2, 7, 6], Options::default(), None);
    assert_eq!(plain.1, shared.1);
}

/// Small versions of all models, with their input.
fn small_models() -> Vec<(ModelSpec, [usize; 3])> {
    let mut models = Vec::new();
    for model in ModelKind::ALL {
        let spec = ModelSpec { width: 0.0625, input: [64, 64], classes: 5, ..ModelSpec::new(model) };
        let hidden = ModelSpec { head: Head::Hidden512, ..spec.clone() };
        let caffe = ModelSpec { geometry: Geometry::Caffe, ..spec.clone() };
        let long = ModelSpec { geometry: Geometry::Long, ..spec.clone() };
        match model {
            ModelKind::Vgg16 | ModelKind::Vgg16Bn => {
                models.push((spec, [2, 64, 64]));
                models.push((hidden, [2, 64, 64]));
            }
            ModelKind::Vgg16Unet => models.push((spec, [2, 37, 50])),
            _ => {
                models.push((spec, [2, 37, 50]));
                models.push((caffe, [1, 37, 50]));
                models.push((long, [1, 38, 41]));
            }
        }
    }
    for bands in [1, 4, 5, 13] {
        let spec = ModelSpec { width: 0.0625, classes: 5, bands, ..ModelSpec::new(ModelKind::Fcn8s) };
        models.push((spec, [2, 37, 50]));
    }
    models
}

#[test]
fn sharing_memory_and_fusing_change_nothing() {
    for (spec, size) in small_models() {
        let net = build(&spec).unwrap();
        let params = params_of(&net);
        let plain =
            gradients(&net, &params, size, Options { reuse: false, fuse: false, ..Options::default() }, None);
        for (reuse, fuse) in [(true, true), (true, false), (false, true)] {
            let other = gradients(&net, &params, size, Options { reuse, fuse, ..Options::default() }, None);
            assert!(
                plain.0.to_bits() == other.0.to_bits(),
                "{spec:?} {reuse} {fuse}: {} {}",
                plain.0,
                other.0
            );
            assert!(plain.1 == other.1, "{spec:?} {reuse} {fuse}");
            assert!(!reuse || other.2 < plain.2, "{spec:?}: {} {}", other.2, plain.2);
        }
        assert!(plain.1.iter().all(|g| g.is_finite()) && plain.0 != 0.0, "{spec:?}");

        let [n, h, w] = size;
        let input = noise(1, n * h * w * spec.bands);
        let mut results = Vec::new();
        for (reuse, fuse) in [(false, false), (true, true)] {
            let mut predictor = Predictor::new(net.clone(), params.clone(), Isa::best()).unwrap();
            predictor.set_options(Options { reuse, fuse, ..Options::default() });
            results.push(predictor.run(n, h, w, &input).unwrap().data.to_vec());
        }
        let mut trainer = Trainer::new(&net, Isa::best(), n, h, w).unwrap();
        results.push(trainer.forward_eval(&params, n, h, w, &input).unwrap().to_vec());
        assert_eq!(results[0], results[1], "{spec:?}");
        assert_eq!(results[0], results[2], "{spec:?}");
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    for (spec, size) in small_models() {
        let net = build(&spec).unwrap();
        let params = params_of(&net);
        let run =
            |threads| Pool::new(threads).install(|| gradients(&net, &params, size, Options::default(), None));
        let one = run(1);
        for threads in [2, 3] {
            let many = run(threads);
            assert!(one.0.to_bits() == many.0.to_bits() && one.1 == many.1, "{spec:?} on {threads} threads");
        }
    }
}

#[test]
fn frozen_parameters_have_no_gradient_and_change_no_other() {
    for model in [ModelKind::Vgg16Bn, ModelKind::Fcn8s] {
        let spec = ModelSpec { width: 0.0625, input: [64, 64], ..ModelSpec::new(model) };
        let net = build(&spec).unwrap();
        let params = params_of(&net);
        let all = gradients(&net, &params, [2, 64, 64], Options::default(), None);
        let frozen: Vec<bool> =
            net.layout().entries.iter().map(|entry| entry.name.starts_with("features.")).collect();
        let some = gradients(&net, &params, [2, 64, 64], Options::default(), Some(&frozen));
        for (entry, frozen) in net.layout().entries.iter().zip(frozen) {
            let (all, some) = (&all.1[entry.range.clone()], &some.1[entry.range.clone()]);
            let same = if frozen { some.iter().all(|g| *g == 0.0) } else { all == some };
            assert!(same, "{}", entry.name);
        }
        assert!(some.2 < all.2, "frozen layers keep nothing: {} {}", some.2, all.2);
    }
}

#[test]
fn computing_values_again_changes_no_bit() {
    let mut smaller = 0;
    for (spec, size) in small_models() {
        let net = build(&spec).unwrap();
        let params = params_of(&net);
        let names = || net.layout().entries.iter().map(|entry| entry.name.as_str());
        let frozen: [Vec<bool>; 4] = [
            names().map(|_| false).collect(),
            names().map(|name| name.starts_with("features.")).collect(),
            names().map(|name| name.starts_with("features.0.")).collect(),
            // A weight in the middle of a chain whose bias is trained, and the other way round.
            names().map(|name| name == "features.2.weight" || name == "features.12.bias").collect(),
        ];
        let [n, h, w] = size;
        let input = noise(1, n * h * w * spec.bands);
        for isa in Isa::available() {
            for frozen in &frozen {
                let mut trainer = Trainer::new(&net, isa, n, h, w).unwrap();
                trainer.freeze(frozen).unwrap();
                let mut step = |recompute: bool, options: Options| {
                    trainer.set_options(options);
                    trainer.recompute(recompute);
                    let mut params = params.clone();
                    let mut grads = vec![f32::NAN; net.layout().total];
                    let loss = &mut weighted_sum;
                    let loss = trainer.step(&mut params, n, h, w, &input, KEY, loss, &mut grads, false);
                    (loss.unwrap(), grads, params.buffers, trainer.arena(), trainer.recomputed())
                };
                let kept = step(false, Options::default());
                assert_eq!(kept.4, 0);
                for (reuse, choose) in [(true, true), (true, false), (false, false)] {
                    let again = step(true, Options { reuse, choose, ..Options::default() });
                    assert!(again.0.to_bits() == kept.0.to_bits(), "{spec:?} {isa:?}");
                    assert!(again.1 == kept.1 && again.2 == kept.2, "{spec:?} {isa:?} {reuse} {choose}");
                    if choose {
                        assert!(again.3 <= kept.3, "{spec:?}: {} {}", again.3, kept.3);
                        smaller += usize::from(again.3 < kept.3);
                    } else if frozen.iter().all(|frozen| !frozen) && spec.model != ModelKind::Vgg16Bn {
                        // Of the trunk alone: features.0, 5, 10, 12, 17, 19, 24 and 26.
                        assert!(
                            again.4 >= if spec.model == ModelKind::Vgg16Unet { 4 } else { 8 },
                            "{spec:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(smaller > 0);
}

#[test]
fn computing_values_again_takes_less_memory() {
    for model in [ModelKind::Vgg16, ModelKind::Fcn8s] {
        // Wide and low enough for the maps to outweigh the packed weights.
        let spec = ModelSpec { width: 0.125, input: [64, 64], ..ModelSpec::new(model) };
        let net = build(&spec).unwrap();
        let arena = |recompute| {
            let mut trainer = Trainer::new(&net, Isa::best(), 8, 64, 64).unwrap();
            trainer.recompute(recompute);
            let mut params = params_of(&net);
            let mut grads = vec![0.0; net.layout().total];
            let input = noise(1, 8 * 64 * 64 * 3);
            trainer.step(&mut params, 8, 64, 64, &input, KEY, &mut weighted_sum, &mut grads, false).unwrap();
            trainer.arena()
        };
        let (kept, again) = (arena(false), arena(true));
        assert!(5 * again < 4 * kept, "{model:?}: {again} of {kept}");
    }
}

#[test]
fn gradients_accumulate() {
    let spec = ModelSpec { width: 0.0625, ..ModelSpec::new(ModelKind::Fcn8s) };
    let net = build(&spec).unwrap();
    let mut params = params_of(&net);
    let mut trainer = Trainer::new(&net, Isa::best(), 1, 32, 32).unwrap();
    let input = noise(1, 32 * 32 * 3);
    let mut once = vec![f32::NAN; net.layout().total];
    let loss = &mut weighted_sum;
    trainer.step(&mut params, 1, 32, 32, &input, KEY, loss, &mut once, false).unwrap();
    let mut twice = once.clone();
    trainer.step(&mut params, 1, 32, 32, &input, KEY, loss, &mut twice, true).unwrap();
    for (a, b) in once.iter().zip(&twice) {
        assert!((2.0 * a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{a} {b}");
    }
}

#[test]
fn predictions_do_not_depend_on_the_batch() {
    for (spec, [_, h, w]) in small_models() {
        let net = build(&spec).unwrap();
        let mut predictor = Predictor::new(net.clone(), params_of(&net), Isa::best()).unwrap();
        let input = noise(1, 5 * h * w * spec.bands);
        let all = predictor.run(5, h, w, &input).unwrap();
        let len = all.shape.len();
        let all = all.data.to_vec();
        for (i, image) in input.chunks(h * w * spec.bands).enumerate() {
            let one = predictor.run(1, h, w, image).unwrap().data;
            assert!(one == &all[i * len..(i + 1) * len], "{spec:?}, image {i}");
        }
    }
}

#[test]
fn features_in_the_middle() {
    let spec = ModelSpec { width: 0.0625, head: Head::Hidden512, ..ModelSpec::new(ModelKind::Vgg16) };
    let net = build(&spec).unwrap();
    let params = params_of(&net);
    let input = noise(1, 2 * 128 * 128 * 3);
    let of = |node: &str| {
        let mut predictor = Predictor::ending_at(net.clone(), params.clone(), Isa::best(), node).unwrap();
        let output = predictor.run(2, 128, 128, &input).unwrap();
        (output.shape, output.data.to_vec())
    };
    // Before the ReLU there are negative numbers, which the fused network never stores.
    let (shape, hidden) = of("fc.0");
    assert_eq!((shape.c, shape.h, shape.w), (32, 1, 1));
    assert!(hidden.iter().any(|x| *x < 0.0));
    let rectified: Vec<f32> = hidden.iter().map(|x| x.max(0.0)).collect();
    assert_eq!(of("fc.1").1, rectified);
    assert_eq!(of("fc.2").1, rectified);
    // A flattened map is in PyTorch's order: channel by channel.
    let (shape, map) = of("features.30");
    let (_, flat) = of("flatten");
    let (pixels, c) = (shape.h * shape.w, shape.c);
    for (i, value) in flat.iter().enumerate() {
        let (image, channel, pixel) = (i / (c * pixels), i / pixels % c, i % pixels);
        assert_eq!(*value, map[(image * pixels + pixel) * c + channel]);
    }
    assert!(Predictor::ending_at(net.clone(), params.clone(), Isa::best(), "fc.9").is_err());
}

#[test]
fn batches_of_other_sizes_and_running_statistics() {
    let spec = ModelSpec { width: 0.0625, input: [32, 32], ..ModelSpec::new(ModelKind::Vgg16Bn) };
    let net = build(&spec).unwrap();
    let mut params = params_of(&net);
    let mut trainer = Trainer::new(&net, Isa::best(), 4, 32, 32).unwrap();
    let mut grads = vec![0.0; net.layout().total];
    let before = params.buffers.clone();
    for (step, n) in [4, 3, 4, 2].into_iter().enumerate() {
        let input = noise(step as u64, n * 32 * 32 * 3);
        let key = StepKey { seed: 1, step: step as u64 };
        trainer.step(&mut params, n, 32, 32, &input, key, &mut weighted_sum, &mut grads, false).unwrap();
    }
    assert_eq!(params.get("features.1.num_batches_tracked"), Some(&[4.0][..]));
    assert_ne!(params.buffers, before);
    assert!(params.get("features.1.running_var").unwrap().iter().all(|x| *x > 0.0));
}

#[test]
fn wrong_buffers_are_refused() {
    let spec = ModelSpec { width: 0.0625, ..ModelSpec::new(ModelKind::Fcn8s) };
    let net = build(&spec).unwrap();
    let mut params = params_of(&net);
    let mut trainer = Trainer::new(&net, Isa::best(), 1, 32, 32).unwrap();
    let mut grads = vec![0.0; net.layout().total];
    let loss = &mut weighted_sum;
    let short = vec![0.0; 5];
    assert!(trainer.step(&mut params, 1, 32, 32, &short, KEY, loss, &mut grads, false).is_err());
    let input = vec![0.0; 32 * 32 * 3];
    assert!(trainer.step(&mut params, 1, 32, 32, &input, KEY, loss, &mut grads[1..], false).is_err());
    let other = build(&ModelSpec { classes: 3, ..spec }).unwrap();
    assert!(Predictor::new(other, params, Isa::best()).is_err());
}
