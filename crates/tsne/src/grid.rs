//! Repulsion by interpolation on a grid and fast Fourier transforms.
//!
//! The idea is FIt-SNE's (Linderman and others, Nature Methods 16, 2019): forces between all pairs are a
//! convolution with a smooth kernel. Points are spread onto a regular grid, the grid is convolved with the kernel by
//! FFT, and the result is read off at the points. Here, interpolation is by cubic B-splines instead of pieces of
//! Lagrange polynomials: the kernel's samples are divided, in Fourier space, by the spectrum of the B-spline's
//! samples, which makes spreading and reading the cubic spline that interpolates the kernel (Unser 1999; the
//! particle-mesh method of Essmann and others 1995). At the same grid the error is some twenty times lower, and at
//! the same error the grid has a quarter of the nodes.
//!
//! A charge of 1 is spread for each point, and three kernels act on it: dx / (1 + d^2)^2, dy / (1 + d^2)^2 and
//! 1 / (1 + d^2). The first two are odd, so that their spectra are imaginary, and go back in one complex transform
//! as real and imaginary part. The third is wanted only as the sum Z over all points, which is a sum over its
//! spectrum and needs no transform back. So an iteration costs a real transform and a complex one.
//!
//! The distance of the nodes is fixed for large maps, so the kernels' spectra change only when the map has grown
//! beyond the grid. Points are sorted by grid row; each task owns a strip of rows and takes its points in order, so
//! that the bits do not depend on threads.

mod kernels;
mod transform;

use hectare_kernels::threads::parallel_chunks_mut;

use crate::order::Extent;
use crate::parts::map_parts;
use kernels::Spectra;
use transform::{Field, Plan};

/// Distance of nodes in large maps. The force's error is then 0.4 to 1.2 % of its size (root mean square over
/// points), less than Barnes-Hut's at its usual 0.5.
const SPACING: f32 = 0.4;

/// Distances of nodes in maps of up to so much extent, where a finer grid costs little.
const FINER: [(f32, f32); 2] = [(4.0, 0.1), (12.0, 0.2)];

/// Nodes on each side that points do not reach: two for the spline, and room.
const MARGIN: usize = 3;

/// Most nodes along a side, without the empty half. Larger maps get a coarser grid.
const LARGEST: usize = 2048;

/// Rows of the grid in a task.
const STRIP: usize = 16;

/// Points in a task.
const POINTS: usize = 2048;

/// Plans and kernels that are kept.
const KEPT: usize = 3;

/// Working memory of the repulsion by FFT, with the kernels of the last few sizes.
pub(crate) struct Grid {
    /// Nodes are closer by this factor than by default.
    refinement: f32,
    plans: Vec<Plan>,
    spectra: Vec<Spectra>,
    sorted: Sorted,
    charges: Vec<f32>,
    field: Field,
}

/// Points by the row of the grid that they lie in.
#[derive(Default)]
struct Sorted {
    /// First point of each row, and the end.
    starts: Vec<u32>,
    spots: Vec<Spot>,
}

/// A point's place on the grid.
#[derive(Clone, Copy, Default)]
struct Spot {
    /// The node below and left of it.
    cell: [u32; 2],
    /// Where it lies between that node and the next.
    part: [f32; 2],
}

/// The grid that fits an extent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    /// Length of the transforms: the grid and as many empty nodes.
    pub length: usize,
    /// Distance of nodes.
    pub spacing: f32,
}

impl Size {
    /// For points over `side`; at most `LARGEST` nodes a side.
    pub(crate) fn of(side: f32, refinement: f32) -> Size {
        let spacing = FINER.iter().find(|(up_to, _)| side <= *up_to).map_or(SPACING, |(_, spacing)| *spacing);
        let spacing = (spacing / refinement).max(side / (LARGEST - 2 * MARGIN - 2) as f32);
        let nodes = (side / spacing) as usize + 2 + 2 * MARGIN;
        Size { length: smooth(2 * nodes), spacing }
    }

