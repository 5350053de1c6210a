//! A number added to the scores of each class.

use std::sync::Arc;

use crate::{ModelSpec, NetError, Params, Role, build};

/// What [`build`] takes, and the numbers, of the network of `spec` with `offsets`, one for each class, added to its scores: by the bias of its last layer, which an
/// FCN's last upsampling is given where it has none ([`ModelSpec::output_bias`]).
///
/// # Errors
/// When the network cannot be built.
///
/// # Panics
/// When `params` are another network's, or there is not one offset for each class.
pub fn offset_scores(
    spec: &ModelSpec,
    params: &Params,
    offsets: &[f32],
) -> Result<(ModelSpec, Params), NetError> {
    assert_eq!(offsets.len(), spec.classes, "one offset for each class");
    let spec = ModelSpec { output_bias: spec.model.is_fcn(), ..spec.clone() };
    let network = build(&spec)?;
    let mut shifted = Params::zeroed(Arc::clone(network.layout()));
    shifted.buffers.copy_from_slice(&params.buffers);
    for entry in &network.layout().entries {
        if let Some(values) = params.get(&entry.name) {
            shifted.values[entry.range.clone()].copy_from_slice(values);
        }
    }
    let last = network.layout().entries.last().filter(|entry| entry.role == Role::Bias);
    let last = last.expect("every model ends in a layer with a bias").range.clone();
    shifted.values[last].iter_mut().zip(offsets).for_each(|(bias, offset)| *bias += offset);
    Ok((spec, shifted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelKind, Predictor, initialise};
    use hectare_kernels::Isa;

    #[test]
    fn scores_move_by_the_offsets() {
        let offsets = [0.5, -2.0, 0.0, 1.25];
        for model in ModelKind::ALL {
            let spec = ModelSpec { classes: 4, width: 0.03125, input: [32, 32], ..ModelSpec::new(model) };
            let network = build(&spec).unwrap();
            let params = initialise(&network, 3);
            let input: Vec<f32> = (0..3 * 32 * 32).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            let scores = |spec: &ModelSpec, params: Params| {
                let mut predictor = Predictor::new(build(spec).unwrap(), params, Isa::best()).unwrap();
                predictor.run(1, 32, 32, &input).unwrap().data.to_vec()
            };
            let (shifted_spec, shifted) = offset_scores(&spec, &params, &offsets).unwrap();
            // Twice is the sum.
            let (_, twice) = offset_scores(&shifted_spec, &shifted, &offsets).unwrap();
            let before = scores(&spec, params);
            for (times, after) in [(1.0, scores(&shifted_spec, shifted)), (2.0, scores(&shifted_spec, twice))]
            {
                for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                    let expected = before + times * offsets[i % 4];
                    assert!((after - expected).abs() < 1e-4, "{model} {i}: {after} for {expected}");
                }
            }
        }
    }
}
