//! Softmax and cross-entropy, fused.

use super::softmax::{Block, LANES};
use super::{IGNORE, LossValue};
use crate::Isa;
use crate::chunks::{CHUNK, collect, rows_per_task};
use crate::dispatch::dispatch;
use crate::math::ln_normal;
use crate::simd::Simd;
use crate::threads::SharedMut;

/// What the loss is, as `torch.nn.CrossEntropyLoss` with mean reduction defines it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy<'a> {
    /// Number of classes.
    pub classes: usize,
    /// A weight for each class; all 1 where absent.
    pub weights: Option<&'a [f32]>,
    /// Share of the target that is spread evenly over all classes.
    pub label_smoothing: f32,
}

/// The loss of `logits` (P x `classes`) against `labels` (P class numbers or [`IGNORE`]) and, if wanted,
/// the gradient of its mean into `dlogits` (overwritten).
///
/// With target `y`, weights `w` and smoothing `e` over `C` classes, a pixel's loss is
/// `-(1 - e) w[y] log p[y] - e / C * sum_c w[c] log p[c]`, and the mean divides by the sum of `w[y]`.
/// Ignored pixels count nowhere; if all are ignored the mean is 0 and the gradient 0.
///
/// # Panics
/// When a length does not fit or a label is neither a class nor [`IGNORE`].
pub fn cross_entropy(
    isa: Isa,
    loss: &CrossEntropy<'_>,
    logits: &[f32],
    labels: &[u16],
    dlogits: Option<&mut [f32]>,
) -> LossValue {
    let c = loss.classes;
    assert_eq!(logits.len(), labels.len() * c);
    assert!(loss.weights.is_none_or(|weights| weights.len() == c));
    let ones;
    let weights = match loss.weights {
        Some(weights) => weights,
        None => {
            ones = vec![1.0; c];
            &ones
        }
    };
    let rows = rows_per_task(c).next_multiple_of(LANES);
    let weight = target_weight(loss.weights, labels);
    let smoothing = f64::from(loss.label_smoothing);
    let terms = Terms {
        weights,
        hard: 1.0 - smoothing,
        soft: smoothing / c.max(1) as f64,
        all: weights.iter().map(|&w| f64::from(w)).sum(),
        scale: if weight == 0.0 { 0.0 } else { 1.0 / weight },
    };
    let sums = match dlogits {
        None => collect(labels.len(), rows, |range| {
            let logits = &logits[range.start * c..range.end * c];
            cross_entropy_part(isa, &terms, logits, &labels[range], &mut [])
        }),
        Some(dlogits) => {
            assert_eq!(dlogits.len(), logits.len());
            let dlogits = SharedMut::new(dlogits);
            collect(labels.len(), rows, |range| {
                let numbers = range.start * c..range.end * c;
                // SAFETY: each task has its own rows.
                let dlogits = unsafe { dlogits.slice(numbers.clone()) };
                cross_entropy_part(isa, &terms, &logits[numbers], &labels[range], dlogits)
            })
        }
    };
    LossValue { sum: sums.iter().sum(), weight }
}

/// The sum of the weights of the targets, by which the mean divides; ignored pixels weigh nothing.
///
/// # Panics
/// When a label is neither a class nor [`IGNORE`].
pub fn target_weight(weights: Option<&[f32]>, labels: &[u16]) -> f64 {
    let of = |y: u16| weights.map_or(1.0, |weights| f64::from(weights[usize::from(y)]));
    let sum = |range: std::ops::Range<usize>| {
        labels[range].iter().filter(|&&y| y != IGNORE).map(|&y| of(y)).sum::<f64>()
    };
    collect(labels.len(), CHUNK, sum).iter().sum()
}

/// The constants of a loss.
struct Terms<'a> {
    weights: &'a [f32],
    /// 1 - smoothing
    hard: f64,
    /// smoothing / C
    soft: f64,
    /// Sum of the weights of all classes.
    all: f64,
    /// 1 / the sum of the weights of the targets.
    scale: f64,
}

dispatch! {
    fn cross_entropy_part<'a>(
        terms: &'a Terms<'a>, logits: &'a [f32], labels: &'a [u16], dlogits: &'a mut [f32]) -> f64
        = cross_entropy_body
}

