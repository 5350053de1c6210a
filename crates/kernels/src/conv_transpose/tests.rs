//! Tests against loops in double precision and finite differences.

use super::*;
use crate::testing::{assert_close, differences, dot, normal, on_threads, to_f64};

fn shape(n: usize, h: usize, w: usize, c: usize, k: usize, window: [usize; 3]) -> ConvTranspose2dShape {
    let [kernel, stride, padding] = window.map(|side| [side; 2]);
    ConvTranspose2dShape { n, h, w, c, k, kernel, stride, padding }
}

fn naive(s: &ConvTranspose2dShape, x: &[f64], weight: &[f64], bias: &[f32]) -> Vec<f64> {
    let (out_h, out_w) = (s.out_h(), s.out_w());
    let mut y: Vec<f64> = (0..s.n * out_h * out_w * s.k).map(|i| f64::from(bias[i % s.k])).collect();
    for at in 0..s.n * s.h * s.w {
        let (n, ih, iw) = (at / s.w / s.h, at / s.w % s.h, at % s.w);
        for kh in 0..s.kernel[0] {
            for kw in 0..s.kernel[1] {
                let oh = (ih * s.stride[0] + kh).wrapping_sub(s.padding[0]);
                let ow = (iw * s.stride[1] + kw).wrapping_sub(s.padding[1]);
                if oh >= out_h || ow >= out_w {
                    continue;
                }
                for c in 0..s.c {
                    for k in 0..s.k {
                        let weight = weight[((c * s.k + k) * s.kernel[0] + kh) * s.kernel[1] + kw];
                        y[((n * out_h + oh) * out_w + ow) * s.k + k] += x[at * s.c + c] * weight;
                    }
                }
            }
        }
    }
    y
}

fn shapes() -> Vec<ConvTranspose2dShape> {
    vec![
        shape(1, 1, 1, 1, 1, [1, 1, 0]),
        shape(2, 3, 4, 7, 7, [4, 2, 0]),
        shape(2, 3, 5, 7, 7, [4, 2, 1]),
        shape(1, 2, 3, 3, 7, [16, 8, 4]),
        shape(1, 2, 9, 5, 17, [2, 2, 0]),
        shape(1, 3, 10, 17, 3, [3, 1, 1]),
        shape(1, 2, 2, 2, 2, [3, 4, 0]),
        shape(1, 2, 2, 1, 1, [4, 2, 3]),
        shape(0, 2, 2, 2, 3, [4, 2, 1]),
        ConvTranspose2dShape {
            kernel: [2, 3],
            stride: [1, 2],
            padding: [0, 1],
            ..shape(2, 4, 3, 2, 5, [1, 1, 0])
        },
    ]
}

#[test]
fn values_and_gradients() {
    for isa in Isa::available() {
        for s in shapes() {
            let x = normal(1, s.n * s.h * s.w * s.c);
            let (weight, bias) = (normal(2, s.weight_len()), normal(3, s.k));
            let dy = normal(4, s.n * s.out_h() * s.out_w() * s.k);
            let (x64, weight64) = (to_f64(&x), to_f64(&weight));
            let y = on_threads(|| {
                let mut y = vec![f32::NAN; dy.len()];
                conv_transpose2d(isa, &s, &x, &weight, Some(&bias), &mut y);
                y
            });
            assert_close(&y, &naive(&s, &x64, &weight64, &bias), 2e-6);
            let dx = on_threads(|| {
                let mut dx = vec![f32::NAN; x.len()];
                conv_transpose2d_input_grad(isa, &s, &dy, &weight, &mut dx);
                dx
            });
            let by_x = |x: &[f64]| dot(&naive(&s, x, &weight64, &bias), &dy);
            assert_close(&dx, &differences(&x64, by_x), 5e-6);
            let dw = on_threads(|| {
                let mut dw = vec![f32::NAN; weight.len()];
                conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut dw, false);
                dw
            });
            let by_weight = |weight: &[f64]| dot(&naive(&s, &x64, weight, &bias), &dy);
            if weight.len() < 1000 {
                assert_close(&dw, &differences(&weight64, by_weight), 5e-6);
            }
            let mut twice = dw.clone();
            conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut twice, true);
            assert!(twice.iter().zip(&dw).all(|(twice, dw)| *twice == 2.0 * dw));
        }
    }
}