    /// Nodes along a side.
    fn nodes(self) -> usize {
        self.length / 2
    }
}

/// The least multiple of 4 from `least` on that has no prime factor above 5.
fn smooth(least: usize) -> usize {
    let is_smooth = |mut n: usize| {
        for p in [2, 3, 5] {
            while n.is_multiple_of(p) {
                n /= p;
            }
        }
        n == 1
    };
    (least.max(16).next_multiple_of(4)..).step_by(4).find(|n| is_smooth(*n)).unwrap_or(least)
}

/// The four weights of the cubic B-spline at a point that lies `t` beyond its second node.
#[inline(always)]
fn spline(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    let (t2, s2) = (t * t, s * s);
    let sixth = 1.0 / 6.0;
    [
        s2 * s * sixth,
        (4.0 - 3.0 * t2 * (2.0 - t)) * sixth,
        (4.0 - 3.0 * s2 * (2.0 - s)) * sixth,
        t2 * t * sixth,
    ]
}

impl Grid {
    /// `refinement` 1 is the default; 2 halves the distance of nodes.
    pub(crate) fn new(refinement: f32) -> Grid {
        Grid {
            refinement,
            plans: Vec::new(),
            spectra: Vec::new(),
            sorted: Sorted::default(),
            charges: Vec::new(),
            field: Field::default(),
        }
    }

    /// As [`hectare_kernels::plane::repulsion`], approximately: the force on each of N points, and Z.
    pub(crate) fn repulsion(&mut self, points: &[f32], force: &mut [f32]) -> f64 {
        let n = points.len() / 2;
        let extent = Extent::of(points);
        let size = self.size(extent.side);
        let z = self.convolve(points, extent, size);
        self.read(points, extent, size, force);
        z - n as f64
    }

    /// The size in use while it fits and is not much too large; so the kernels are seldom made anew.
    fn size(&self, side: f32) -> Size {
        let wanted = Size::of(side, self.refinement);
        let current = self.spectra.last().map(|spectra| spectra.size);
        match current {
            Some(size)
                if size.spacing == wanted.spacing
                    && size.length >= wanted.length
                    && size.length * 4 <= wanted.length * 5 =>
            {
                size
            }
            _ => wanted,
        }
    }

    /// Spreads the points, and transforms there and back. Returns the sum of the kernel over all pairs, each point
    /// with itself among them.
    fn convolve(&mut self, points: &[f32], extent: Extent, size: Size) -> f64 {
        self.sorted.sort(points, extent, size);
        let nodes = size.nodes();
        self.charges.resize(nodes * nodes, 0.0);
        let sorted = &self.sorted;
        parallel_chunks_mut(&mut self.charges, STRIP * nodes, |strip, rows| {
            spread(sorted, strip * STRIP, nodes, rows);
        });
        let plan = keep_last(&mut self.plans, |plan| plan.length == size.length, || Plan::new(size.length));
        if !self.spectra.iter().any(|spectra| spectra.size == size) {
            let made = Spectra::new(size, plan);
            self.spectra.push(made);
        }
        let spectra =
            keep_last(&mut self.spectra, |spectra| spectra.size == size, || unreachable!("just made"));
        plan.convolve(&self.charges, spectra, &mut self.field)
    }

    /// The force on points, which lie within the extent of those that were spread.
    fn read(&self, points: &[f32], extent: Extent, size: Size, force: &mut [f32]) {
        let nodes = size.nodes();
        let field = &self.field.data;
        parallel_chunks_mut(force, 2 * POINTS, |task, force| {
            let points = &points[task * 2 * POINTS..][..force.len()];
            for (point, force) in points.as_chunks::<2>().0.iter().zip(force.as_chunks_mut::<2>().0) {
                let spot = Spot::of(point, extent, size);
                let (wx, wy) = (spline(spot.part[0]), spline(spot.part[1]));
                let twice: [f32; 8] = std::array::from_fn(|i| wx[i / 2]);
                let mut sums = [0.0_f32; 8];
                let first = (spot.cell[1] as usize - 1) * nodes + spot.cell[0] as usize - 1;
                for (r, wy) in wy.iter().enumerate() {
                    let line = &field[2 * (first + r * nodes)..][..8];
                    for lane in 0..8 {
                        sums[lane] += line[lane] * twice[lane] * wy;
                    }
                }
                *force = [sums[0] + sums[2] + sums[4] + sums[6], sums[1] + sums[3] + sums[5] + sums[7]];
            }
        });
    }
}

