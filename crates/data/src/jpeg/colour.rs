//! Y, Cb, Cr to R, G, B, in libjpeg's 16-bit fixed point (`jdcolor.c`).

const ONE_HALF: i32 = 1 << 15;
// 1.402, 1.772, 0.71414 and 0.34414 times 2^16.
const CR_TO_R: i32 = 91881;
const CB_TO_B: i32 = 116130;
const CR_TO_G: i32 = 46802;
const CB_TO_G: i32 = 22554;

/// Converts one row; `rgb` is shorter than the rows of components or as long.
pub(super) fn row([a, b, c]: [&[u8]; 3], is_rgb: bool, rgb: &mut [[u8; 3]]) {
    let samples = a.iter().zip(b).zip(c);
    for (to, ((&a, &b), &c)) in rgb.iter_mut().zip(samples) {
        if is_rgb {
            *to = [a, b, c];
            continue;
        }
        let (y, cb, cr) = (i32::from(a), i32::from(b) - 128, i32::from(c) - 128);
        let r = y + ((CR_TO_R * cr + ONE_HALF) >> 16);
        let g = y + ((-CB_TO_G * cb - CR_TO_G * cr + ONE_HALF) >> 16);
        let b = y + ((CB_TO_B * cb + ONE_HALF) >> 16);
        *to = [r, g, b].map(|v| v.clamp(0, 255) as u8);
    }
}
