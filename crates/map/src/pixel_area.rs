//! The area of pixels on the ground, row by row.

use crate::crs::{CrsKind, WGS84};
use crate::{Affine, Crs, MapError};

/// Areas of the pixels of each row of a grid; all pixels of a row are alike.
#[derive(Clone, Debug, PartialEq)]
pub enum PixelAreas {
    /// One area for all, in square metres.
    Uniform(f64),
    /// For each row, in square metres.
    Rows(Vec<f64>),
}

impl PixelAreas {
    /// The areas of `height` rows.
    ///
    /// Plane coordinates: the parallelogram of a pixel. Longitude and latitude: the area between two parallels of the
    /// ellipsoid, exactly. Web Mercator: the same, between the parallels that the rows' edges stand for, because its plane
    /// area is wrong by 1 / cos(latitude) squared.
    ///
    /// # Errors
    /// A coordinate system whose unit is not known, a grid of longitudes and latitudes that is rotated, latitudes beyond
    /// the poles.
    pub fn new(affine: &Affine, crs: &Crs, height: usize) -> Result<PixelAreas, MapError> {
        let kind = crs.kind.ok_or_else(|| {
            MapError::Mismatch(format!(
                "the coordinate system {} does not tell its unit, so areas would be a guess",
                crs.name
            ))
        })?;
        let a = affine.0;
        let upright = || {
            match affine.is_upright() {
            true => Ok(()),
            false => Err(MapError::Mismatch(
                "areas of a rotated grid of longitudes and latitudes are not supported; warp it to a projected \
                 coordinate system"
                    .into(),
            )),
        }
        };
        match kind {
            CrsKind::Projected { unit_m } => {
                Ok(PixelAreas::Uniform(affine.determinant().abs() * unit_m * unit_m))
            }
            CrsKind::WebMercator => {
                upright()?;
                let (radius, flattening) = WGS84;
                let latitude = |row: usize| {
                    let y = a[3] + row as f64 * a[5];
                    2.0 * (y / radius).exp().atan() - std::f64::consts::FRAC_PI_2
                };
                let width = a[1].abs() / radius;
                Ok(PixelAreas::Rows(rows(height, latitude, width, radius, flattening)))
            }
            CrsKind::Geographic { unit_degrees, semi_major_m, flattening } => {
                upright()?;
                let degrees = |row: usize| (a[3] + row as f64 * a[5]) * unit_degrees;
                let limit = 90.0 + 0.51 * (a[5] * unit_degrees).abs();
                if degrees(0).abs() > limit || degrees(height).abs() > limit {
                    return Err(MapError::Mismatch(format!(
                        "the grid runs from latitude {} to {}: not degrees",
                        degrees(0),
                        degrees(height)
                    )));
                }
                let latitude = |row: usize| degrees(row).clamp(-90.0, 90.0).to_radians();
                let width = (a[1].abs() * unit_degrees).to_radians();
                Ok(PixelAreas::Rows(rows(height, latitude, width, semi_major_m, flattening)))
            }
        }
    }

    /// Area of a pixel of row `row` in square metres.
    pub fn row_m2(&self, row: usize) -> f64 {
        match self {
            PixelAreas::Uniform(area) => *area,
            PixelAreas::Rows(areas) => areas[row.min(areas.len().saturating_sub(1))],
        }
    }
}

fn rows(height: usize, latitude: impl Fn(usize) -> f64, width: f64, a: f64, f: f64) -> Vec<f64> {
    (0..height).map(|row| band_m2(latitude(row), latitude(row + 1), a, f) * width).collect()
}

/// Area of the ellipsoid between two parallels (radians), for one radian of longitude, in square metres.
///
/// Snyder (1987), "Map Projections: A Working Manual", equation 3-12: the area from the equator is b^2 / 2 q(phi) with
/// q = sin / (1 - e^2 sin^2) + atanh(e sin) / e. The difference is computed from differences of the terms, so that narrow
/// rows keep their digits.
fn band_m2(south: f64, north: f64, a: f64, f: f64) -> f64 {
    let e2 = f * (2.0 - f);
    let (s, t) = (south.sin(), north.sin());
    // sin(north) - sin(south) without cancellation.
    let d = 2.0 * ((north - south) / 2.0).sin() * ((north + south) / 2.0).cos();
    if e2 <= 0.0 {
        return (a * a * d).abs();
    }
    let e = e2.sqrt();
    let rational = d * (1.0 + e2 * s * t) / ((1.0 - e2 * s * s) * (1.0 - e2 * t * t));
    let hyperbolic = (e * d / (1.0 - e2 * s * t)).atanh() / e;
    (a * a * (1.0 - e2) / 2.0 * (rational + hyperbolic)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_ellipsoid() {
        // Surface of WGS 84: 510,065,621.724 square kilometres.
        let affine = Affine([-180.0, 1.0, 0.0, 90.0, 0.0, -1.0]);
        let areas = PixelAreas::new(&affine, &Crs::of_epsg(4326), 180).unwrap();
        let sum: f64 = (0..180).map(|row| areas.row_m2(row) * 360.0).sum();
        assert!((sum / 510_065_621_724_088.0 - 1.0).abs() < 1e-9, "{sum}");
        // The same ground in Web Mercator, where a row in the middle spans the same parallels.
        let radius = WGS84.0;
        let y = |degrees: f64| radius * (45.0 + degrees / 2.0_f64).to_radians().tan().ln();
        let affine = Affine([0.0, radius.to_radians(), 0.0, y(49.0), 0.0, y(48.0) - y(49.0)]);
        let mercator = PixelAreas::new(&affine, &Crs::of_epsg(3857), 1).unwrap();
        assert!((mercator.row_m2(0) / areas.row_m2(41) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn planes_feet_and_refusals() {
        let affine = Affine([0.0, 10.0, 0.0, 0.0, 0.0, -10.0]);
        let of = |code| PixelAreas::new(&affine, &Crs::of_epsg(code), 5).unwrap().row_m2(3);
        assert_eq!(of(32632), 100.0);
        assert!((of(2263) - 100.0 * (1200.0 / 3937.0_f64).powi(2)).abs() < 1e-9);
        let unknown = Crs { kind: None, epsg: None, name: "local".into() };
        assert!(PixelAreas::new(&affine, &unknown, 5).is_err());
        assert!(PixelAreas::new(&affine, &Crs::of_epsg(4326), 50).is_err());
    }
}
