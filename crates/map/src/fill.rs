//! Polygons drawn into the rows of a grid: a pixel is inside when its centre is.

use crate::vector::Ring;
use crate::{Affine, MapError};

/// An edge in columns and rows, from its upper end to its lower.
#[derive(Clone, Copy, Debug)]
struct Edge {
    top: f64,
    bottom: f64,
    x: f64,
    slope: f64,
}

/// Polygons of one feature on a grid.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    edges: Vec<Edge>,
    top: f64,
    bottom: f64,
}

impl Fill {
    /// The rings (outer ones and holes alike: what is inside an odd number of them is inside) on the grid of `affine`.
    ///
    /// # Errors
    /// A degenerate grid.
    pub fn new(polygons: &[Vec<Ring>], affine: &Affine) -> Result<Fill, MapError> {
        let place = |[x, y]: [f64; 2]| {
            affine
                .inverse(x, y)
                .ok_or_else(|| MapError::Mismatch("the grid of the raster is degenerate".into()))
        };
        let mut edges = Vec::new();
        for ring in polygons.iter().flatten() {
            for ends in ring.windows(2) {
                let (a, b) = (place(ends[0])?, place(ends[1])?);
                let (upper, lower) = if a[1] <= b[1] { (a, b) } else { (b, a) };
                if upper[1] < lower[1] {
                    let slope = (lower[0] - upper[0]) / (lower[1] - upper[1]);
                    edges.push(Edge { top: upper[1], bottom: lower[1], x: upper[0], slope });
                }
            }
        }
        edges.sort_by(|a, b| a.top.total_cmp(&b.top));
        let top = edges.first().map_or(f64::INFINITY, |edge| edge.top);
        let bottom = edges.iter().map(|edge| edge.bottom).fold(f64::NEG_INFINITY, f64::max);
        Ok(Fill { edges, top, bottom })
    }

    /// Gives `put` the columns of each run of pixels of `row` that are inside, within a grid of `width` columns.
    pub fn row(&self, row: usize, width: usize, mut put: impl FnMut(std::ops::Range<usize>)) {
        let centre = row as f64 + 0.5;
        if centre < self.top || centre >= self.bottom {
            return;
        }
        let mut crossings: Vec<f64> = self
            .edges
            .iter()
            .take_while(|edge| edge.top <= centre)
            .filter(|edge| centre < edge.bottom)
            .map(|edge| edge.x + (centre - edge.top) * edge.slope)
            .collect();
        crossings.sort_by(f64::total_cmp);
        // The first pixel whose centre is not left of a crossing.
        let column = |x: f64| (x - 0.5).ceil().clamp(0.0, width as f64) as usize;
        for pair in crossings.as_chunks::<2>().0 {
            let (from, to) = (column(pair[0]), column(pair[1]));
            if from < to {
                put(from..to);
            }
        }
    }
}
