//! Random numbers without state: a number depends on a key and an index, so neither the order in which
//! numbers are drawn nor the number of threads matters.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011). Everything after it is plain arithmetic, so the same key gives the same numbers
//! on every platform.

use crate::Isa;
use crate::chunks::CHUNK;
use crate::dispatch::dispatch;
use crate::math::ln;
use crate::simd::Simd;
use crate::threads::parallel_chunks_mut;

/// Names a sequence of random numbers. Sequences of different keys are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The user's seed.
    pub seed: u64,
    /// Whom the sequence is for: a node, a sample, a purpose.
    pub stream: u64,
    /// When: a training step or epoch.
    pub step: u64,
}

/// A key made ready for drawing; use it where many numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    key: [u32; 2],
    high: [u32; 2],
}

/// One call of Philox4x32-10.
#[inline(always)]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

impl Key {
    /// The sequence of this key. The seed keys one Philox call on (stream, step), whose 128 bits are the
    /// key and the upper half of the counter of the sequence.
    #[inline]
    pub fn sequence(&self) -> Sequence {
        let [s0, s1] = halves(self.stream);
        let [t0, t1] = halves(self.step);
        let [a, b, c, d] = philox([s0, s1, t0, t1], halves(self.seed));
        Sequence { key: [a, b], high: [c, d] }
    }

    /// 32 random bits.
    pub fn u32(&self, index: u64) -> u32 {
        self.sequence().u32(index)
    }

