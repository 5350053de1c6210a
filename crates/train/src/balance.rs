//! A pretrained trunk brought to a scale that new layers can be trained on.
//!
//! The published VGG16 weights carry activations whose size differs by two orders of magnitude between layers
//! (root mean squares of about 360 at pool3 and 5 at pool5 for the Caffe weights). A ReLU network computes the
//! same function, up to a factor, when a layer's weights are divided by its activations' size and the next
//! layer's multiplied by it; new layers then see activations of size 1 at every depth, and a step of the
//! optimiser changes every layer in proportion. This is the between-layer part of Krähenbühl et al.,
//! "Data-dependent initializations of convolutional neural networks" (2016).

use hectare_kernels::Isa;
use hectare_net::{ModelKind, ModelSpec, Network, Params, Predictor, build};

use crate::error::TrainError;
use crate::optimiser::in_trunk;

/// Pictures that the sizes are measured on.
pub(crate) const PICTURES: usize = 8;

/// Rescales the convolutions of the trunk (`features.N`) so that the root mean square of every layer's output is
/// 1 on `images` (`n` x `h` x `w` x bands, normalised). Returns the sizes found before, in order.
///
/// Does nothing, and returns nothing, where the trunk is not plain convolutions with ReLU, or a layer is dead.
pub(crate) fn balance_trunk(
    network: &Network,
    params: &mut Params,
    spec: &ModelSpec,
    isa: Isa,
    images: &[f32],
    [n, h, w]: [usize; 3],
) -> Result<Vec<f64>, TrainError> {
    if !params.buffers.is_empty() {
        return Ok(Vec::new());
    }
    let sizes = sizes(network, params, spec, isa, images, [n, h, w])?;
    if !sizes.iter().all(|size| size.is_normal()) {
        return Ok(Vec::new());
    }
    let layout = params.layout.clone();
    let mut before = 1.0;
    for (layer, &size) in trunk_layers(params).iter().zip(&sizes) {
        for entry in layout.entries.iter() {
            let factor = match entry.name.strip_prefix(layer.as_str()) {
                Some(".weight") => before / size,
                Some(".bias") => 1.0 / size,
                _ => continue,
            };
            params.values[entry.range.clone()].iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
        }
        before = size;
    }
    Ok(sizes)
}

/// Names of the trunk's convolutions, in order.
fn trunk_layers(params: &Params) -> Vec<String> {
    let names = params.layout.entries.iter().filter(|entry| in_trunk(&entry.name));
    names.filter_map(|entry| entry.name.strip_suffix(".weight").map(str::to_string)).collect()
}

/// The root mean square of each layer's output after its ReLU.
fn sizes(
    network: &Network,
    params: &Params,
    spec: &ModelSpec,
    isa: Isa,
    images: &[f32],
    [n, h, w]: [usize; 3],
) -> Result<Vec<f64>, TrainError> {
    // The trunk alone, so that large new layers are neither copied nor planned.
    let mut trunk_spec = ModelSpec::new(ModelKind::Vgg16);
    (trunk_spec.width, trunk_spec.bands, trunk_spec.input) = (spec.width, spec.bands, [h, w]);
    trunk_spec.classes = 2;
    let trunk = build(&trunk_spec).map_err(TrainError::net)?;
    let mut trunk_params = Params::zeroed(trunk.layout().clone());
    for entry in trunk.layout().entries.iter().filter(|entry| in_trunk(&entry.name)) {
        let values = params.get(&entry.name).filter(|values| values.len() == entry.range.len());
        let Some(values) = values else { return Ok(Vec::new()) };
        trunk_params.values[entry.range.clone()].copy_from_slice(values);
    }
    let mut sizes = Vec::new();
    for layer in trunk_layers(params) {
        let number: Option<usize> = layer.strip_prefix("features.").and_then(|number| number.parse().ok());
        let Some(relu) = number.map(|number| format!("features.{}", number + 1)) else {
            return Ok(Vec::new());
        };
        if network.node_index(&relu).is_none() {
            return Ok(Vec::new());
        }
        let mut predictor =
            Predictor::ending_at(trunk.clone(), trunk_params.clone(), isa, &relu).map_err(TrainError::net)?;
        let output = predictor.run(n, h, w, images).map_err(TrainError::net)?;
        let sum: f64 = output.data.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        sizes.push((sum / output.data.len().max(1) as f64).sqrt());
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_net::initialise;

    #[test]
    fn activations_get_size_one_and_predictions_keep_their_order() {
        let mut spec = ModelSpec::new(ModelKind::Fcn8s);
        spec.width = 0.0625;
        let network = build(&spec).unwrap();
        let mut params = initialise(&network, 3);
        for (i, x) in params.values.iter_mut().enumerate() {
            *x += 0.01 * ((i % 7) as f32 - 3.0);
        }
        let images: Vec<f32> = (0..2 * 64 * 64 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 30.0).collect();
        let isa = Isa::best();
        let run = |params: &Params, node: &str| {
            let mut predictor = Predictor::ending_at(network.clone(), params.clone(), isa, node).unwrap();
            predictor.run(2, 64, 64, &images).unwrap().data.to_vec()
        };
        let before = run(&params, "features.29");
        let sizes = balance_trunk(&network, &mut params, &spec, isa, &images, [2, 64, 64]).unwrap();
        assert_eq!(sizes.len(), 13);
        let after = run(&params, "features.29");
        for (a, b) in after.iter().zip(&before) {
            assert!((f64::from(*a) * sizes[12] - f64::from(*b)).abs() < 1e-4 * sizes[12], "{a} {b}");
        }
        for node in ["features.1", "features.15", "features.29"] {
            let data = run(&params, node);
            let rms = (data.iter().map(|x| x * x).sum::<f32>() / data.len() as f32).sqrt();
            assert!((rms - 1.0).abs() < 1e-3, "{node} {rms}");
        }
        let again = balance_trunk(&network, &mut params, &spec, isa, &images, [2, 64, 64]).unwrap();
        assert!(again.iter().all(|size| (size - 1.0).abs() < 1e-3));
    }
}
