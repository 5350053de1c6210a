//! Every pass against plain loops in f64.

use super::*;
use crate::threads::Pool;

/// A number in [-1, 1) that depends on `i` alone.
fn noise(i: usize, salt: u64) -> f32 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt << 32);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn random(len: usize, salt: u64) -> Vec<f32> {
    (0..len).map(|i| noise(i, salt)).collect()
}

/// Calls `f(index in x, index in w, index in y)` for every product of the convolution.
fn each_product(s: &Conv2dShape, mut f: impl FnMut(usize, usize, usize)) {
    for n in 0..s.n {
        for (oy, ox) in (0..s.out_h()).flat_map(|y| (0..s.out_w()).map(move |x| (y, x))) {
            for (r, q) in (0..s.kernel[0]).flat_map(|r| (0..s.kernel[1]).map(move |q| (r, q))) {
                let y = (oy * s.stride[0] + r).wrapping_sub(s.padding[0]);
                let x = (ox * s.stride[1] + q).wrapping_sub(s.padding[1]);
                if y >= s.h || x >= s.w {
                    continue;
                }
                for k in 0..s.k {
                    for c in 0..s.c {
                        f(
                            ((n * s.h + y) * s.w + x) * s.c + c,
                            ((k * s.c + c) * s.kernel[0] + r) * s.kernel[1] + q,
                            ((n * s.out_h() + oy) * s.out_w() + ox) * s.k + k,
                        );
                    }
                }
            }
        }
    }
}

/// Root of the mean squared difference over the root of the mean square.
fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let size: f64 = want.iter().map(|x| x * x).sum();
    let off: f64 = got.iter().zip(want).map(|(&a, b)| (a as f64 - b).powi(2)).sum();
    if size == 0.0 { off } else { (off / size).sqrt() }
}

