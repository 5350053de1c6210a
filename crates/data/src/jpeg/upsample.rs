//! Bringing components to the picture's size, as libjpeg-turbo does (`jdsample.c`).

use super::Fault;
use super::scan::Plane;

/// How a component is brought to the picture's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Each sample becomes this many columns and rows (1 and 1: nothing to do).
    Repeat(usize, usize),
    /// Twice the columns, three quarters of the nearer and one of the farther sample.
    Triangle2x1,
    /// Twice the rows, likewise.
    Triangle1x2,
    /// Twice of both.
    Triangle2x2,
}

/// The method for a component with these sampling factors, the largest factors, and its width in samples.
pub(super) fn choose([h, v]: [usize; 2], [max_h, max_v]: [usize; 2], width: usize) -> Result<Method, Fault> {
    if max_h % h != 0 || max_v % v != 0 {
        return Err(Fault::Unsupported("a JPEG with fractional sampling"));
    }
    // libjpeg-turbo needs more than two columns to interpolate between them.
    Ok(match (max_h / h, max_v / v) {
        (2, 1) if width > 2 => Method::Triangle2x1,
        (1, 2) => Method::Triangle1x2,
        (2, 2) if width > 2 => Method::Triangle2x2,
        (x, y) => Method::Repeat(x, y),
    })
}

impl Method {
    /// Writes row `y` of the picture; `out` holds a few samples more than the picture's width.
    pub(super) fn row(self, plane: &Plane, y: usize, out: &mut [u8]) {
        let at = |row: usize| &plane.samples[row * plane.stride..][..plane.width];
        match self {
            Method::Repeat(1, rows) => {
                let from = at(y / rows);
                let n = from.len().min(out.len());
                out[..n].copy_from_slice(&from[..n]);
            }
            Method::Repeat(columns, rows) => {
                for (to, &v) in out.chunks_mut(columns).zip(at(y / rows)) {
                    to.fill(v);
                }
            }
            Method::Triangle2x1 => {
                let from = at(y);
                widen(from.len(), out, |x| u32::from(from[x]), [1, 2], 2);
            }
            Method::Triangle1x2 => {
                let (near, far) = (at(y / 2), at(other_row(y, plane.height)));
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((to, &a), &b) in out.iter_mut().zip(near).zip(far) {
                    *to = ((u32::from(a) * 3 + u32::from(b) + bias) >> 2) as u8;
                }
            }
            Method::Triangle2x2 => {
                let (near, far) = (at(y / 2), at(other_row(y, plane.height)));
                widen(near.len(), out, |x| u32::from(near[x]) * 3 + u32::from(far[x]), [8, 7], 4);
            }
        }
    }
}

/// The row that a row of twice the height lies next to; beyond the edge comes the last row again.
fn other_row(y: usize, height: usize) -> usize {
    if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(height - 1) }
}

/// Twice `n` columns from `value(x)`: three parts of the nearer and one of the farther, plus a bias that
/// alternates so that rounding does not drift, over 2^`shift`.
#[inline(always)]
fn widen(n: usize, out: &mut [u8], value: impl Fn(usize) -> u32, [left, right]: [u32; 2], shift: u32) {
    let mut last = value(0);
    let mut this = last;
    for (x, to) in out.as_chunks_mut::<2>().0.iter_mut().take(n).enumerate() {
        // At an edge the farther sample is the nearer one again.
        let next = if x + 1 < n { value(x + 1) } else { this };
        *to = [((this * 3 + last + left) >> shift) as u8, ((this * 3 + next + right) >> shift) as u8];
        last = this;
        this = next;
    }
}