/// The element that fits, moved to the end of those that are kept, made if there is none.
fn keep_last<T>(kept: &mut Vec<T>, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let found = match kept.iter().position(fits) {
        Some(at) => kept.remove(at),
        None => make(),
    };
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push(found);
    kept.last_mut().expect("just pushed")
}

impl Spot {
    #[inline(always)]
    fn of(point: &[f32; 2], extent: Extent, size: Size) -> Spot {
        let mut spot = Spot::default();
        for c in 0..2 {
            let u = (point[c] - extent.low[c]) / size.spacing + MARGIN as f32;
            // Not above the last cell that the spline may start from, whatever the rounding.
            let cell = (u as u32).clamp(1, size.nodes() as u32 - 3);
            spot.cell[c] = cell;
            spot.part[c] = u - cell as f32;
        }
        spot
    }
}

impl Sorted {
    /// Counts and places; points of a row keep their order.
    fn sort(&mut self, points: &[f32], extent: Extent, size: Size) {
        let n = points.len() / 2;
        let spots = map_parts(n, POINTS, |range| {
            let points = points[2 * range.start..2 * range.end].as_chunks::<2>().0;
            points.iter().map(|point| Spot::of(point, extent, size)).collect::<Vec<_>>()
        });
        self.starts.clear();
        self.starts.resize(size.nodes() + 1, 0);
        for spot in spots.iter().flatten() {
            self.starts[spot.cell[1] as usize + 1] += 1;
        }
        for row in 0..size.nodes() {
            self.starts[row + 1] += self.starts[row];
        }
        let mut next = self.starts.clone();
        self.spots.resize(n, Spot::default());
        for spot in spots.iter().flatten() {
            let place = &mut next[spot.cell[1] as usize];
            self.spots[*place as usize] = *spot;
            *place += 1;
        }
    }
}

/// Fills the rows from `first` on with what all points leave there.
fn spread(sorted: &Sorted, first: usize, nodes: usize, rows: &mut [f32]) {
    rows.fill(0.0);
    let end = first + rows.len() / nodes;
    // Points of rows from two before the strip to one behind it reach it.
    let (low, high) = (first.saturating_sub(2), (end + 1).min(nodes));
    for spot in &sorted.spots[sorted.starts[low] as usize..sorted.starts[high] as usize] {
        let (wx, wy) = (spline(spot.part[0]), spline(spot.part[1]));
        for (r, wy) in wy.iter().enumerate() {
            let row = spot.cell[1] as usize + r - 1;
            if row >= first && row < end {
                let at = (row - first) * nodes + spot.cell[0] as usize - 1;
                for (node, wx) in rows[at..at + 4].iter_mut().zip(&wx) {
                    *node += wx * wy;
                }
            }
        }
    }
}

/// The field of fixed points, read wherever others stand.
pub(crate) struct FixedField {
    grid: Grid,
    extent: Extent,
    size: Size,
}

impl FixedField {
    /// The field of `points`, over their extent and `room` on each side.
    pub(crate) fn new(points: &[f32], room: f32) -> FixedField {
        let mut extent = Extent::of(points);
        extent.low = extent.low.map(|low| low - room);
        extent.side += 2.0 * room;
        let mut grid = Grid::new(2.0);
        let size = Size::of(extent.side, grid.refinement);
        grid.convolve(points, extent, size);
        FixedField { grid, extent, size }
    }

