//! Networks written as ONNX, applied by another engine.

use hectare_kernels::Isa;
use hectare_net::onnx::{Ending, OnnxError, Options, Pixels, encode};
use hectare_net::ops::{Backward, Forward, Operation};
use hectare_net::{
    Geometry, Head, ModelCard, ModelKind, ModelSpec, Network, NetworkBuilder, Params, Predictor, Shape,
    build, initialise,
};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

fn spec(model: ModelKind) -> ModelSpec {
    ModelSpec { width: 0.0625, input: [64, 64], ..ModelSpec::new(model) }
}

/// All models, both heads, all geometries, a light head and other bands than three.
fn specs() -> Vec<ModelSpec> {
    let fcns = [ModelKind::Fcn32s, ModelKind::Fcn16s, ModelKind::Fcn8s];
    let [caffe, long] = [Geometry::Caffe, Geometry::Long]
        .map(|geometry| fcns.map(|model| ModelSpec { geometry, ..spec(model) }));
    let hidden = ModelSpec { head: Head::Hidden512, ..spec(ModelKind::Vgg16) };
    let light = ModelSpec { head_width: 1024, head_kernel: 3, ..spec(ModelKind::Fcn8s) };
    let bands = [1, 4, 5].map(|bands| ModelSpec { bands, ..spec(ModelKind::Fcn8s) });
    ModelKind::ALL
        .into_iter()
        .map(spec)
        .chain(caffe)
        .chain(long)
        .chain([hidden, light])
        .chain(bands)
        .collect()
}

/// The network, with biases and statistics that are not a new network's.
fn lively(spec: &ModelSpec) -> (ModelCard, Network, Params) {
    let network = build(spec).unwrap();
    let mut params = initialise(&network, 5);
    for (i, bias) in params.values.iter_mut().enumerate() {
        *bias += 0.02 * ((i % 11) as f32 - 5.0) / 5.0;
    }
    for (i, statistic) in params.buffers.iter_mut().enumerate() {
        *statistic += 0.1 + (i % 7) as f32 / 20.0;
    }
    (ModelCard::new(spec.clone()), network, params)
}

/// Pixels of 0 to 255, N, H, W, C.
fn picture(n: usize, h: usize, w: usize, bands: usize) -> Vec<f32> {
    (0..n * h * w * bands).map(|i| ((i * 37 + i / 91 * 13) % 256) as f32).collect()
}

/// N, H, W, C to N, C, H, W.
fn planes(values: &[f32], n: usize, channels: usize) -> Vec<f32> {
    let pixels = values.len() / n / channels;
    let at = |i: usize| {
        let (image, channel, pixel) = (i / (channels * pixels), i / pixels % channels, i % pixels);
        values[(image * pixels + pixel) * channels + channel]
    };
    (0..values.len()).map(at).collect()
}

fn softmax(planes: &mut [f32], n: usize, classes: usize) {
    let pixels = planes.len() / n / classes;
    for (image, pixel) in (0..n).flat_map(|image| (0..pixels).map(move |pixel| (image, pixel))) {
        let at = |class: usize| (image * classes + class) * pixels + pixel;
        let most = (0..classes).map(|class| planes[at(class)]).fold(f32::MIN, f32::max);
        let sum: f32 = (0..classes).map(|class| (planes[at(class)] - most).exp()).sum();
        (0..classes).for_each(|class| planes[at(class)] = (planes[at(class)] - most).exp() / sum);
    }
}

#[test]
fn another_engine_gives_the_same_numbers() {
    for spec in specs() {
        let (card, network, params) = lively(&spec);
        let mut predictor = Predictor::new(network.clone(), params.clone(), Isa::best()).unwrap();
        let sizes = match spec.model.is_classifier() {
            true => [(2, 64, 64), (1, 64, 64)],
            // The second is padded in geometry caffe too, by all but FCN8s: 54 and 33 leave 22 and 1.
            false => [(2, 64, 90), (1, 54, 33)],
        };
        for (ending, pixels) in [
            (Ending::Logits, Pixels::Normalised),
            (Ending::Softmax, Pixels::Unit),
            (Ending::Softmax, Pixels::Bytes),
        ] {
            let options = Options { ending, pixels, tile: None };
            let bytes = encode(&card, &network, &params, &options).unwrap();
            let model = rten::Model::load(bytes).unwrap();
            for (n, h, w) in sizes {
                let c = spec.bands;
                let raw = picture(n, h, w, c);
                let normalised: Vec<f32> = raw
                    .iter()
                    .enumerate()
                    .map(|(i, x)| {
                        (x / 255.0 - card.normalisation.mean[i % c]) / card.normalisation.std[i % c]
                    })
                    .collect();
                let given = match pixels {
                    Pixels::Normalised => normalised.clone(),
                    Pixels::Unit => raw.iter().map(|x| x / 255.0).collect(),
                    Pixels::Bytes => raw,
                };
                let ours = predictor.run(n, h, w, &normalised).unwrap().data;
                let mut wanted = planes(ours, n, spec.classes);
                if ending == Ending::Softmax {
                    softmax(&mut wanted, n, spec.classes);
                }
                let given = NdTensor::from_data([n, c, h, w], planes(&given, n, c));
                let got: Tensor<f32> = model.run_one(given.into(), None).unwrap().try_into().unwrap();
                assert_eq!(got.len(), wanted.len());
                let scale = wanted.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
                for (got, wanted) in got.iter().zip(&wanted) {
                    assert!(
                        (got - wanted).abs() <= 1e-4 * scale,
                        "{spec:?} {options:?} {h}x{w}: {got} not {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_tile_that_does_not_fit_is_refused() {
    let (card, network, params) = lively(&ModelSpec { geometry: Geometry::Caffe, ..spec(ModelKind::Fcn8s) });
    let options = |side| Options { tile: Some(side), ..Options::default() };
    let error = encode(&card, &network, &params, &options(25)).unwrap_err();
    assert!(error.to_string().contains("no side may be under 26"), "{error}");
    encode(&card, &network, &params, &options(26)).unwrap();
}

/// An operation that no format has.
#[derive(Debug)]
struct Own;

impl Operation for Own {
    fn kind(&self) -> &'static str {
        "Own"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn flops(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }

    fn forward(&self, _args: Forward<'_>) {}

    fn backward(&self, _args: Backward<'_>) {}
}

#[test]
fn an_operation_that_is_not_in_the_format_is_refused() {
    let mut net = NetworkBuilder::new("Net", 3);
    net.add("own", Own, &[0]);
    let network = net.finish().unwrap();
    let params = initialise(&network, 1);
    let card = ModelCard::new(spec(ModelKind::Fcn8s));
    assert_eq!(
        encode(&card, &network, &params, &Options::default()),
        Err(OnnxError::Operation { node: "own".into(), kind: "Own" })
    );
}
