//! Lovász-softmax (Berman, Triki and Blaschko 2018): the mean intersection over union as a loss.

use super::region::{add_gradient, counts};
use super::{IGNORE, softmax};
use crate::Isa;
use crate::threads::{SharedMut, parallel_chunks_mut};

/// The Lovász extension of one minus the intersection over union, averaged over the classes that `labels` hold, of
/// the probabilities of `logits` (P x `classes`), over all pixels at once. Ignored pixels count nowhere; 0 if all
/// are. If wanted, `scale` times the gradient is added to the logits' gradient.
///
/// A class's errors, `1 - p` at its own pixels and `p` at others, are sorted, the largest first (the first pixel of
/// equals), and weighted by how much the Jaccard loss grows with each.
///
/// # Panics
/// When a length does not fit, a label is neither a class nor [`IGNORE`], or there are 2^32 pixels.
pub fn lovasz_softmax(
    isa: Isa,
    classes: usize,
    logits: &[f32],
    labels: &[u16],
    gradient: Option<(&mut [f32], f64)>,
) -> f64 {
    assert_eq!(logits.len(), labels.len() * classes);
    assert!(u32::try_from(labels.len()).is_ok());
    let counts = counts(classes, labels);
    let present = counts.iter().filter(|count| **count > 0).count();
    if present == 0 {
        return 0.0;
    }
    let pixels = labels.len();
    let mut probabilities = vec![0.0; logits.len()];
    softmax(isa, logits, classes, &mut probabilities);
    // The loss's derivative by each probability, class by class.
    let mut slopes = vec![0.0_f32; if gradient.is_some() { logits.len() } else { 0 }];
    let width = slopes.len() / classes;
    let mut losses = vec![0.0; classes];
    let shared = SharedMut::new(&mut slopes);
    parallel_chunks_mut(&mut losses, 1, |class, loss| {
        if counts[class] > 0 {
            // SAFETY: each class has its own row.
            let slopes = unsafe { shared.slice(class * width..(class + 1) * width) };
            let p = |pixel: usize| probabilities[pixel * classes + class];
            loss[0] = of_class(class, counts[class], p, labels, slopes);
        }
    });
    let share = 1.0 / present as f64;
    if let Some((dlogits, scale)) = gradient {
        assert_eq!(dlogits.len(), logits.len());
        add_gradient(&probabilities, labels, classes, dlogits, scale * share, |pixel, class| {
            f64::from(slopes[class * pixels + pixel])
        });
    }
    losses.iter().sum::<f64>() * share
}

/// The loss of one class with `count` pixels, and its derivatives (where `slopes` is not empty).
fn of_class(class: usize, count: u64, p: impl Fn(usize) -> f32, labels: &[u16], slopes: &mut [f32]) -> f64 {
    // Sorted numbers hold the error's bits, which rise with the error, and the pixel; no two are equal, so that
    // there is one order only.
    let mut errors = Vec::with_capacity(labels.len());
    for (pixel, &label) in labels.iter().enumerate().filter(|(_, label)| **label != IGNORE) {
        let error = if usize::from(label) == class { 1.0 - p(pixel) } else { p(pixel) };
        errors.push(u64::from(!error.to_bits()) << 32 | pixel as u64);
    }
    errors.sort_unstable();
    let (mut inside, mut outside, mut before, mut loss) = (0_u64, 0_u64, 0.0, 0.0);
    for key in errors {
        let (error, pixel) = (f32::from_bits(!((key >> 32) as u32)), key as u32 as usize);
        let own = usize::from(labels[pixel]) == class;
        inside += u64::from(own);
        outside += u64::from(!own);
        let jaccard = 1.0 - (count - inside) as f64 / (count + outside) as f64;
        let growth = jaccard - before;
        before = jaccard;
        loss += f64::from(error) * growth;
        if let Some(slope) = slopes.get_mut(pixel) {
            *slope = if own { -growth } else { growth } as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{check_region_loss, check_region_loss_bits, softmax_f64};
    use crate::testing::normal;

    /// Berman's algorithm in its own words: cumulative sums over sorted errors.
    fn naive(classes: usize, logits: &[f64], labels: &[u16]) -> f64 {
        let p = softmax_f64(logits, classes);
        let mut losses = Vec::new();
        for class in 0..classes {
            let counted: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] != IGNORE).collect();
            let own = |i: usize| f64::from(u8::from(usize::from(labels[i]) == class));
            let mut sorted: Vec<(f64, f64)> =
                counted.iter().map(|&i| ((own(i) - p[i * classes + class]).abs(), own(i))).collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
            let all: f64 = sorted.iter().map(|(_, own)| own).sum();
            if all == 0.0 {
                continue;
            }
            let jaccard = |k: usize| {
                let inside: f64 = sorted[..k].iter().map(|(_, own)| own).sum();
                1.0 - (all - inside) / (all + k as f64 - inside)
            };
            let terms = sorted.iter().enumerate().map(|(k, (e, _))| e * (jaccard(k + 1) - jaccard(k)));
            losses.push(terms.sum::<f64>());
        }
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    #[test]
    fn losses_and_gradients() {
        check_region_loss(lovasz_softmax, naive);
    }

    #[test]
    fn hard_masks_give_the_jaccard_loss() {
        for isa in Isa::available() {
            // Certain predictions 0 0 1 1 against 0 1 1 1: intersections 1 and 2, unions 2 and 3.
            let x = [90.0, 0.0, 90.0, 0.0, 0.0, 90.0, 0.0, 90.0];
            let value = lovasz_softmax(isa, 2, &x, &[0, 1, 1, 1], None);
            assert!((value - (1.0 / 2.0 + 1.0 / 3.0) / 2.0).abs() < 1e-6, "{value}");
            assert!(lovasz_softmax(isa, 2, &x, &[0, 0, 1, 1], None) < 1e-6);
            let mut grad = vec![3.0; 6];
            assert_eq!(lovasz_softmax(isa, 2, &[f32::NAN; 6], &[IGNORE; 3], Some((&mut grad, 1.0))), 0.0);
            assert_eq!(grad, [3.0; 6]);
            assert!(lovasz_softmax(isa, 2, &[f32::NAN; 2], &[0], None).is_nan());
        }
    }

    #[test]
    fn bits_over_several_tasks_and_equal_errors() {
        // Logits of few values, so that many errors are equal.
        let logits: Vec<f32> = normal(1, 7 * 20_011).iter().map(|x| x.round()).collect();
        check_region_loss_bits(lovasz_softmax, &logits);
    }
}
