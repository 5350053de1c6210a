//! How a new network's parameters start.

use std::sync::Arc;

use hectare_kernels::rng::{Key, fill_normal};

use crate::ops::Init;
use crate::{Network, Params};

/// New parameters: normal with He et al.'s variance, biases zero, upsampling bilinear.
///
/// Each parameter's numbers are drawn from `seed` and its name, so that they do not depend on what else is
/// in the network.
pub fn initialise(net: &Network, seed: u64) -> Params {
    let mut params = Params::zeroed(Arc::clone(net.layout()));
    for entry in &net.layout().entries {
        let values = &mut params.values[entry.range.clone()];
        match entry.init {
            Init::He { fan_in } => {
                let key = Key { seed, stream: name_hash(&entry.name), step: 0 };
                fill_normal(&key, (2.0 / fan_in as f64).sqrt() as f32, values);
            }
            Init::Bilinear => bilinear(&entry.shape, values),
            Init::Zeros => values.fill(0.0),
            Init::Ones => values.fill(1.0),
        }
    }
    params
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo).
fn name_hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Bilinear interpolation as a transposed convolution [C, C, k, k]: a triangle in each direction on the
/// diagonal, zeros elsewhere (Long et al. 2015).
fn bilinear(shape: &[usize], values: &mut [f32]) {
    let &[inputs, outputs, kh, kw] = shape else { unreachable!("a transposed convolution has four sides") };
    let triangle = |k: usize, i: usize| {
        let factor = k.div_ceil(2) as f64;
        let centre = if k % 2 == 1 { factor - 1.0 } else { factor - 0.5 };
        1.0 - (i as f64 - centre).abs() / factor
    };
    values.fill(0.0);
    for channel in 0..inputs.min(outputs) {
        for y in 0..kh {
            for x in 0..kw {
                let at = ((channel * outputs + channel) * kh + y) * kw + x;
                values[at] = (triangle(kh, y) * triangle(kw, x)) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelKind, ModelSpec, build};

    #[test]
    fn starts_as_described() {
        let spec = ModelSpec { width: 0.125, ..ModelSpec::new(ModelKind::Fcn8s) };
        let net = build(&spec).unwrap();
        let params = initialise(&net, 1);
        assert!(params.get("features.0.bias").unwrap().iter().all(|x| *x == 0.0));
        assert!(params.get("score_pool4.weight").unwrap().iter().all(|x| *x != 0.0));
        let weights = params.get("fcn.3.weight").unwrap();
        let variance = weights.iter().map(|x| f64::from(x * x)).sum::<f64>() / weights.len() as f64;
        assert!((variance / (2.0 / 512.0) - 1.0).abs() < 0.02, "{variance}");
        let up = params.get("upscore2.weight").unwrap();
        assert_eq!(up[..4], [0.0625, 0.1875, 0.1875, 0.0625]);
        assert!(up[16..7 * 16].iter().all(|x| *x == 0.0));
        assert_eq!(up[8 * 16..8 * 16 + 4], up[..4]);
        let same = initialise(&net, 1);
        assert_eq!(same, params);
        let other = initialise(&net, 2);
        assert_ne!(other.values, params.values);
    }
}
