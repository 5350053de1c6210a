//! Elementary functions in plain arithmetic: they vectorise, and give the same bits on every platform
//! with the same rounding of multiply-add.

use crate::simd::Simd;

/// `e^x` to 2 units in the last place for `x <= 88`; 0 below -87.3, where the result is no longer
/// normal; NaN stays NaN. Method: `x = n ln 2 + r`, the Cephes polynomial in `r` (Moshier), and `n` put
/// into the exponent's bits. Loops of it vectorise.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = simd.mul_add_scalar(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with so few bits that n times it is exact.
    let r = simd.mul_add_scalar(n, -0.693_359_4, x);
    let r = simd.mul_add_scalar(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = simd.mul_add_scalar(p, r, 1.398_199_9e-3);
    p = simd.mul_add_scalar(p, r, 8.333_452e-3);
    p = simd.mul_add_scalar(p, r, 4.166_579_6e-2);
    p = simd.mul_add_scalar(p, r, 1.666_666_5e-1);
    p = simd.mul_add_scalar(p, r, 0.5);
    p = simd.mul_add_scalar(p, r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let result = p * power;
    if x < -87.3 { 0.0 } else { result }
}

/// The natural logarithm of a positive normal number, to about 1e-15. Method: `x = 2^e m` with `m` near
/// 1, and the series of the inverse hyperbolic tangent. Other numbers go to the standard library.
pub(crate) fn ln(x: f64) -> f64 {
    if x.is_normal() && x > 0.0 { ln_normal(x) } else { x.ln() }
}

/// [`ln`] for positive normal numbers only; loops of it vectorise.
#[inline(always)]
pub(crate) fn ln_normal(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 12] = {
        let mut c = [0.0; 12];
        let mut k = 0;
        while k < 12 {
            c[k] = 1.0 / (2 * k + 1) as f64;
            k += 1;
        }
        c
    };
    let bits = x.to_bits();
    let m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let high = m > std::f64::consts::SQRT_2;
    let m = if high { m * 0.5 } else { m };
    let exponent = (bits >> 52) as u32 as i32 - 1023 + i32::from(high);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = COEFFICIENTS.iter().rev().fold(0.0, |sum, c| sum * s2 + c);
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Portable, SimdOp};

    struct ExpOp<'a>(&'a mut [f32]);
    impl SimdOp for ExpOp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for x in self.0 {
                *x = exp(simd, *x);
            }
        }
    }

    #[test]
    fn exp_is_accurate() {
        for isa in crate::Isa::available() {
            let xs: Vec<f32> = (0..200_000).map(|i| -87.2 + i as f32 * 8.7e-4).collect();
            let mut ys = xs.clone();
            isa.run(ExpOp(&mut ys));
            for (x, y) in xs.iter().zip(&ys) {
                let want = f64::from(*x).exp();
                assert!((f64::from(*y) - want).abs() <= 2.5e-7 * want, "exp({x}) = {y}, not {want}");
            }
        }
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(Portable, 0.0), 1.0);
        assert_eq!(exp(Portable, f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(Portable, -1e9), 0.0);
        assert!(exp(Portable, f32::NAN).is_nan());
    }

    #[test]
    fn ln_is_accurate() {
        for i in 1..20_000 {
            let x = f64::from(i) * 0.37e-3;
            assert!((ln(x) - x.ln()).abs() <= 2e-15 * (1.0 + x.ln().abs()), "ln({x})");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!(ln(-1.0).is_nan());
    }
}
