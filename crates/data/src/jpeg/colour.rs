//! From a file's components to R, G, B.

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    /// Y, Cb, Cr.
    Ycc,
    /// Inverted cyan, magenta, yellow and black, as Adobe's programs write them and Pillow always takes them.
    Cmyk,
    /// The same with the first three turned into Y, Cb, Cr.
    Ycck,
}

// libjpeg's 16-bit fixed point (`jdcolor.c`): 1.402, 1.772, 0.71414 and 0.34414 times 2^16.
const ONE_HALF: i32 = 1 << 15;
const CR_TO_R: i32 = 91881;
const CB_TO_B: i32 = 116130;
const CR_TO_G: i32 = 46802;
const CB_TO_G: i32 = 22554;

/// Converts one row; `rgb` is shorter than the rows of components or as long.
pub(super) fn row(colours: Colours, rows: &[Vec<u8>], rgb: &mut [[u8; 3]]) {
    match (colours, rows) {
        (Colours::Ycc, [y, cb, cr]) => {
            let samples = y.iter().zip(cb).zip(cr);
            rgb.iter_mut().zip(samples).for_each(|(to, ((&y, &cb), &cr))| *to = from_ycc(y, cb, cr));
        }
        (Colours::Rgb, [r, g, b]) => {
            let samples = r.iter().zip(g).zip(b);
            rgb.iter_mut().zip(samples).for_each(|(to, ((&r, &g), &b))| *to = [r, g, b]);
        }
        (Colours::Cmyk | Colours::Ycck, [a, b, c, k]) => {
            for (x, to) in rgb.iter_mut().enumerate() {
                let inverted = match colours {
                    // The file's Y, Cb, Cr give R, G, B; cyan, magenta and yellow are their complements.
                    Colours::Ycck => from_ycc(a[x], b[x], c[x]).map(|v| 255 - v),
                    _ => [a[x], b[x], c[x]],
                };
                *to = inverted.map(|v| under_black(v, k[x]));
            }
        }
        (_, rows) => rgb.iter_mut().zip(&rows[0]).for_each(|(to, &v)| *to = [v; 3]),
    }
}

#[inline(always)]
fn from_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((CR_TO_R * cr + ONE_HALF) >> 16);
    let g = y + ((-CB_TO_G * cb - CR_TO_G * cr + ONE_HALF) >> 16);
    let b = y + ((CB_TO_B * cb + ONE_HALF) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}

/// Pillow's `cmyk2rgb` for one ink, both values inverted: black - (255 - ink) * black / 255.
fn under_black(ink: u8, black: u8) -> u8 {
    let product = u32::from(255 - ink) * u32::from(black) + 128;
    black - ((product + (product >> 8)) >> 8) as u8
}
