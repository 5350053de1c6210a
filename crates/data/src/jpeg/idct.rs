//! The accurate integer inverse DCT of libjpeg (`jidctint.c`, "islow"): Loeffler, Ligtenberg and Moschytz,
//! "Practical fast 1-D DCT algorithms with 11 multiplications", ICASSP 1989, in fixed point.

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

// Constants times 2^13, rounded.
const F_0_298631336: i32 = 2446;
const F_0_390180644: i32 = 3196;
const F_0_541196100: i32 = 4433;
const F_0_765366865: i32 = 6270;
const F_0_899976223: i32 = 7373;
const F_1_175875602: i32 = 9633;
const F_1_501321110: i32 = 12299;
const F_1_847759065: i32 = 15137;
const F_1_961570560: i32 = 16069;
const F_2_053119869: i32 = 16819;
const F_2_562915447: i32 = 20995;
const F_3_072711026: i32 = 25172;

/// One dimension: eight coefficients to eight samples, scaled by 2^13 and rounded away by `shift` bits.
#[inline(always)]
fn one(c: [i32; 8], shift: u32) -> [i32; 8] {
    let mul = i32::wrapping_mul;
    // Even part.
    let z1 = mul(c[2].wrapping_add(c[6]), F_0_541196100);
    let t2 = z1.wrapping_sub(mul(c[6], F_1_847759065));
    let t3 = z1.wrapping_add(mul(c[2], F_0_765366865));
    let t0 = c[0].wrapping_add(c[4]) << CONST_BITS;
    let t1 = c[0].wrapping_sub(c[4]) << CONST_BITS;
    let even = [t0.wrapping_add(t3), t1.wrapping_add(t2), t1.wrapping_sub(t2), t0.wrapping_sub(t3)];
    // Odd part.
    let (t0, t1, t2, t3) = (c[7], c[5], c[3], c[1]);
    let z1 = mul(t0.wrapping_add(t3), -F_0_899976223);
    let z2 = mul(t1.wrapping_add(t2), -F_2_562915447);
    let (z3, z4) = (t0.wrapping_add(t2), t1.wrapping_add(t3));
    let z5 = mul(z3.wrapping_add(z4), F_1_175875602);
    let z3 = mul(z3, -F_1_961570560).wrapping_add(z5);
    let z4 = mul(z4, -F_0_390180644).wrapping_add(z5);
    let t0 = mul(t0, F_0_298631336).wrapping_add(z1).wrapping_add(z3);
    let t1 = mul(t1, F_2_053119869).wrapping_add(z2).wrapping_add(z4);
    let t2 = mul(t2, F_3_072711026).wrapping_add(z2).wrapping_add(z3);
    let t3 = mul(t3, F_1_501321110).wrapping_add(z1).wrapping_add(z4);
    let odd = [t3, t2, t1, t0];
    let round = 1i32 << (shift - 1);
    std::array::from_fn(|i| {
        let sum = if i < 4 { even[i].wrapping_add(odd[i]) } else { even[7 - i].wrapping_sub(odd[7 - i]) };
        sum.wrapping_add(round) >> shift
    })
}

/// Writes the 8 x 8 samples of a block to `out`, whose rows are `stride` apart.
pub(super) fn idct(block: &[i16; 64], quantisation: &[u16; 64], out: &mut [u8], stride: usize) {
    let coefficient = |i: usize| i32::from(block[i]).wrapping_mul(i32::from(quantisation[i]));
    let mut columns = [0i32; 64];
    for x in 0..8 {
        // Most columns of most blocks are flat.
        if (1..8).all(|y| block[y * 8 + x] == 0) {
            let flat = coefficient(x) << PASS1_BITS;
            for y in 0..8 {
                columns[y * 8 + x] = flat;
            }
            continue;
        }
        let column = one(std::array::from_fn(|y| coefficient(y * 8 + x)), CONST_BITS - PASS1_BITS);
        for y in 0..8 {
            columns[y * 8 + x] = column[y];
        }
    }
    for (y, row) in columns.as_chunks::<8>().0.iter().enumerate() {
        let samples = one(*row, CONST_BITS + PASS1_BITS + 3);
        for (to, v) in out[y * stride..][..8].iter_mut().zip(samples) {
            *to = v.saturating_add(128).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_formula() {
        let mut block = [0i16; 64];
        for (i, c) in block.iter_mut().enumerate() {
            *c = ((i * 37 + 11) % 23) as i16 - 11;
        }
        let mut out = [0; 64];
        idct(&block, &[3; 64], &mut out, 8);
        for y in 0..8 {
            for x in 0..8 {
                let mut sum = 0.0;
                for v in 0..8 {
                    for u in 0..8 {
                        let scale = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
                        let wave = |k: usize, n: usize| {
                            ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
                        };
                        let c = f64::from(block[v * 8 + u]) * 3.0;
                        sum += scale(u) * scale(v) * c * wave(u, x) * wave(v, y) / 4.0;
                    }
                }
                let expected = (sum + 128.0).clamp(0.0, 255.0);
                let found = f64::from(out[y * 8 + x]);
                assert!((found - expected).abs() <= 0.6, "{x},{y}: {found} for {expected}");
            }
        }
    }
}
