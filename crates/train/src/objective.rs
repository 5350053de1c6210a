//! The loss of a step: cross-entropy, and a loss of regions beside it where the settings ask for one.

use hectare_kernels::loss::{CrossEntropy, LossValue, cross_entropy, dice, lovasz_softmax};
use hectare_kernels::{Isa, elementwise};

use crate::config::RegionKind;

/// The loss of some batches that make one step.
pub(crate) struct Objective<'a> {
    pub cross_entropy: CrossEntropy<'a>,
    /// The loss of regions that counts at this step.
    pub region: Option<RegionKind>,
    /// Share of one batch in the mean over the regions' losses: one over their number.
    pub region_share: f64,
}

impl Objective<'_> {
    /// The loss of one batch, whose targets have `share` of the weight of all. Fills `gradient` with its part of the
    /// gradient of the mean over all batches. The sum in the result includes the loss of regions, times the weight.
    pub fn evaluate(
        &self,
        isa: Isa,
        logits: &[f32],
        labels: &[u16],
        share: f64,
        gradient: &mut [f32],
    ) -> LossValue {
        let mut value = cross_entropy(isa, &self.cross_entropy, logits, labels, Some(&mut *gradient));
        if share != 1.0 {
            elementwise::scale(isa, gradient, share as f32);
        }
        let region = match self.region {
            Some(RegionKind::Lovasz) => lovasz_softmax,
            Some(RegionKind::Dice) => dice,
            None => return value,
        };
        let classes = self.cross_entropy.classes;
        value.sum += value.weight * region(isa, classes, logits, labels, Some((gradient, self.region_share)));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::loss::IGNORE;

    #[test]
    fn terms_add_up() {
        let isa = Isa::best();
        let logits: Vec<f32> = (0..9 * 3).map(|i| ((i * 7 % 11) as f32 - 5.0) / 3.0).collect();
        let labels = [0, 1, 2, 2, 1, 0, IGNORE, 1, 1];
        let plain = CrossEntropy { classes: 3, weights: Some(&[1.0, 2.0, 0.5]), label_smoothing: 0.1 };
        let mut expected = vec![0.0; logits.len()];
        let value = cross_entropy(isa, &plain, &logits, &labels, Some(&mut expected));
        expected.iter_mut().for_each(|x| *x *= 0.5);
        let region = dice(isa, 3, &logits, &labels, Some((&mut expected, 0.25)));
        let objective =
            Objective { cross_entropy: plain, region: Some(RegionKind::Dice), region_share: 0.25 };
        let mut gradient = vec![f32::NAN; logits.len()];
        let found = objective.evaluate(isa, &logits, &labels, 0.5, &mut gradient);
        assert!((found.mean() - value.mean() - region).abs() < 1e-12);
        assert_eq!((found.weight, gradient), (value.weight, expected));
        let objective = Objective { region: None, ..objective };
        let found = objective.evaluate(isa, &logits, &labels, 1.0, &mut vec![0.0; logits.len()]);
        assert_eq!(found, value);
    }
}