    /// 64 random bits. Shares its bits with the numbers `2 * index` and `2 * index + 1` of [`Key::u32`].
    pub fn u64(&self, index: u64) -> u64 {
        self.sequence().u64(index)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub fn f32(&self, index: u64) -> f32 {
        self.sequence().f32(index)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn f64(&self, index: u64) -> f64 {
        self.sequence().f64(index)
    }

    /// Standard normal.
    pub fn normal(&self, index: u64) -> f32 {
        self.sequence().normal(index)
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias is below `n` / 2^64.
    pub fn below(&self, index: u64, n: u64) -> u64 {
        self.sequence().below(index, n)
    }
}

impl Sequence {
    /// The `index`-th block of four words.
    #[inline(always)]
    pub fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = halves(index);
        philox([low, high, self.high[0], self.high[1]], self.key)
    }

    /// 32 random bits.
    #[inline(always)]
    pub fn u32(&self, index: u64) -> u32 {
        let block = self.block(index / 4);
        let pair = if index & 2 == 0 { [block[0], block[1]] } else { [block[2], block[3]] };
        if index & 1 == 0 { pair[0] } else { pair[1] }
    }

    /// 64 random bits, see [`Key::u64`].
    #[inline]
    pub fn u64(&self, index: u64) -> u64 {
        let [a, b, c, d] = self.block(index / 2);
        let [low, high] = if index & 1 == 0 { [a, b] } else { [c, d] };
        u64::from(high) << 32 | u64::from(low)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    #[inline]
    pub fn f32(&self, index: u64) -> f32 {
        (self.u32(index) >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    #[inline]
    pub fn f64(&self, index: u64) -> f64 {
        (self.u64(index) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Standard normal, from 32 random bits; its size is below 6.4.
    #[inline]
    pub fn normal(&self, index: u64) -> f32 {
        normal_from(self.u32(index))
    }

    /// Uniform in `0..n`, see [`Key::below`].
    #[inline]
    pub fn below(&self, index: u64, n: u64) -> u64 {
        ((u128::from(self.u64(index)) * u128::from(n)) >> 64) as u64
    }
}

/// The quantile of the normal distribution at `(bits + 1/2) / 2^32`, by Wichura's algorithm AS 241
/// (Applied Statistics 37, 1988). Its third branch, for tails beyond e^-25, is out of reach of 32 bits.
#[inline(always)]
fn normal_from(bits: u32) -> f32 {
    let q = centred(bits);
    if q.abs() <= CENTRE { normal_centre(q) } else { normal_tail(q) }
}

/// The half width of the centre, whose quantiles need no logarithm.
const CENTRE: f64 = 0.425;

/// The probability, less 1/2.
#[inline(always)]
fn centred(bits: u32) -> f64 {
    (f64::from(bits) + 0.5) / 4_294_967_296.0 - 0.5
}

#[inline(always)]
fn horner(r: f64, c: [f64; 8]) -> f64 {
    c.iter().fold(0.0, |sum, c| sum * r + c)
}

#[inline(always)]
fn normal_centre(q: f64) -> f32 {
    let r = CENTRE * CENTRE - q * q;
    let num = [
        2.509_080_928_730_122_7e3,
        3.343_057_558_358_813e4,
        6.726_577_092_700_87e4,
        4.592_195_393_154_987e4,
        1.373_169_376_550_946e4,
        1.971_590_950_306_551_3e3,
        1.331_416_678_917_843_8e2,
        3.387_132_872_796_366_5,
    ];
    let den = [
        5.226_495_278_852_854e3,
        2.872_908_573_572_194_3e4,
        3.930_789_580_009_271e4,
        2.121_379_430_158_659_7e4,
        5.394_196_021_424_751e3,
        6.871_870_074_920_579e2,
        4.231_333_070_160_091e1,
        1.0,
    ];
    (q * (horner(r, num) / horner(r, den))) as f32
}

fn normal_tail(q: f64) -> f32 {
    let num = [
        7.745_450_142_783_414e-4,
        2.272_384_498_926_918_4e-2,
        2.417_807_251_774_506e-1,
        1.270_458_252_452_368_4,
        3.647_848_324_763_204_5,
        5.769_497_221_460_691,
        4.630_337_846_156_546,
        1.423_437_110_749_683_5,
    ];
    let den = [
        1.050_750_071_644_416_9e-9,
        5.475_938_084_995_345e-4,
        1.519_866_656_361_645_7e-2,
        1.481_039_764_274_800_8e-1,
        6.897_673_349_851e-1,
        1.676_384_830_183_803_8,
        2.053_191_626_637_759,
        1.0,
    ];
    let r = (-ln(0.5 - q.abs())).sqrt() - 1.6;
    let x = horner(r, num) / horner(r, den);
    (if q < 0.0 { -x } else { x }) as f32
}

/// Writes `std * key.normal(i)` to `out[i]`, on all threads.
pub fn fill_normal(key: &Key, std: f32, out: &mut [f32]) {
    let sequence = key.sequence();
    // Arithmetic without fused operations: the bits do not depend on the instruction set.
    let isa = Isa::best();
    parallel_chunks_mut(out, CHUNK, |chunk, out| {
        fill_part(isa, &sequence, (chunk * CHUNK / 4) as u64, std, out);
    });
}

dispatch! { fn fill_part<'a>(sequence: &'a Sequence, first: u64, std: f32, out: &'a mut [f32]) = fill_body }

/// `first` counts blocks.
#[inline(always)]
fn fill_body<S: Simd>(_: S, sequence: &Sequence, first: u64, std: f32, out: &mut [f32]) {
    const BLOCKS: usize = 32;
    let sequence = *sequence;
    for (i, out) in out.chunks_mut(4 * BLOCKS).enumerate() {
        let mut words = [[0; BLOCKS]; 4];
        for j in 0..BLOCKS {
            let block = sequence.block(first + (i * BLOCKS + j) as u64);
            for word in 0..4 {
                words[word][j] = block[word];
            }
        }
        let mut values = [[0.0; BLOCKS]; 4];
        for (values, words) in values.iter_mut().zip(&words) {
            for (value, &bits) in values.iter_mut().zip(words) {
                *value = normal_centre(centred(bits));
            }
            for (value, &bits) in values.iter_mut().zip(words) {
                if centred(bits).abs() > CENTRE {
                    *value = normal_tail(centred(bits));
                }
            }
        }
        for (j, four) in out.chunks_mut(4).enumerate() {
            for (word, x) in four.iter_mut().enumerate() {
                *x = std * values[word][j];
            }
        }
    }
}

/// A random order of `0..n` (Fisher and Yates).
pub fn shuffle(key: &Key, n: usize) -> Vec<usize> {
    let sequence = key.sequence();
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, sequence.below(i as u64, i as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 7, stream: 3, step: 1 };

    #[test]
    fn philox_known_answers() {
        // From the test vectors of the authors' library (Random123, kat_vectors).
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_numbers_have_the_right_moments() {
        let n = 100_000;
        let sum: f64 = (0..n).map(|i| f64::from(KEY.f32(i))).sum();
        let sum2: f64 = (0..n).map(|i| KEY.f64(i).powi(2)).sum();
        assert!((sum / n as f64 - 0.5).abs() < 0.005);
        assert!((sum2 / n as f64 - 1.0 / 3.0).abs() < 0.005);
        assert!((0..n).all(|i| (0.0..1.0).contains(&KEY.f32(i)) && KEY.below(i, 10) < 10));
    }

    #[test]
    fn normal_numbers_have_the_right_moments() {
        let mut xs = vec![0.0; 100_003];
        fill_normal(&KEY, 2.0, &mut xs);
        let moment = |k| xs.iter().map(|x| f64::from(x / 2.0).powi(k)).sum::<f64>() / xs.len() as f64;
        assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.02);
        assert!(moment(3).abs() < 0.05 && (moment(4) - 3.0).abs() < 0.1);
        assert!((0..xs.len()).all(|i| xs[i] == 2.0 * KEY.normal(i as u64)));
    }

    #[test]
    fn bits_do_not_depend_on_the_instruction_set() {
        let fill = |isa| {
            let mut xs = vec![0.0; 5_001];
            fill_part(isa, &KEY.sequence(), 3, 0.1, &mut xs);
            xs
        };
        for isa in Isa::available() {
            assert_eq!(fill(isa), fill(Isa::available()[0]));
        }
    }

    #[test]
    fn normal_quantiles() {
        // Python: statistics.NormalDist().inv_cdf((bits + 0.5) / 2**32)
        for (bits, want) in [
            (0_u32, -6.337_958),
            (u32::MAX, 6.337_958),
            (1 << 31, 2.918_099_4e-10),
            (1 << 30, -0.674_489_75),
            (42_949_673, -2.326_347_8),
        ] {
            let got = normal_from(bits);
            assert!((got - want).abs() <= 1e-6 * want.abs(), "{bits}: {got}, not {want}");
        }
    }

    #[test]
    fn keys_differ_in_each_field() {
        let keys = [KEY, Key { seed: 8, ..KEY }, Key { stream: 4, ..KEY }, Key { step: 2, ..KEY }];
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i + 1..] {
                assert!((0..64).filter(|&j| a.u32(j) == b.u32(j)).count() == 0);
            }
        }
    }

    #[test]
    fn shuffles_are_permutations() {
        for n in [0, 1, 2, 13, 1000] {
            let mut order = shuffle(&KEY, n);
            if n > 10 {
                assert_ne!(order, (0..n).collect::<Vec<_>>());
                assert_ne!(order, shuffle(&Key { step: 2, ..KEY }, n));
            }
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }
}
