//! A convolution cut into square tiles of its output, as Winograd's algorithms compute it.

use std::ops::Range;

use super::shape::Conv2dShape;
use crate::simd::Simd;
use crate::threads::SharedMut;

/// The most channels that the pixels of a tile are looked up for.
pub(super) const MOST: usize = 1024;

static ZEROS: [f32; MOST] = [0.0; MOST];

/// Which of the two convolutions is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// The output from the input.
    Forward,
    /// The input's gradient from the output's.
    InputGrad,
}

/// Sizes of a convolution of stride 1, seen from the input and output of what is computed.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub k: usize,
    /// Zeros above and to the left.
    pub pad: [isize; 2],
    /// Rows and columns of a tile of the output.
    pub side: usize,
}

impl Tiling {
    pub(super) fn new(s: &Conv2dShape, pass: Pass, side: usize) -> Tiling {
        let pad = s.padding.map(|pad| pad as isize);
        let (n, h, w, out_h, out_w) = (s.n, s.h, s.w, s.out_h(), s.out_w());
        match pass {
            Pass::Forward => Tiling { n, h, w, c: s.c, out_h, out_w, k: s.k, pad, side },
            Pass::InputGrad => {
                let pad = [0, 1].map(|d| s.kernel[d] as isize - 1 - pad[d]);
                Tiling { n, h: out_h, w: out_w, c: s.k, out_h: h, out_w: w, k: s.c, pad, side }
            }
        }
    }

    /// Tiles of one image.
    pub(super) fn image_tiles(&self) -> usize {
        self.out_h.div_ceil(self.side) * self.out_w.div_ceil(self.side)
    }

    pub(super) fn tiles(&self) -> usize {
        self.n * self.image_tiles()
    }

    /// Image, first row and first column (in the output) of a tile.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = (self.out_h.div_ceil(self.side), self.out_w.div_ceil(self.side));
        (tile / (rows * columns), tile / columns % rows * self.side, tile % columns * self.side)
    }

    /// Where the given channels of the pixels of the input start, a square of `LEN`, that a tile begins to see at
    /// its first output; those outside the image start at zeros.
    #[inline(always)]
    pub(super) fn pixels<const LEN: usize>(
        &self,
        source: &[f32],
        tile: usize,
        channels: Range<usize>,
    ) -> [*const f32; LEN] {
        debug_assert!(channels.len() <= MOST);
        let (image, y, x) = self.place(tile);
        let (y, x) = (y as isize - self.pad[0], x as isize - self.pad[1]);
        let mut pixels = [ZEROS.as_ptr(); LEN];
        let side = LEN.isqrt();
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let (y, x) = (y + (i / side) as isize, x + (i % side) as isize);
            if y >= 0 && x >= 0 && y < self.h as isize && x < self.w as isize {
                let at = ((image * self.h + y as usize) * self.w + x as usize) * self.c;
                *pixel = source[at + channels.start..at + channels.end].as_ptr();
            }
        }
        pixels
    }
}

/// Writes the maximum of a 2x2 window of LANES channels to `y` from `at` on, and its place, as
/// [`crate::pool::max_pool2d`] compares and counts them: first the pixels of each row, then the rows.
///
/// # Safety
/// `y` must have LANES numbers from `at` on, and no other thread may use them or those of `argmax`.
#[inline(always)]
pub(super) unsafe fn store_maximum<S: Simd>(
    simd: S,
    [top, bottom]: [[S::V; 2]; 2],
    y: &SharedMut<f32>,
    argmax: Option<&SharedMut<u8>>,
    at: usize,
) {
    let place: [S::V; 4] = std::array::from_fn(|i| simd.splat(i as f32));
    let (a, place_a) = simd.larger(top[0], place[0], top[1], place[1]);
    let (b, place_b) = simd.larger(bottom[0], place[2], bottom[1], place[3]);
    let (best, places) = simd.larger(a, place_a, b, place_b);
    // SAFETY: what the caller promises.
    unsafe {
        simd.store(y.as_mut_ptr().add(at), best);
        if let Some(argmax) = argmax {
            let mut numbers = [0.0f32; 16];
            simd.store(numbers.as_mut_ptr(), places);
            for (to, from) in argmax.slice(at..at + S::LANES).iter_mut().zip(numbers) {
                *to = from as u8;
            }
        }
    }
}

/// Rounds a distance up to an odd number of cache lines, so that what lies so far apart falls into different sets.
pub(super) fn odd_lines(len: usize) -> usize {
    len.next_multiple_of(32) + 16
}