struct Results {
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

struct Inputs {
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
    bias: Vec<f32>,
}

fn inputs(s: &Conv2dShape) -> Inputs {
    Inputs {
        x: random(s.input_len(), 1),
        w: random(s.weight_len(), 2),
        dy: random(s.output_len(), 3),
        bias: random(s.k, 4),
    }
}

fn compute(isa: Isa, s: Conv2dShape, relu: bool) -> Results {
    compute_from(isa, s, relu, &inputs(&s))
}

fn compute_from(isa: Isa, s: Conv2dShape, relu: bool, Inputs { x, w, dy, bias }: &Inputs) -> Results {
    let conv = Conv2d::new(isa, s);
    let mut packed = vec![f32::NAN; conv.packed_forward_len()];
    let weights = conv.pack_forward(w, &mut packed);
    let mut y = vec![f32::NAN; s.output_len()];
    conv.forward(x, weights, Some(bias), relu, &mut y);
    let mut packed = vec![f32::NAN; conv.packed_input_grad_len()];
    let weights = conv.pack_input_grad(w, &mut packed);
    let mut dx = vec![f32::NAN; s.input_len()];
    conv.input_grad(dy, weights, &mut dx);
    let mut dw = vec![f32::NAN; s.weight_len()];
    conv.weight_grad(x, dy, &mut dw, false);
    Results { y, dx, dw }
}

/// The most error of a forward pass: algorithms of 8 points round more than the others. (Without fused
/// multiply-adds, products are rounded too.)
fn forward_bound(isa: Isa, s: &Conv2dShape) -> f64 {
    match (Algorithm::of_output(isa, s) == Algorithm::Wide, isa.name()) {
        (false, _) => 2.5e-6,
        (true, "portable") => 4.5e-6,
        (true, _) => 4e-6,
    }
}

fn check(s: Conv2dShape) {
    check_on(&Isa::available(), s, &inputs(&s));
}

fn check_on(isas: &[Isa], s: Conv2dShape, given: &Inputs) {
    let Inputs { x, w, dy, bias } = given;
    let mut y: Vec<f64> = (0..s.output_len()).map(|i| f64::from(bias[i % s.k])).collect();
    let (mut dx, mut dw) = (vec![0.0f64; s.input_len()], vec![0.0f64; s.weight_len()]);
    each_product(&s, |i, j, o| {
        y[o] += x[i] as f64 * w[j] as f64;
        dx[i] += w[j] as f64 * dy[o] as f64;
        dw[j] += x[i] as f64 * dy[o] as f64;
    });
    for &isa in isas {
        for relu in [false, true] {
            let got = compute_from(isa, s, relu, given);
            let want: Vec<f64> = y.iter().map(|&v| if relu { v.max(0.0) } else { v }).collect();
            assert!(
                error(&got.y, &want) < forward_bound(isa, &s),
                "forward {} of {s:?}, {}",
                error(&got.y, &want),
                isa.name()
            );
            assert!(error(&got.dx, &dx) < 6e-6, "dx {} of {s:?}, {}", error(&got.dx, &dx), isa.name());
            assert!(error(&got.dw, &dw) < 6e-6, "dw {} of {s:?}, {}", error(&got.dw, &dw), isa.name());
            let mut twice = got.dw.clone();
            Conv2d::new(isa, s).weight_grad(x, dy, &mut twice, true);
            assert!(twice.iter().zip(&got.dw).all(|(a, b)| (a - 2.0 * b).abs() <= 1e-5 * b.abs().max(1.0)));
        }
    }
}

fn shape(
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    k: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> Conv2dShape {
    Conv2dShape { n, h, w, c, k, kernel: [kernel; 2], stride: [stride; 2], padding: [pad; 2] }
}

#[test]
fn vgg_like_shapes_match_the_plain_loops() {
    for (n, h, w, c, k) in
        [(1, 8, 8, 16, 16), (2, 9, 7, 16, 48), (1, 13, 16, 32, 16), (3, 4, 4, 64, 80), (1, 5, 6, 272, 32)]
    {
        check(shape(n, h, w, c, k, 3, 1, 1));
    }
    check(shape(2, 12, 12, 3, 64, 3, 1, 1));
    check(shape(1, 6, 5, 17, 23, 3, 1, 1));
}

#[test]
fn many_tiles_take_the_fused_form() {
    check(shape(2, 84, 77, 16, 16, 3, 1, 1));
}

#[test]
fn other_kernels_strides_and_paddings_match_the_plain_loops() {
    for (kernel, stride, pad) in [
        (1, 1, 0),
        (1, 2, 0),
        (2, 2, 0),
        (3, 1, 0),
        (3, 2, 1),
        (3, 1, 2),
        (5, 3, 2),
        (7, 1, 3),
        (7, 1, 0),
        (3, 1, 5),
    ] {
        for (c, k) in [(1, 1), (3, 7), (8, 15), (16, 16), (31, 33)] {
            check(shape(2, 11, 9, c, k, kernel, stride, pad));
        }
    }
    let uneven =
        Conv2dShape { kernel: [3, 2], stride: [2, 1], padding: [0, 1], ..shape(1, 9, 8, 5, 6, 1, 1, 0) };
    check(uneven);
}

#[test]
fn seven_by_seven_windows_match_the_plain_loops() {
    // Odd and even maps, paddings, several blocks and groups of channels, several steps of tiles.
    for (n, h, w, c, k, pad) in [
        (1, 8, 8, 16, 16, 3),
        (2, 9, 11, 80, 48, 3),
        (1, 16, 15, 512, 16, 3),
        (1, 13, 15, 32, 16, 0),
        (1, 9, 10, 16, 16, 6),
        (3, 15, 18, 16, 16, 3),
        (1, 17, 9, 528, 16, 3),
        (1, 10, 9, 16, 544, 3),
    ] {
        check(shape(n, h, w, c, k, 7, 1, pad));
    }
}

#[test]
fn few_input_channels_match_the_plain_loops() {
    for (c, k) in [(1, 16), (2, 1), (3, 7), (3, 64), (4, 33), (5, 31)] {
        // Widths around the register tile's six pixels and the 32 that are summed together.
        for (h, w, pad) in
            [(1, 1, 1), (3, 4, 0), (4, 7, 0), (7, 5, 1), (5, 31, 1), (2, 35, 1), (9, 6, 2), (3, 2, 3)]
        {
            check(shape(2, h, w, c, k, 3, 1, pad));
        }
    }
    let uneven = Conv2dShape { padding: [0, 4], ..shape(1, 21, 66, 3, 17, 3, 1, 0) };
    check(uneven);
    check(shape(1, 7, 13, 3, 9, 3, 1, 100));
    check(shape(1, 0, 0, 3, 9, 3, 1, 2));
    check(shape(3, 2, 2, 3, 9, 3, 1, 0));
}

#[test]
fn fully_connected_layers_match_the_plain_loops() {
    for (h, w, c, k) in [(1, 1, 37, 5), (4, 4, 16, 50), (2, 3, 7, 1), (1, 1, 512, 300), (33, 32, 2, 9)] {
        for n in [1, 2, 13] {
            let s = Conv2dShape { kernel: [h, w], ..shape(n, h, w, c, k, 1, 1, 0) };
            check(s);
        }
    }
}

#[test]
fn empty_shapes_do_nothing() {
    check(shape(0, 8, 8, 16, 16, 3, 1, 1));
    check(shape(1, 2, 2, 3, 4, 5, 1, 0));
    check(shape(1, 1, 1, 1, 1, 1, 1, 0));
    // No channels on one side: sums of nothing.
    for (kernel, pad) in [(1, 0), (2, 1), (3, 1), (7, 3)] {
        check(shape(1, 9, 8, 0, 16, kernel, 1, pad));
        check(shape(1, 9, 8, 16, 0, kernel, 1, pad));
    }
}

#[test]
fn results_do_not_depend_on_threads_or_batch() {
    for s in [
        shape(5, 20, 20, 32, 64, 3, 1, 1),
        shape(2, 40, 41, 16, 16, 3, 1, 1),
        shape(4, 9, 9, 24, 10, 5, 2, 1),
        shape(3, 14, 15, 16, 48, 7, 1, 3),
        shape(3, 30, 41, 3, 40, 3, 1, 1),
        shape(2, 9, 10, 4, 16, 3, 1, 5),
    ] {
        for isa in Isa::available().into_iter().chain(Isa::bf16()) {
            let one = Pool::new(1).install(|| compute(isa, s, true));
            for threads in [2, 3, 8] {
                let many = Pool::new(threads).install(|| compute(isa, s, true));
                assert!(
                    one.y == many.y && one.dx == many.dx && one.dw == many.dw,
                    "{threads} threads, {s:?}"
                );
            }
            let first = compute(isa, Conv2dShape { n: 1, ..s }, true);
            assert!(first.y == one.y[..first.y.len()] && first.dx == one.dx[..first.dx.len()]);
        }
    }
}

#[test]
fn the_scratch_that_is_kept_is_no_more_than_said() {
    for isa in Isa::available().into_iter().chain(Isa::bf16()) {
        for s in [
            shape(1, 8, 8, 16, 16, 3, 1, 1),
            shape(2, 84, 77, 16, 16, 3, 1, 1),
            shape(2, 40, 40, 64, 128, 3, 1, 1),
            shape(2, 30, 31, 3, 16, 3, 1, 1),
            shape(3, 15, 18, 32, 16, 7, 1, 3),
            shape(1, 10, 9, 16, 544, 7, 1, 3),
            shape(5, 1, 1, 512, 128, 1, 1, 0),
            shape(2, 11, 9, 31, 33, 5, 3, 2),
        ] {
            // A thread that has not computed yet.
            let (kept, said) = Pool::new(1).install(|| {
                compute(isa, s, true);
                (4 * crate::scratch::kept(), Conv2d::new(isa, s).scratch_bytes())
            });
            assert!(kept <= said, "{kept} bytes kept, {said} said, of {s:?}, {}", isa.name());
            let several = Pool::new(8).install(|| Conv2d::new(isa, s).scratch_bytes());
            assert!(several <= 8 * said, "{several} on eight threads, {said} on one, of {s:?}");
        }
    }
}

#[test]
fn nan_in_the_input_reaches_the_output_through_relu() {
    for (c, k) in [(3, 4), (16, 16), (32, 32)] {
        let s = shape(1, 8, 8, c, k, 3, 1, 1);
        for isa in Isa::available().into_iter().chain(Isa::bf16()) {
            let conv = Conv2d::new(isa, s);
            let mut packed = vec![0.0; conv.packed_forward_len()];
            conv.pack_forward(&vec![1.0; s.weight_len()], &mut packed);
            let mut x = vec![0.0; s.input_len()];
            x[0] = f32::NAN;
            let mut y = vec![0.0; s.output_len()];
            conv.forward(&x, &packed, None, true, &mut y);
            assert!(y[0].is_nan(), "{}", isa.name());
        }
    }
}

#[test]
fn pooling_within_a_convolution_gives_the_bits_of_the_two_passes() {
    use crate::pool::{Pool2dShape, max_pool2d};
    for s in [
        shape(2, 8, 8, 16, 32, 3, 1, 1),
        shape(1, 9, 11, 16, 16, 3, 1, 1),
        shape(2, 14, 7, 32, 80, 3, 1, 1),
        shape(2, 15, 14, 32, 96, 3, 1, 1),
        shape(1, 140, 171, 64, 32, 3, 1, 1),
        shape(1, 115, 118, 16, 16, 3, 1, 1),
        shape(1, 1, 3, 16, 16, 3, 1, 2),
    ] {
        let (mut x, w, bias) = (random(s.input_len(), 1), random(s.weight_len(), 2), random(s.k, 4));
        x[5] = f32::NAN;
        let window = Pool2dShape {
            n: s.n,
            h: s.out_h(),
            w: s.out_w(),
            c: s.k,
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            ceil_mode: false,
        };
        let all = Isa::available().into_iter().chain(Isa::bf16());
        for (isa, relu) in all.flat_map(|isa| [(isa, false), (isa, true)]) {
            assert!(Conv2d::can_max_pool(&s), "{s:?}");
            let conv = Conv2d::new(isa, s);
            let mut packed = vec![0.0; conv.packed_forward_len()];
            conv.pack_forward(&w, &mut packed);
            let mut y = vec![0.0; s.output_len()];
            conv.forward(&x, &packed, Some(&bias), relu, &mut y);
            let pooled = s.n * window.out_h() * window.out_w() * s.k;
            let (mut want, mut want_places) = (vec![0.0; pooled], vec![9; pooled]);
            max_pool2d(isa, &window, &y, &mut want, Some(&mut want_places));
            let (mut got, mut places) = (vec![1.0; pooled], vec![7; pooled]);
            conv.forward_max_pooled(&x, &packed, Some(&bias), relu, &mut got, Some(&mut places));
            assert!(places == want_places, "{s:?}, {}", isa.name());
            assert!(
                got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
            );
            got.fill(1.0);
            conv.forward_max_pooled(&x, &packed, Some(&bias), relu, &mut got, None);
            assert!(
                got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
            );
        }
    }
}

/// Numbers as the tile unit takes them.
fn rounded(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|x| f32::from_bits(crate::amx::round(x) << 16)).collect()
}

#[test]
fn products_in_bf16_match_the_plain_loops_on_rounded_numbers() {
    // (Says nothing on a machine without the unit.)
    let Some(isa) = Isa::bf16() else { return };
    for s in [
        shape(1, 8, 8, 32, 32, 3, 1, 1),
        shape(2, 9, 7, 64, 32, 3, 1, 1),
        shape(3, 1, 1, 32, 64, 3, 1, 1),
        shape(1, 13, 16, 32, 96, 3, 1, 0),
        shape(2, 7, 5, 32, 32, 3, 1, 2),
        shape(5, 7, 7, 96, 64, 7, 1, 3),
        shape(1, 15, 16, 544, 32, 7, 1, 3),
        shape(3, 4, 5, 64, 96, 1, 1, 0),
        shape(1, 1, 1, 64, 32, 1, 1, 0),
        shape(2, 4, 5, 64, 32, 1, 1, 1),
        shape(2, 70, 131, 32, 32, 3, 1, 1),
        shape(1, 3, 11000, 32, 32, 3, 1, 1),
        Conv2dShape { padding: [0, 4], ..shape(2, 6, 9, 32, 64, 3, 1, 0) },
        shape(1, 6, 7, 32, 32, 3, 1, 5),
    ] {
        assert!(half::applies(isa, &s), "{s:?}");
        let Inputs { x, w, dy, bias } = inputs(&s);
        let given = Inputs { x: rounded(x), w: rounded(w), dy: rounded(dy), bias };
        check_on(&[isa], s, &given);
        // What is not rounded beforehand: an element's error is up to 2^-8 of it.
        for relu in [false, true] {
            let want: Vec<f64> = compute_from(isa, s, relu, &given).y.iter().map(|&v| f64::from(v)).collect();
            assert!(error(&compute(isa, s, relu).y, &want) < 5e-3, "{s:?}");
        }
    }
}
