//! Arcs with fewer corners that cross no other.
//!
//! A corner is taken out (Visvalingam's order: the smallest triangle first) when all corners that its new line replaces
//! lie near it, and the triangle between the old and the new line holds no corner of any arc. Then nothing can lie between
//! the two lines, and the map's topology stays as it was.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::arcs::Arc;

/// Corners of all arcs of a band: how many arcs turn or end at each.
struct Corners {
    counts: Vec<u8>,
    columns: usize,
    top: u32,
}

impl Corners {
    fn at(&mut self, [x, y]: [u32; 2]) -> &mut u8 {
        &mut self.counts[(y - self.top) as usize * self.columns + x as usize]
    }

    /// Whether the triangle, its border included, holds a corner beside its own three.
    fn in_triangle(&self, p: [u32; 2], v: [u32; 2], n: [u32; 2]) -> bool {
        let points = [p, v, n].map(|q| q.map(i64::from));
        let turn = |a: [i64; 2], b: [i64; 2], c: [i64; 2]| {
            (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
        };
        let sign = turn(points[0], points[1], points[2]).signum();
        let edges = [(points[0], points[1]), (points[1], points[2]), (points[0], points[2])];
        let rows = points.iter().map(|q| q[1]);
        for y in rows.clone().min().unwrap_or(0)..=rows.max().unwrap_or(-1) {
            // The columns of the triangle in this row.
            let (mut low, mut high) = (i64::MAX, i64::MIN);
            for (a, b) in edges {
                if y < a[1].min(b[1]) || y > a[1].max(b[1]) {
                    continue;
                }
                if a[1] == b[1] {
                    (low, high) = (low.min(a[0].min(b[0])), high.max(a[0].max(b[0])));
                } else {
                    let x = a[0] as f64 + (y - a[1]) as f64 / (b[1] - a[1]) as f64 * (b[0] - a[0]) as f64;
                    (low, high) = (low.min((x - 1e-6).floor() as i64), high.max((x + 1e-6).ceil() as i64));
                }
            }
            for x in low.max(0)..=high.min(self.columns as i64 - 1) {
                let q = [x, y];
                let place = (y - i64::from(self.top)) as usize * self.columns + x as usize;
                if self.counts[place] == 0 || points.contains(&q) {
                    continue;
                }
                let sides = [0, 1, 2].map(|i| turn(points[i], points[(i + 1) % 3], q));
                let inside = match sign {
                    // All three on a line, whose columns were just counted.
                    0 => sides == [0; 3],
                    sign => sides.iter().all(|side| side * sign >= 0),
                };
                if inside {
                    return true;
                }
            }
        }
        false
    }
}

fn twice_area(p: [u32; 2], v: [u32; 2], n: [u32; 2]) -> u64 {
    let [p, v, n] = [p, v, n].map(|q| q.map(i64::from));
    ((v[0] - p[0]) * (n[1] - p[1]) - (v[1] - p[1]) * (n[0] - p[0])).unsigned_abs()
}

/// Distance of `q` from the line between `a` and `b`, squared.
fn distance2(q: [u32; 2], a: [u32; 2], b: [u32; 2]) -> f64 {
    let [q, a, b] = [q, a, b].map(|p| p.map(f64::from));
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length2 = dx * dx + dy * dy;
    let along = if length2 > 0.0 { ((q[0] - a[0]) * dx + (q[1] - a[1]) * dy) / length2 } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    let (x, y) = (a[0] + along * dx - q[0], a[1] + along * dy - q[1]);
    x * x + y * y
}

/// The two ends of an arc that is one line, in a fixed order.
fn ends(a: [u32; 2], b: [u32; 2]) -> [[u32; 2]; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

/// Simplifies the arcs of a band of `rows` rows from row `top`; no corner moves farther than `tolerance` pixels.
pub(super) fn simplify(arcs: &mut [Arc], width: usize, top: usize, rows: usize, cut: usize, tolerance: f64) {
    let columns = width + 1;
    let mut corners = Corners { counts: vec![0; columns * (rows + 1)], columns, top: top as u32 };
    let mut lines = HashSet::new();
    for arc in arcs.iter() {
        for point in &arc.points {
            let count = corners.at(*point);
            *count = count.saturating_add(1);
        }
        if let [a, b] = arc.points[..] {
            lines.insert(ends(a, b));
        }
    }
    let is_cut = |y: u32| (y as usize).is_multiple_of(cut);
    for arc in arcs {
        one(arc, &mut corners, &mut lines, &is_cut, tolerance);
    }
}

fn one(
    arc: &mut Arc,
    corners: &mut Corners,
    lines: &mut HashSet<[[u32; 2]; 2]>,
    is_cut: &dyn Fn(u32) -> bool,
    tolerance: f64,
) {
    let points = &arc.points;
    let count = points.len();
    let closed = points[0] == points[count - 1];
    let fewest = if closed { 4 } else { 2 };
    let mut left = count;
    let mut before: Vec<usize> = (0..count).map(|i| i.saturating_sub(1)).collect();
    let mut after: Vec<usize> = (0..count).map(|i| (i + 1).min(count - 1)).collect();
    let mut gone = vec![false; count];
    let key = |i: usize, before: &[usize], after: &[usize]| {
        Reverse((twice_area(points[before[i]], points[i], points[after[i]]), i))
    };
    let mut queue: BinaryHeap<_> = (1..count.saturating_sub(1)).map(|i| key(i, &before, &after)).collect();
    while let Some(Reverse((area, i))) = queue.pop() {
        if left <= fewest {
            break;
        }
        if gone[i] {
            continue;
        }
        let (p, n) = (before[i], after[i]);
        let Reverse((now, _)) = key(i, &before, &after);
        if now != area {
            // Neighbours went since: it stands elsewhere in the queue.
            continue;
        }
        let (a, v, b) = (points[p], points[i], points[n]);
        let along_cut = a[1] == b[1] && is_cut(a[1]);
        let near = (p + 1..n).all(|at| distance2(points[at], a, b) <= tolerance * tolerance);
        let one_line = left == 3;
        if a == b
            || along_cut
            || !near
            || (one_line && lines.contains(&ends(a, b)))
            || corners.in_triangle(a, v, b)
        {
            continue;
        }
        gone[i] = true;
        left -= 1;
        *corners.at(v) -= 1;
        if one_line {
            lines.insert(ends(a, b));
        }
        after[p] = n;
        before[n] = p;
        for other in [p, n] {
            if other > 0 && other + 1 < count {
                queue.push(key(other, &before, &after));
            }
        }
    }
    let mut i = 0;
    arc.points.retain(|_| {
        i += 1;
        !gone[i - 1]
    });
}
