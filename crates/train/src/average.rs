//! A running average of the weights (exponential moving average, EMA).

use hectare_kernels::{Isa, optim};
use hectare_net::{BufferKind, Params};

/// Averaged weights beside those that are trained.
#[derive(Debug)]
pub(crate) struct Average {
    decay: f64,
    /// The averaged weights and running statistics.
    pub params: Params,
}

impl Average {
    /// An average that begins as `params`.
    pub fn new(decay: f64, params: &Params) -> Average {
        Average { decay, params: params.clone() }
    }

    /// Takes in the weights after `step` (from 1). The decay begins low, at `(1 + step) / (10 + step)`, so that
    /// the start is soon forgotten.
    pub fn update(&mut self, isa: Isa, step: u64, params: &Params) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        optim::average(isa, decay, &params.values, &mut self.params.values);
        optim::average(isa, decay, &params.buffers, &mut self.params.buffers);
        for entry in params.layout.buffers.iter().filter(|entry| entry.kind == BufferKind::BatchesTracked) {
            // A counter has no average.
            let range = entry.range.clone();
            self.params.buffers[range.clone()].copy_from_slice(&params.buffers[range]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_net::{ModelKind, ModelSpec, build, initialise};

    #[test]
    fn follows_weights_and_statistics_but_copies_counters() {
        let spec = ModelSpec { width: 0.03125, ..ModelSpec::new(ModelKind::Vgg16Bn) };
        let network = build(&spec).unwrap();
        let start = initialise(&network, 1);
        let mut average = Average::new(0.99, &start);
        let mut params = start.clone();
        params.values.iter_mut().for_each(|x| *x += 1.0);
        params.buffers.iter_mut().for_each(|x| *x += 2.0);
        average.update(Isa::best(), 1, &params);
        // At step 1 the decay is 2 / 11.
        let moved = |before: f32, by: f32| before + by * 9.0 / 11.0;
        for (after, before) in average.params.values.iter().zip(start.values.iter()) {
            assert!((after - moved(*before, 1.0)).abs() < 1e-6);
        }
        for entry in &params.layout.buffers {
            for at in entry.range.clone() {
                let wanted = match entry.kind {
                    BufferKind::BatchesTracked => params.buffers[at],
                    _ => moved(start.buffers[at], 2.0),
                };
                assert!((average.params.buffers[at] - wanted).abs() < 1e-6, "{}", entry.name);
            }
        }
        average.params = start.clone();
        average.update(Isa::best(), 1_000_000, &params);
        assert!((average.params.values[0] - start.values[0] - 0.01).abs() < 1e-6);
    }
}