/// An empty `dlogits` is not wanted.
#[inline(always)]
fn cross_entropy_body<S: Simd>(
    simd: S,
    terms: &Terms<'_>,
    logits: &[f32],
    labels: &[u16],
    dlogits: &mut [f32],
) -> f64 {
    let c = terms.weights.len();
    let mut block = Block::new(c);
    let mut total = 0.0;
    for (i, labels) in labels.chunks(LANES).enumerate() {
        let range = i * LANES * c..(i * LANES + labels.len()) * c;
        let logits = &logits[range.clone()];
        block.softmax(simd, logits, c);
        let mut log_sums = [0.0; LANES];
        for (log_sum, sum) in log_sums.iter_mut().zip(&block.sum) {
            // The largest term is 1; what is not normal here is NaN, which must be seen.
            let sum = f64::from(*sum);
            *log_sum = if sum.is_finite() { ln_normal(sum) } else { sum };
        }
        let mut gain = [0.0_f32; LANES];
        for (lane, &y) in labels.iter().enumerate() {
            if y == IGNORE {
                continue;
            }
            let y = usize::from(y);
            let (hard, max) = (terms.hard * f64::from(terms.weights[y]), block.max[lane]);
            let log_sum = log_sums[lane];
            total += hard * (log_sum - f64::from(logits[lane * c + y] - max));
            if terms.soft != 0.0 {
                let x = &logits[lane * c..][..c];
                let dot = |sum, (w, x): (&f32, &f32)| sum + f64::from(*w) * f64::from(x - max);
                let weighted = terms.weights.iter().zip(x).fold(0.0, dot);
                total += terms.soft * (terms.all * log_sum - weighted);
            }
            gain[lane] = ((hard + terms.soft * terms.all) * terms.scale / f64::from(block.sum[lane])) as f32;
        }
        if dlogits.is_empty() {
            continue;
        }
        for (row, w) in block.rows.iter_mut().zip(terms.weights) {
            let spread = (terms.soft * f64::from(*w) * terms.scale) as f32;
            for (x, gain) in row.iter_mut().zip(&gain) {
                *x = simd.mul_add_scalar(*x, *gain, -spread);
            }
        }
        let dlogits = &mut dlogits[range];
        block.store(dlogits, c);
        for (lane, &y) in labels.iter().enumerate() {
            if y == IGNORE {
                dlogits[lane * c..][..c].fill(0.0);
            } else {
                let y = usize::from(y);
                dlogits[lane * c + y] -= (terms.hard * f64::from(terms.weights[y]) * terms.scale) as f32;
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::softmax;
    use crate::loss::testing::labels;
    use crate::testing::{assert_close, differences, normal, on_threads, to_f64};

    fn plain(classes: usize) -> CrossEntropy<'static> {
        CrossEntropy { classes, weights: None, label_smoothing: 0.0 }
    }

    /// The documented formula, class by class.
    fn naive(loss: &CrossEntropy<'_>, logits: &[f64], labels: &[u16]) -> LossValue {
        let c = loss.classes;
        let weight = |i: usize| loss.weights.map_or(1.0, |weights| f64::from(weights[i]));
        let smoothing = f64::from(loss.label_smoothing);
        let mut value = LossValue::default();
        for (x, &y) in logits.chunks(c).zip(labels).filter(|(_, y)| **y != IGNORE) {
            let y = usize::from(y);
            let log_sum = x.iter().map(|x| x.exp()).sum::<f64>().ln();
            let spread: f64 = (0..c).map(|i| -weight(i) * (x[i] - log_sum)).sum();
            value.sum += (1.0 - smoothing) * -weight(y) * (x[y] - log_sum) + smoothing / c as f64 * spread;
            value.weight += weight(y);
        }
        value
    }

    #[test]
    fn losses_and_gradients() {
        for isa in Isa::available() {
            for (pixels, classes) in [(1, 1), (1, 2), (31, 7), (32, 7), (33, 7), (97, 3), (5, 50)] {
                let weights: Vec<f32> = normal(2, classes).iter().map(|w| w.abs() + 0.1).collect();
                for (weights, label_smoothing) in
                    [(None, 0.0), (None, 0.1), (Some(&weights[..]), 0.0), (Some(&weights[..]), 0.2)]
                {
                    let loss = CrossEntropy { classes, weights, label_smoothing };
                    let logits: Vec<f32> = normal(3, pixels * classes).iter().map(|x| 3.0 * x).collect();
                    let mut labels = labels(pixels, classes, true);
                    labels[0] = 0;
                    let mut grad = vec![f32::NAN; logits.len()];
                    let value = cross_entropy(isa, &loss, &logits, &labels, Some(&mut grad));
                    let want = naive(&loss, &to_f64(&logits), &labels);
                    assert!((value.sum - want.sum).abs() <= 1e-6 * (1.0 + want.sum.abs()));
                    assert!((value.weight - want.weight).abs() <= 1e-6 * want.weight);
                    let mean = |x: &[f64]| naive(&loss, x, &labels).mean();
                    assert_close(&grad, &differences(&to_f64(&logits), mean), 1e-6);
                    assert_eq!(value, cross_entropy(isa, &loss, &logits, &labels, None));
                }
            }
        }
    }

    #[test]
    fn equals_pytorch() {
        // cross_entropy(x, y, weight=w, label_smoothing=0.1) in double precision; -100 is IGNORE
        let x = [0.5, -1.25, 2.0, 1.5, 0.25, -0.75, -2.0, 3.0, 0.125, 0.0, 1.0, -1.0];
        let loss = CrossEntropy { classes: 3, weights: Some(&[0.5, 2.0, 1.25]), label_smoothing: 0.1 };
        for isa in Isa::available() {
            let mut grad = vec![0.0; 12];
            let value = cross_entropy(isa, &loss, &x, &[2, 0, IGNORE, 1], Some(&mut grad));
            assert!((value.mean() - 0.4758148562245672).abs() < 1e-7);
            let want = [
                0.054495616258,
                -0.007535531002,
                -0.046960085256,
                -0.014283592135,
                0.013783834835,
                0.000499757299,
                0.0,
                0.0,
                0.0,
                0.121182837364,
                -0.156287420480,
                0.035104583116,
            ];
            assert_close(&grad, &want, 1e-7);
        }
    }

    #[test]
    fn bits_over_several_tasks() {
        let (logits, labels) = (normal(1, 7 * 20_011), labels(20_011, 7, true));
        for isa in Isa::available() {
            on_threads(|| {
                let mut grad = vec![0.0; logits.len()];
                let value = cross_entropy(isa, &plain(7), &logits, &labels, Some(&mut grad));
                let mut y = vec![0.0; logits.len()];
                softmax(isa, &logits, 7, &mut y);
                let bits = value.sum.to_bits();
                [vec![f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)], grad, y].concat()
            });
        }
    }

    #[test]
    fn nothing_counts() {
        for isa in Isa::available() {
            let mut grad = vec![f32::NAN; 21];
            let value = cross_entropy(isa, &plain(7), &[f32::NAN; 21], &[IGNORE; 3], Some(&mut grad));
            assert!(value == LossValue::default() && value.mean() == 0.0);
            assert_eq!(grad, vec![0.0; 21]);
            let zero = CrossEntropy { weights: Some(&[0.0, 1.0]), ..plain(2) };
            let mut grad = vec![f32::NAN; 2];
            assert_eq!(cross_entropy(isa, &zero, &[1.0, 2.0], &[0], Some(&mut grad)).mean(), 0.0);
            assert_eq!(grad, vec![0.0; 2]);
            assert_eq!(cross_entropy(isa, &plain(7), &[], &[], Some(&mut [])).mean(), 0.0);
        }
    }

    #[test]
    fn extreme_logits() {
        for isa in Isa::available() {
            let mut grad = vec![0.0; 6];
            let x = [1e4, -1e4, 0.0, 0.0, 500.0, f32::NEG_INFINITY];
            let value = cross_entropy(isa, &plain(3), &x, &[0, 1], Some(&mut grad));
            assert!(value.mean() == 0.0 && grad == vec![0.0; 6]);
            let value = cross_entropy(isa, &plain(3), &x, &[1, 0], Some(&mut grad));
            assert!((value.mean() - 10_250.0).abs() < 1e-2);
            assert_eq!(grad, [0.5, -0.5, 0.0, -0.5, 0.5, 0.0]);
            let value = cross_entropy(isa, &plain(2), &[f32::NAN, 1.0], &[1], Some(&mut grad[..2]));
            assert!(value.sum.is_nan() && grad[0].is_nan() && grad[1].is_nan());
        }
    }

    #[test]
    #[should_panic]
    fn a_label_beyond_the_classes() {
        cross_entropy(Isa::best(), &plain(3), &[0.0; 3], &[3], None);
    }

    #[test]
    fn softmax_of_any_size() {
        for isa in Isa::available() {
            for (pixels, classes) in [(0, 3), (1, 1), (33, 7), (100, 50), (1, 1000)] {
                let x: Vec<f32> = normal(1, pixels * classes).iter().map(|x| 5.0 * x).collect();
                let mut y = vec![0.0; x.len()];
                softmax(isa, &x, classes, &mut y);
                let mut want = Vec::new();
                for x in to_f64(&x).chunks(classes) {
                    let sum: f64 = x.iter().map(|x| x.exp()).sum();
                    want.extend(x.iter().map(|x| x.exp() / sum));
                }
                assert_close(&y, &want, 5e-7);
            }
            softmax(isa, &[], 0, &mut []);
        }
    }
}