    /// The force on points, moved to the edge of the extent for those beyond it.
    pub(crate) fn force(&self, points: &mut [f32], force: &mut [f32]) {
        for point in points.as_chunks_mut::<2>().0 {
            for c in 0..2 {
                point[c] = point[c].clamp(self.extent.low[c], self.extent.low[c] + self.extent.side);
            }
        }
        self.grid.read(points, self.extent, self.size, force);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::Isa;
    use hectare_kernels::plane;
    use hectare_kernels::rng::{Key, fill_normal};
    use hectare_kernels::threads::Pool;

    /// Points in clusters over about `span` to each side.
    fn layout(n: usize, span: f32) -> Vec<f32> {
        let mut points = vec![0.0; 2 * n];
        fill_normal(&Key { seed: 3, stream: 1, step: 0 }, span / 15.0, &mut points);
        let key = Key { seed: 4, stream: 1, step: 0 };
        for (i, point) in points.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            for c in 0..2 {
                point[c] += span * (2.0 * key.f32((i % 40 * 2 + c) as u64) - 1.0);
            }
        }
        points
    }

    #[test]
    fn weights_are_a_partition_of_one() {
        for i in 0..=20 {
            let t = i as f32 / 20.0;
            let w = spline(t);
            assert!((w.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let mean: f32 = w.iter().enumerate().map(|(i, w)| w * (i as f32 - 1.0)).sum();
            assert!((mean - t).abs() < 1e-6);
        }
    }

    #[test]
    fn sizes_are_smooth_and_bounded() {
        assert_eq!((smooth(3), smooth(33), smooth(49), smooth(401)), (16, 36, 60, 432));
        assert!(Size::of(1e-4, 1.0).length <= 48);
        assert_eq!(Size::of(100.0, 1.0).length, 540);
        assert!(Size::of(1e6, 1.0).length <= 2 * LARGEST + 100);
        assert!(Size::of(1e6, 1.0).spacing > 400.0);
    }

    #[test]
    fn forces_are_near_the_exact_ones() {
        let isa = Isa::best();
        // Extent, error of the forces relative to their size, relative error of Z.
        for (span, force_bound, z_bound) in [
            (1e-4, 1e-3, 5e-5),
            (1.0, 2e-5, 1e-5),
            (4.0, 5e-4, 2e-5),
            (15.0, 1.2e-2, 1e-3),
            (60.0, 4e-2, 2e-2),
        ] {
            for n in [2, 501, 4000] {
                let points = layout(n, span);
                let (mut exact, mut found) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
                let z = plane::repulsion(isa, &mut plane::Repulsion::default(), &points, &mut exact);
                let mut grid = Grid::new(1.0);
                let found_z = grid.repulsion(&points, &mut found);
                let size: f64 = exact.iter().map(|x| f64::from(*x).powi(2)).sum();
                let off: f64 = exact.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                let (off, z_off) = ((off / size).sqrt(), (found_z / z - 1.0).abs());
                if n > 2 {
                    assert!(off < force_bound, "{n} points over {span}: force off by {off:e}");
                    assert!(z_off < z_bound, "{n} points over {span}: Z off by {z_off:e}");
                }
                // Again with the kernels that were kept.
                let before = found.clone();
                assert_eq!(grid.repulsion(&points, &mut found), found_z);
                assert_eq!(before, found);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let points = layout(5000, 20.0);
        let run = |threads| {
            Pool::new(threads).install(|| {
                let mut force = vec![0.0; points.len()];
                let z = Grid::new(1.0).repulsion(&points, &mut force);
                (z.to_bits(), force.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3) && one == run(8));
    }

    #[test]
    fn an_outlier_makes_a_coarse_grid_and_not_a_huge_one() {
        let mut points = layout(300, 10.0);
        points[7] = 1e5;
        let mut force = vec![0.0; points.len()];
        let mut grid = Grid::new(1.0);
        assert!(grid.repulsion(&points, &mut force).is_finite());
        assert!(grid.charges.len() <= (LARGEST + 50) * (LARGEST + 50));
    }
}
