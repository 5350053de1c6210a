//! Soft Dice loss (Milletari, Navab and Ahmadi 2016, with sums instead of squares as in Drozdzal et al. 2016).

use super::region::{add_gradient, counts};
use super::{IGNORE, softmax};
use crate::Isa;
use crate::chunks::{collect, rows_per_task};

/// One minus the soft Dice coefficient, `2 sum p y / (sum p + sum y)`, averaged over the classes that `labels`
/// hold; `p` are the probabilities of `logits` (P x `classes`), `y` is 1 at the pixels of the class. Ignored
/// pixels count nowhere; 0 if all are. If wanted, `scale` times the gradient is added to the logits' gradient.
///
/// # Panics
/// When a length does not fit or a label is neither a class nor [`IGNORE`].
pub fn dice(
    isa: Isa,
    classes: usize,
    logits: &[f32],
    labels: &[u16],
    gradient: Option<(&mut [f32], f64)>,
) -> f64 {
    assert_eq!(logits.len(), labels.len() * classes);
    let counts = counts(classes, labels);
    let present = counts.iter().filter(|count| **count > 0).count();
    if present == 0 {
        return 0.0;
    }
    let mut probabilities = vec![0.0; logits.len()];
    softmax(isa, logits, classes, &mut probabilities);
    // For each class the probability where it should be, and everywhere.
    let parts: Vec<Vec<f64>> = collect(labels.len(), rows_per_task(classes), |range| {
        let mut sums = vec![0.0; 2 * classes];
        for pixel in range.filter(|pixel| labels[*pixel] != IGNORE) {
            let probabilities = &probabilities[pixel * classes..][..classes];
            sums[usize::from(labels[pixel])] += f64::from(probabilities[usize::from(labels[pixel])]);
            for (sum, p) in sums[classes..].iter_mut().zip(probabilities) {
                *sum += f64::from(*p);
            }
        }
        sums
    });
    let sum = |at: usize| parts.iter().map(|part| part[at]).sum::<f64>();
    let both: Vec<f64> = (0..classes).map(sum).collect();
    let all: Vec<f64> = (0..classes).map(|class| sum(classes + class) + counts[class] as f64).collect();
    let share = |class: usize| if counts[class] > 0 { 1.0 / present as f64 } else { 0.0 };
    if let Some((dlogits, scale)) = gradient {
        assert_eq!(dlogits.len(), logits.len());
        add_gradient(&probabilities, labels, classes, dlogits, scale, |pixel, class| {
            if counts[class] == 0 {
                return 0.0;
            }
            let inside = if usize::from(labels[pixel]) == class { 1.0 } else { 0.0 };
            2.0 * share(class) * (both[class] / all[class] - inside) / all[class]
        });
    }
    (0..classes).filter(|class| counts[*class] > 0).map(|c| share(c) * (1.0 - 2.0 * both[c] / all[c])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{check_region_loss, check_region_loss_bits, softmax_f64};
    use crate::testing::normal;

    /// The documented formula, class by class.
    fn naive(classes: usize, logits: &[f64], labels: &[u16]) -> f64 {
        let p = softmax_f64(logits, classes);
        let mut losses = Vec::new();
        for class in 0..classes {
            let counted = (0..labels.len()).filter(|i| labels[*i] != IGNORE);
            let (mut both, mut all, mut any) = (0.0, 0.0, false);
            for i in counted {
                let y = if usize::from(labels[i]) == class { 1.0 } else { 0.0 };
                both += p[i * classes + class] * y;
                all += p[i * classes + class] + y;
                any |= y == 1.0;
            }
            if any {
                losses.push(1.0 - 2.0 * both / all);
            }
        }
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    #[test]
    fn losses_and_gradients() {
        check_region_loss(dice, naive);
    }

    #[test]
    fn right_is_none_and_wrong_is_all() {
        for isa in Isa::available() {
            let x = [40.0, 0.0, 0.0, 40.0, 40.0, 0.0];
            assert!(dice(isa, 2, &x, &[0, 1, 0], None) < 1e-6);
            assert!(dice(isa, 2, &x, &[1, 0, 1], None) > 1.0 - 1e-6);
            let mut grad = vec![3.0; 6];
            assert_eq!(dice(isa, 2, &[f32::NAN; 6], &[IGNORE; 3], Some((&mut grad, 1.0))), 0.0);
            assert_eq!(grad, [3.0; 6]);
        }
    }

    #[test]
    fn bits_over_several_tasks() {
        check_region_loss_bits(dice, &normal(1, 7 * 20_011));
    }
}
