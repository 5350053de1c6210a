//! Borders within a band of rows, followed from node to node.

use super::NONE;

/// Right, down, left, up: a turn to the right is the next one.
pub(super) const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// A border between two nodes, or around from a corner to itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arc {
    /// Pixel corners where the border turns, and its two ends.
    pub points: Vec<[u32; 2]>,
    /// Directions of the first and the last step.
    pub steps: [u8; 2],
    /// Whether each end is a node where three or four borders meet.
    pub meets: [bool; 2],
    /// The labels of the pixels on the left and on the right.
    pub left: u32,
    pub right: u32,
}

/// Rows of a map with one more above and a column of nothing on each side.
pub(super) struct Band<'a> {
    pub ids: &'a [u8],
    pub labels: &'a [u32],
    /// Columns, those of nothing included.
    pub padded: usize,
    /// Rows without the one above.
    pub rows: usize,
    /// The map's row that is the first of the band.
    pub top: usize,
    /// Bands begin at multiples of this.
    pub cut: usize,
}

impl Band<'_> {
    /// The four pixels around corner (`x`, `y`) of the band: upper left, upper right, lower left, lower right.
    fn around(&self, x: usize, y: usize) -> [usize; 4] {
        let at = y * self.padded + x;
        [at, at + 1, at + self.padded, at + self.padded + 1]
    }

    /// Whether borders leave a corner to the right, down, left, up. The corners below the band's last row belong to the next.
    fn borders(&self, x: usize, y: usize) -> [bool; 4] {
        let differ = |a: usize, b: usize| self.ids[a] != self.ids[b];
        if y == self.rows {
            let above = y * self.padded + x;
            return [false, false, false, differ(above, above + 1)];
        }
        let [a, b, c, d] = self.around(x, y);
        // The borders above the band's first line were followed with the band above.
        [differ(b, d), differ(c, d), differ(a, c), y > 0 && differ(a, b)]
    }

    /// Whether arcs end at a corner, and whether that is because three or four borders meet there.
    fn node(&self, x: usize, y: usize) -> (bool, bool) {
        let line = y == 0 || y == self.rows;
        if y == self.rows {
            // The next row is not known yet; every border that comes down to the line ends there.
            return (true, false);
        }
        let [a, b, c, d] = self.around(x, y);
        let differ = |a: usize, b: usize| self.ids[a] != self.ids[b];
        let (up, down) = (differ(a, b), differ(c, d));
        let count = [up, down, differ(a, c), differ(b, d)].into_iter().filter(|is| *is).count();
        (count >= 3 || (line && (up || down)), count >= 3)
    }

    /// All borders of the band, each once.
    pub fn arcs(&self) -> Vec<Arc> {
        debug_assert!(self.top.is_multiple_of(self.cut));
        let columns = self.padded - 1;
        // Whether the border to the right of and below each corner has been followed.
        let mut done = vec![[false; 2]; columns * (self.rows + 1)];
        let mut arcs = Vec::new();
        for only_nodes in [true, false] {
            for y in 0..=self.rows {
                for x in 0..columns {
                    let borders = self.borders(x, y);
                    if borders == [false; 4] || (only_nodes && !self.node(x, y).0) {
                        continue;
                    }
                    for step in 0..4 {
                        if borders[step] && !*edge(&mut done, columns, [x, y], step) {
                            arcs.push(self.follow(&mut done, [x, y], step));
                        }
                    }
                }
            }
        }
        arcs
    }

    fn follow(&self, done: &mut [[bool; 2]], start: [usize; 2], first: usize) -> Arc {
        let columns = self.padded - 1;
        let map = |[x, y]: [usize; 2]| [x as u32, (y + self.top) as u32];
        let [left, right] = self.sides(start, first);
        let mut arc = Arc {
            points: vec![map(start)],
            steps: [first as u8; 2],
            meets: [self.node(start[0], start[1]).1; 2],
            left,
            right,
        };
        let (mut at, mut step) = (start, first);
        loop {
            *edge(done, columns, at, step) = true;
            at = moved(at, step);
            let (ends, meets) = self.node(at[0], at[1]);
            if ends || at == start {
                arc.points.push(map(at));
                arc.steps[1] = step as u8;
                arc.meets[1] = meets;
                return arc;
            }
            let borders = self.borders(at[0], at[1]);
            // A corner that is no node has two borders: the one that we came by and another.
            let Some(next) = (0..4).find(|next| borders[*next] && *next != (step + 2) % 4) else {
                arc.points.push(map(at));
                arc.steps[1] = step as u8;
                return arc;
            };
            if next != step {
                arc.points.push(map(at));
            }
            step = next;
        }
    }

    /// Labels to the left and to the right of a step from a corner.
    fn sides(&self, [x, y]: [usize; 2], step: usize) -> [u32; 2] {
        // Around the corner: upper left, upper right, lower left, lower right.
        let at = y * self.padded + x;
        let label = |at: usize| self.labels.get(at).copied().unwrap_or(NONE);
        let [a, b, c, d] = [at, at + 1, at + self.padded, at + self.padded + 1].map(label);
        match step {
            0 => [b, d],
            1 => [d, c],
            2 => [c, a],
            _ => [a, b],
        }
    }
}

fn moved([x, y]: [usize; 2], step: usize) -> [usize; 2] {
    let [dx, dy] = STEPS[step];
    [(x as i64 + dx) as usize, (y as i64 + dy) as usize]
}

/// The mark of the border that leaves a corner in this direction.
fn edge(done: &mut [[bool; 2]], columns: usize, at: [usize; 2], step: usize) -> &mut bool {
    let [x, y] = if step < 2 { at } else { moved(at, step) };
    &mut done[y * columns + x][step % 2]
}
