//! Whole networks with products in bf16, against the same in f32.

use hectare_kernels::Isa;
use hectare_kernels::rng::Key;
use hectare_net::{ModelKind, ModelSpec, Predictor, StepKey, Trainer, build, initialise};

/// Uniform in -1..1.
fn noise(stream: u64, len: usize) -> Vec<f32> {
    let sequence = Key { seed: 11, stream, step: 0 }.sequence();
    (0..len).map(|i| 2.0 * sequence.f32(i as u64) - 1.0).collect()
}

/// Cosine of the angle between two vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn results_and_gradients_point_where_those_in_f32_do() {
    // (Says nothing on a machine without the unit.)
    let Some(bf16) = Isa::bf16() else { return };
    let f32s = *Isa::available().last().unwrap();
    // Half of the width: every layer but the first and the scores has whole tiles of channels.
    let spec = ModelSpec { width: 0.5, ..ModelSpec::new(ModelKind::Fcn8s) };
    let net = build(&spec).unwrap();
    let params = initialise(&net, 1);
    let [n, h, w] = [2, 70, 101];
    let input = noise(1, n * h * w * 3);
    let predict = |isa: Isa| {
        let mut predictor = Predictor::new(net.clone(), params.clone(), isa).unwrap();
        predictor.run(n, h, w, &input).unwrap().data.to_vec()
    };
    let (want, got) = (predict(f32s), predict(bf16));
    let close = cosine(&want, &got);
    assert!(want != got && close > 0.9995, "{close}");

    let gradient = |isa: Isa| {
        let mut trainer = Trainer::new(&net, isa, n, h, w).unwrap();
        let mut grads = vec![f32::NAN; net.layout().total];
        let mut weighted_sum = |logits: &[f32], dlogits: &mut [f32]| {
            dlogits.copy_from_slice(&noise(7, logits.len()));
            logits.iter().zip(dlogits).map(|(x, g)| f64::from(*x) * f64::from(*g)).sum()
        };
        let key = StepKey { seed: 5, step: 3 };
        trainer
            .step(&mut params.clone(), n, h, w, &input, key, &mut weighted_sum, &mut grads, false)
            .unwrap();
        grads
    };
    let (want, got) = (gradient(f32s), gradient(bf16));
    for entry in &net.layout().entries {
        let (want, got) = (&want[entry.range.clone()], &got[entry.range.clone()]);
        if want.iter().any(|x| *x != 0.0) {
            let close = cosine(want, got);
            assert!(close > 0.95, "{}: {close}", entry.name);
        }
    }
}
