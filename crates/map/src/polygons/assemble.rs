//! Rings from the arcs around a component.

use std::collections::HashMap;

use super::arcs::Arc;

/// An arc walked so that the component lies on its left.
#[derive(Clone, Copy)]
struct Walk<'a> {
    arc: &'a Arc,
    forward: bool,
}

impl Walk<'_> {
    fn start(&self) -> [u32; 2] {
        let points = &self.arc.points;
        if self.forward { points[0] } else { points[points.len() - 1] }
    }

    fn end(&self) -> [u32; 2] {
        Walk { forward: !self.forward, ..*self }.start()
    }

    fn first_step(&self) -> u8 {
        if self.forward { self.arc.steps[0] } else { (self.arc.steps[1] + 2) % 4 }
    }

    fn last_step(&self) -> u8 {
        if self.forward { self.arc.steps[1] } else { (self.arc.steps[0] + 2) % 4 }
    }

    fn start_meets(&self) -> bool {
        self.arc.meets[usize::from(!self.forward)]
    }

    fn end_meets(&self) -> bool {
        self.arc.meets[usize::from(self.forward)]
    }
}

/// The closed rings of a component, the outer one first; the others are its holes.
///
/// Where the component touches itself at a corner, the walk turns right, away from the pixel it came along: what it encloses
/// there becomes a hole that touches the outer ring in one point, and no ring passes a point twice.
pub(super) fn rings<'a>(arcs: &[(u32, bool)], get: impl Fn(u32) -> Option<&'a Arc>) -> Vec<Vec<[u32; 2]>> {
    let walks: Vec<Walk<'_>> =
        arcs.iter().filter_map(|(at, on_left)| Some(Walk { arc: get(*at)?, forward: *on_left })).collect();
    let mut leaving: HashMap<[u32; 2], Vec<usize>> = HashMap::new();
    for (i, walk) in walks.iter().enumerate() {
        leaving.entry(walk.start()).or_default().push(i);
    }
    let mut used = vec![false; walks.len()];
    let mut rings = Vec::new();
    for first in 0..walks.len() {
        if used[first] {
            continue;
        }
        let mut ring: Vec<[u32; 2]> = Vec::new();
        // Where each arc begins, and whether three or four borders meet there. Of the two arcs at a cut the upper one does
        // not know what lies below.
        let mut joints = Vec::new();
        let mut meets = false;
        let mut at = first;
        loop {
            used[at] = true;
            let walk = walks[at];
            joints.push((ring.len(), walk.start_meets() || meets));
            meets = walk.end_meets();
            let points = &walk.arc.points;
            if walk.forward {
                ring.extend(&points[..points.len() - 1]);
            } else {
                ring.extend(points[1..].iter().rev());
            }
            let wanted = (walk.last_step() + 1) % 4;
            let next = leaving.get(&walk.end()).and_then(|others| {
                let free = || others.iter().copied().filter(|other| !used[*other]);
                free().find(|other| walks[*other].first_step() == wanted).or_else(|| free().next())
            });
            // Back at the first arc, which is used.
            if walk.end() == walks[first].start() {
                let others = leaving.get(&walk.end()).map_or(0, Vec::len);
                let turns_on = others > 1
                    && walks[first].first_step() != wanted
                    && next.is_some_and(|next| walks[next].first_step() == wanted);
                if !turns_on {
                    break;
                }
            }
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        joints[0].1 |= meets;
        let seams: Vec<usize> = joints.into_iter().filter(|(_, meets)| !meets).map(|(at, _)| at).collect();
        rings.push(without_seams(&ring, &seams));
    }
    let size = |ring: &Vec<[u32; 2]>| twice_area(ring).abs();
    if let Some(outer) = (0..rings.len()).max_by_key(|i| (size(&rings[*i]), std::cmp::Reverse(*i))) {
        rings.swap(0, outer);
    }
    rings
}

fn cross(a: [u32; 2], b: [u32; 2], c: [u32; 2]) -> i64 {
    let [ax, ay, bx, by, cx, cy] = [a[0], a[1], b[0], b[1], c[0], c[1]].map(i64::from);
    (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
}

/// Twice the signed area of a ring.
pub(super) fn twice_area(ring: &[[u32; 2]]) -> i64 {
    ring.windows(2)
        .map(|p| i64::from(p[0][0]) * i64::from(p[1][1]) - i64::from(p[1][0]) * i64::from(p[0][1]))
        .sum()
}

/// The ring closed, without those seams (places where only the cut into bands ended an arc) that lie on a straight line.
fn without_seams(ring: &[[u32; 2]], seams: &[usize]) -> Vec<[u32; 2]> {
    let count = ring.len();
    let mut straight = seams.iter().copied().filter(|at| {
        let (before, after) = (ring[(at + count - 1) % count], ring[(at + 1) % count]);
        cross(before, ring[*at], after) == 0
    });
    let mut next = straight.next();
    let mut out = Vec::with_capacity(count + 1);
    for (i, point) in ring.iter().enumerate() {
        if next == Some(i) {
            next = straight.next();
        } else {
            out.push(*point);
        }
    }
    out.extend(out.first().copied());
    out
}
