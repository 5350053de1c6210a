//! Sums, scaling and checks over whole buffers.

use crate::Isa;
use crate::chunks::{CHUNK, collect};
use crate::dispatch::dispatch;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// `y = a + b`
///
/// # Panics
/// When the lengths differ.
pub fn add(isa: Isa, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert!(a.len() == y.len() && b.len() == y.len());
    parallel_chunks_mut(y, CHUNK, |i, y| {
        let range = i * CHUNK..i * CHUNK + y.len();
        add_part(isa, &a[range.clone()], &b[range], y);
    });
}

dispatch! { fn add_part<'a>(a: &'a [f32], b: &'a [f32], y: &'a mut [f32]) = add_body }

#[inline(always)]
fn add_body<S: Simd>(_: S, a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a + b;
    }
}

/// `y += x`
///
/// # Panics
/// When the lengths differ.
pub fn add_assign(isa: Isa, y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len());
    parallel_chunks_mut(y, CHUNK, |i, y| {
        let start = i * CHUNK;
        add_assign_part(isa, y, &x[start..start + y.len()]);
    });
}

dispatch! { fn add_assign_part<'a>(y: &'a mut [f32], x: &'a [f32]) = add_assign_body }

#[inline(always)]
fn add_assign_body<S: Simd>(_: S, y: &mut [f32], x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y *= s`
pub fn scale(isa: Isa, y: &mut [f32], s: f32) {
    parallel_chunks_mut(y, CHUNK, |_, y| scale_part(isa, y, s));
}

dispatch! { fn scale_part<'a>(y: &'a mut [f32], s: f32) = scale_body }

#[inline(always)]
fn scale_body<S: Simd>(_: S, y: &mut [f32], s: f32) {
    for y in y {
        *y *= s;
    }
}

/// Whether no number is NaN or infinite.
pub fn all_finite(isa: Isa, x: &[f32]) -> bool {
    !collect(x.len(), CHUNK, |range| has_special_part(isa, &x[range])).contains(&true)
}

dispatch! { fn has_special_part<'a>(x: &'a [f32]) -> bool = has_special_body }

#[inline(always)]
fn has_special_body<S: Simd>(_: S, x: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    x.iter().fold(0, |found, x| found | u32::from(x.to_bits() & EXPONENT == EXPONENT)) != 0
}

/// The sum of squares, in `f64` and in an order that depends on the length alone.
pub fn squared_norm(isa: Isa, x: &[f32]) -> f64 {
    collect(x.len(), CHUNK, |range| squared_norm_part(isa, &x[range])).iter().sum()
}

dispatch! { fn squared_norm_part<'a>(x: &'a [f32]) -> f64 = squared_norm_body }

#[inline(always)]
fn squared_norm_body<S: Simd>(_: S, x: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 16];
    let (blocks, rest) = x.as_chunks::<16>();
    for block in blocks {
        for (sum, &x) in sums.iter_mut().zip(block) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += f64::from(x) * f64::from(x);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LENGTHS, normal, on_threads, to_f64};

    #[test]
    fn sums_and_scaling() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let (a, b) = (normal(1, len), normal(2, len));
                let y = on_threads(|| {
                    let mut y = vec![0.0; len];
                    add(isa, &a, &b, &mut y);
                    scale(isa, &mut y, 0.5);
                    add_assign(isa, &mut y, &a);
                    y
                });
                for i in 0..len {
                    assert_eq!(y[i], (a[i] + b[i]) * 0.5 + a[i]);
                }
            }
        }
    }

    #[test]
    fn norm() {
        for isa in Isa::available() {
            for len in LENGTHS {
                let x = normal(3, len);
                let want: f64 = to_f64(&x).iter().map(|x| x * x).sum();
                on_threads(|| {
                    let norm = squared_norm(isa, &x);
                    assert!((norm - want).abs() <= 1e-12 * want);
                    vec![f32::from_bits(norm.to_bits() as u32), f32::from_bits((norm.to_bits() >> 32) as u32)]
                });
            }
        }
    }

    #[test]
    fn finds_what_is_not_finite() {
        for isa in Isa::available() {
            assert!(all_finite(isa, &[]));
            let mut x = vec![f32::MAX; 40_000];
            x[3] = f32::MIN_POSITIVE / 2.0;
            assert!(all_finite(isa, &x));
            for i in [0, 17, 16_384, 39_999] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let good = std::mem::replace(&mut x[i], bad);
                    assert!(!all_finite(isa, &x));
                    x[i] = good;
                }
            }
        }
    }
}