#[test]
fn many_channels_and_pixels() {
    let s = shape(2, 9, 11, 70, 40, [2, 2, 0]);
    let x = normal(1, s.n * s.h * s.w * s.c);
    let (weight, dy) = (normal(2, s.weight_len()), normal(4, s.n * s.out_h() * s.out_w() * s.k));
    let (x64, weight64, zero) = (to_f64(&x), to_f64(&weight), vec![0.0; s.k]);
    let want = naive(&s, &x64, &weight64, &zero);
    // <dy, A x> is <A' dy, x>, and bilinear in the weight: both gradients must give the same product.
    let product = dot(&want, &dy);
    for isa in Isa::available() {
        let mut y = vec![f32::NAN; dy.len()];
        conv_transpose2d(isa, &s, &x, &weight, None, &mut y);
        assert_close(&y, &want, 1e-5);
        let both = on_threads(|| {
            let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            conv_transpose2d_input_grad(isa, &s, &dy, &weight, &mut dx);
            conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut dw, false);
            [dx, dw].concat()
        });
        let (dx, dw) = both.split_at(x.len());
        assert!((dot(&x64, dx) - product).abs() <= 1e-5 * product.abs().max(1e3));
        assert!((dot(&weight64, dw) - product).abs() <= 1e-5 * product.abs().max(1e3));
    }
}

/// Sixteen lanes on any machine, for the branches of AVX-512.
#[derive(Clone, Copy)]
struct Wide;
impl crate::gemm::Tile for Wide {
    unsafe fn tile<const RS: usize>(self, _: crate::gemm::TileArgs) {
        unreachable!("not a tile of this module")
    }
}
impl Simd for Wide {
    type V = [f32; 16];
    const LANES: usize = 16;
    const MR: usize = 4;
    const NV: usize = 2;
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }
    unsafe fn load(self, p: *const f32) -> [f32; 16] {
        // SAFETY: the caller promises the memory.
        unsafe { p.cast::<[f32; 16]>().read_unaligned() }
    }
    unsafe fn store(self, p: *mut f32, v: [f32; 16]) {
        // SAFETY: the caller promises the memory.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(v) }
    }
    fn mul_add(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    fn div(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i] / b[i])
    }
    fn below(self, a: [f32; 16], b: [f32; 16]) -> u32 {
        (0..16).fold(0, |bits, i| bits | u32::from(a[i] < b[i]) << i)
    }
    fn max(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i].max(b[i]))
    }
    fn larger(self, _: [f32; 16], _: [f32; 16], _: [f32; 16], _: [f32; 16]) -> ([f32; 16], [f32; 16]) {
        unreachable!("not an operation of this module")
    }
    fn keep_positive(self, y: [f32; 16], x: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| if y[i] <= 0.0 { 0.0 } else { x[i] })
    }
    fn mul_add_scalar(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

#[test]
fn sixteen_lanes() {
    for s in shapes() {
        let x = normal(1, s.n * s.h * s.w * s.c);
        let (weight, dy) = (normal(2, s.weight_len()), normal(4, s.n * s.out_h() * s.out_w() * s.k));
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; weight.len()]);
        let packed = pack(&s, 16, s.c, s.span(), |kh, c, j| weight[s.weight_at(c, kh, j)]);
        for (row, y) in y.chunks_mut((s.out_w() * s.k).max(1)).enumerate() {
            forward_row_body(Wide, &s, &x, &packed, row, y);
        }
        let packed = pack(&s, 16, s.span(), s.c, |kh, j, c| weight[s.weight_at(c, kh, j)]);
        for (row, dx) in dx.chunks_mut(s.w * s.c).enumerate() {
            input_grad_row_body(Wide, &s, &dy, &packed, row, dx);
        }
        for kh in 0..s.kernel[0] {
            for tile in tiles(s.span(), 16) {
                let width = tile.1 * 16;
                let mut sums = vec![0.0; s.c * width];
                weight_grad_body(Wide, &s, &x, &dy, kh, tile, 0, s.c, &mut sums);
                for (at, sum) in sums.iter().enumerate().filter(|(at, _)| tile.0 + at % width < s.span()) {
                    dw[s.weight_at(at / width, kh, tile.0 + at % width)] = *sum;
                }
            }
        }
        let isa = Isa::available()[0];
        let (mut want_y, mut want_dx, mut want_dw) = (y.clone(), dx.clone(), dw.clone());
        conv_transpose2d(isa, &s, &x, &weight, None, &mut want_y);
        conv_transpose2d_input_grad(isa, &s, &dy, &weight, &mut want_dx);
        conv_transpose2d_weight_grad(isa, &s, &x, &dy, &mut want_dw, false);
        assert_close(&y, &to_f64(&want_y), 1e-5);
        assert_close(&dx, &to_f64(&want_dx), 1e-5);
        assert_close(&dw, &to_f64(&want_dw), 1e-5);
    }
}

#[test]
fn output_sizes() {
    assert_eq!(shape(1, 16, 18, 7, 7, [64, 32, 16]).out_h(), 512);
    assert_eq!(shape(1, 16, 18, 7, 7, [64, 32, 0]).out_w(), 608);
    assert_eq!(shape(1, 0, 1, 7, 7, [64, 32, 0]).out_h(), 0);
    assert_eq!(shape(1, 1, 1, 1, 1, [2, 1, 3]).out_h(), 0);
}
