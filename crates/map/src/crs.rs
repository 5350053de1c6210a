//! Coordinate systems, as far as areas and outputs need them: kind, unit, ellipsoid, EPSG code, transformation to WGS 84.

use std::collections::BTreeMap;

use proj4rs::Proj;

use crate::geo::Key;

/// Semi-major axis and flattening of WGS 84.
pub(crate) const WGS84: (f64, f64) = (6_378_137.0, 1.0 / 298.257_223_563);

/// What the coordinates measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CrsKind {
    /// Plane coordinates; a unit is so many metres.
    Projected {
        /// Metres of a unit.
        unit_m: f64,
    },
    /// Web Mercator (EPSG:3857): plane coordinates in metres that are stretched by 1 / cos(latitude).
    WebMercator,
    /// Longitude and latitude.
    Geographic {
        /// Degrees of a unit.
        unit_degrees: f64,
        /// Semi-major axis in metres.
        semi_major_m: f64,
        /// Flattening; 0 for a sphere.
        flattening: f64,
    },
}

/// A coordinate system.
#[derive(Clone, Debug, PartialEq)]
pub struct Crs {
    /// What its coordinates measure; nothing where the file does not tell.
    pub kind: Option<CrsKind>,
    /// Its number in the EPSG register.
    pub epsg: Option<u16>,
    /// What the file calls it.
    pub name: String,
}

/// Metres of a length unit by its EPSG number.
fn length_unit(code: u32) -> Option<f64> {
    Some(match code {
        9001 => 1.0,
        9002 => 0.3048,
        9003 => 1200.0 / 3937.0,
        9005 => 0.304_797_265,
        9030 => 1852.0,
        9036 => 1000.0,
        9037 => 0.914_398_553_970_127,
        9040 => 0.914_398_414_616_028_9,
        9041 => 0.304_799_471_538_676,
        9042 => 20.116_765_121_552_632,
        9062 => 20.116_782_494_375_872,
        9070 => 0.304_799_715_101_516_7,
        9080 => 0.304_799_510_248_146_94,
        9084 => 0.914_398_530_744_440_8,
        9093 => 1609.344,
        9094 => 0.304_799_710_181_508_8,
        9096 => 0.9144,
        _ => return None,
    })
}

/// Degrees of an angular unit by its EPSG number.
fn angular_unit(code: u32) -> Option<f64> {
    Some(match code {
        9101 => 180.0 / std::f64::consts::PI,
        9102 | 9122 => 1.0,
        9103 => 1.0 / 60.0,
        9104 => 1.0 / 3600.0,
        9105 | 9106 => 0.9,
        _ => return None,
    })
}

/// The parameters of a proj string: `+units=us-ft` gives ("units", "us-ft").
fn parameters(text: &str) -> BTreeMap<&str, &str> {
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix('+'));
    words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

fn ellipsoid_of(parameters: &BTreeMap<&str, &str>) -> (f64, f64) {
    let number = |key: &str| parameters.get(key).and_then(|text| text.parse::<f64>().ok());
    if let Some(a) = number("a").or(number("R")) {
        let flattening = match (number("b"), number("rf")) {
            (Some(b), _) => (a - b) / a,
            (None, Some(rf)) if rf != 0.0 => 1.0 / rf,
            _ => 0.0,
        };
        return (a, flattening);
    }
    let name = match (parameters.get("ellps"), parameters.get("datum")) {
        (Some(name), _) => *name,
        (None, Some(&"NAD27")) => "clrk66",
        (None, Some(&"NAD83")) => "GRS80",
        (None, Some(&"potsdam")) => "bessel",
        (None, Some(&"OSGB36")) => "airy",
        _ => "WGS84",
    };
    match name {
        "GRS80" => (6_378_137.0, 1.0 / 298.257_222_101),
        "clrk66" => (6_378_206.4, 1.0 - 6_356_583.8 / 6_378_206.4),
        "clrk80" => (6_378_249.145, 1.0 / 293.4663),
        "clrk80ign" => (6_378_249.2, 1.0 / 293.466_021_293_626_5),
        "bessel" => (6_377_397.155, 1.0 / 299.152_812_8),
        "intl" => (6_378_388.0, 1.0 / 297.0),
        "airy" => (6_377_563.396, 1.0 / 299.324_964_6),
        "krass" => (6_378_245.0, 1.0 / 298.3),
        "aust_SA" => (6_378_160.0, 1.0 / 298.25),
        "evrst30" => (6_377_276.345, 1.0 / 300.8017),
        "WGS72" => (6_378_135.0, 1.0 / 298.26),
        "WGS66" => (6_378_145.0, 1.0 / 298.25),
        _ => WGS84,
    }
}

impl Crs {
    /// The coordinate system of an EPSG number.
    pub fn of_epsg(code: u16) -> Crs {
        let proj4 = crs_definitions::from_code(code).map(|definition| definition.proj4);
        let kind = proj4.and_then(|text| {
            let parameters = parameters(text);
            if matches!(*parameters.get("proj")?, "longlat" | "latlong") {
                let (semi_major_m, flattening) = ellipsoid_of(&parameters);
                return Some(CrsKind::Geographic { unit_degrees: 1.0, semi_major_m, flattening });
            }
            if is_web_mercator(code) {
                return Some(CrsKind::WebMercator);
            }
            if *parameters.get("proj")? == "geocent" {
                return None;
            }
            let to_meter = parameters.get("to_meter").and_then(|v| match v.split_once('/') {
                Some((a, b)) => Some(a.parse::<f64>().ok()? / b.parse::<f64>().ok()?),
                None => v.parse::<f64>().ok(),
            });
            let unit_m = to_meter.or_else(|| match parameters.get("units").copied() {
                None | Some("m") => Some(1.0),
                Some("ft") => Some(0.3048),
                Some("us-ft") => Some(1200.0 / 3937.0),
                Some("km") => Some(1000.0),
                Some("link") => Some(0.201_168),
                Some("ch") => Some(20.1168),
                Some("yd") => Some(0.9144),
                Some(_) => None,
            });
            Some(CrsKind::Projected { unit_m: unit_m? })
        });
        Crs { kind, epsg: Some(code), name: format!("EPSG:{code}") }
    }

    /// The coordinate system that a file's GeoTIFF keys describe.
    pub(crate) fn of_keys(keys: &BTreeMap<u16, Key>) -> Option<Crs> {
        let number = |key: u16| match keys.get(&key) {
            Some(Key::Number(value)) => Some(*value),
            _ => None,
        };
        let code = |key: u16| number(key).filter(|v| *v > 0.0 && *v < 32767.0).map(|v| v as u16);
        let text = |key: u16| match keys.get(&key) {
            Some(Key::Text(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let projected = code(3072);
        let geographic = code(2048);
        let model = number(1024).map(|v| v as u16);
        let is_projected = match model {
            Some(1) => true,
            Some(2) => false,
            _ if projected.is_some() => true,
            _ if geographic.is_some() => false,
            _ => {
                // A name without a definition says that there is a system and not which.
                let name = text(1026)?;
                return Some(Crs { kind: None, epsg: None, name });
            }
        };
        let register = if is_projected { projected } else { geographic };
        let known = register.map(Crs::of_epsg);
        let kind = if is_projected {
            let unit = number(3077).filter(|v| *v > 0.0).or_else(|| length_unit(number(3076)? as u32));
            match known.as_ref().and_then(|crs| crs.kind) {
                Some(CrsKind::WebMercator) => Some(CrsKind::WebMercator),
                kind => unit.map(|unit_m| CrsKind::Projected { unit_m }).or(kind),
            }
        } else {
            let base = known.as_ref().and_then(|crs| crs.kind);
            let (mut semi_major_m, mut flattening) = match base {
                Some(CrsKind::Geographic { semi_major_m, flattening, .. }) => (semi_major_m, flattening),
                _ => WGS84,
            };
            let told = number(2057).filter(|v| *v > 0.0);
            if let Some(a) = told {
                semi_major_m = a;
                flattening = match (number(2059), number(2058)) {
                    (Some(inverse), _) if inverse != 0.0 => 1.0 / inverse,
                    (_, Some(b)) if b > 0.0 => (a - b) / a,
                    _ => flattening,
                };
            }
            let unit = number(2055).filter(|v| *v > 0.0).map(|radians| radians.to_degrees());
            let unit = unit.or_else(|| angular_unit(number(2054).unwrap_or(9102.0) as u32));
            // A user-defined system without an ellipsoid would be a guess.
            let defined = base.is_some() || told.is_some() || register.is_some();
            unit.filter(|_| defined).map(|unit_degrees| CrsKind::Geographic {
                unit_degrees,
                semi_major_m,
                flattening,
            })
        };
        let fallback = || match register {
            Some(code) => format!("EPSG:{code}"),
            None => "user-defined".to_owned(),
        };
        let name = text(1026).or_else(|| text(if is_projected { 3073 } else { 2049 }));
        Some(Crs { kind, epsg: register, name: name.unwrap_or_else(fallback) })
    }

    /// Whether coordinates are longitude and latitude.
    pub fn is_geographic(&self) -> bool {
        matches!(self.kind, Some(CrsKind::Geographic { .. }))
    }

    /// Whether both are the same system, as far as numbers in the register or all that the files say tell.
    pub fn same_as(&self, other: &Crs) -> bool {
        if self.epsg.is_some() && self.epsg == other.epsg { true } else { self == other }
    }

    /// A transformation from these coordinates to another system's.
    ///
    /// # Errors
    /// Says why there is none: a system without a number in the register, or one that is not supported.
    pub fn transform_to(&self, to: &Crs) -> Result<Transform, String> {
        if self.epsg.is_some() && self.epsg == to.epsg {
            return Ok(Transform { same: true, from: None, to: None });
        }
        Ok(Transform { same: false, from: Some(self.projection()?), to: Some(to.projection()?) })
    }

    fn projection(&self) -> Result<Proj, String> {
        let code = self.epsg.ok_or_else(|| {
            format!("the coordinate system {} has no EPSG number, so it cannot be transformed", self.name)
        })?;
        let definition = crs_definitions::from_code(code)
            .ok_or_else(|| format!("EPSG:{code} is not among the systems that can be transformed"))?;
        Proj::from_proj_string(definition.proj4).map_err(|error| format!("EPSG:{code}: {error}"))
    }
}

fn is_web_mercator(code: u16) -> bool {
    matches!(code, 3857 | 3785)
}

/// From one coordinate system to another.
#[derive(Debug)]
pub struct Transform {
    same: bool,
    from: Option<Proj>,
    to: Option<Proj>,
}

impl Transform {
    /// The point in the other system; geographic coordinates are degrees, longitude first.
    ///
    /// # Errors
    /// A point that the projection does not reach.
    pub fn apply(&self, [x, y]: [f64; 2]) -> Result<[f64; 2], String> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            debug_assert!(self.same);
            return Ok([x, y]);
        };
        let mut point = if from.is_latlong() { (x.to_radians(), y.to_radians(), 0.0) } else { (x, y, 0.0) };
        proj4rs::transform::transform(from, to, &mut point).map_err(|error| error.to_string())?;
        let degrees = to.is_latlong();
        Ok(if degrees { [point.0.to_degrees(), point.1.to_degrees()] } else { [point.0, point.1] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_registered_systems() {
        assert_eq!(Crs::of_epsg(32632).kind, Some(CrsKind::Projected { unit_m: 1.0 }));
        let feet = Crs::of_epsg(2263).kind;
        assert!(
            matches!(feet, Some(CrsKind::Projected { unit_m }) if (unit_m - 1200.0 / 3937.0).abs() < 1e-12)
        );
        assert_eq!(Crs::of_epsg(3857).kind, Some(CrsKind::WebMercator));
        assert!(Crs::of_epsg(4326).is_geographic());
        assert_eq!(Crs::of_epsg(1).kind, None);
    }

    #[test]
    fn keys_win_over_the_register_and_names_alone_say_nothing() {
        let number = |pairs: &[(u16, f64)]| pairs.iter().map(|(k, v)| (*k, Key::Number(*v))).collect();
        let crs = Crs::of_keys(&number(&[(1024, 1.0), (3072, 32767.0), (3076, 9002.0)])).unwrap();
        assert_eq!(crs.kind, Some(CrsKind::Projected { unit_m: 0.3048 }));
        let crs = Crs::of_keys(&number(&[(1024, 2.0), (2048, 4326.0), (2054, 9102.0)])).unwrap();
        assert!(crs.is_geographic() && crs.epsg == Some(4326));
        let crs = Crs::of_keys(&number(&[(1024, 1.0), (3072, 32767.0)])).unwrap();
        assert_eq!(crs.kind, None);
        assert!(Crs::of_keys(&BTreeMap::new()).is_none());
        let named = BTreeMap::from([(1026, Key::Text("local grid".into()))]);
        assert_eq!(Crs::of_keys(&named).unwrap().kind, None);
    }

    #[test]
    fn utm_and_web_mercator_to_degrees() {
        // pyproj: Transformer.from_crs(32632, 4326, always_xy=True).transform(691875, 5334917)
        let transform = Crs::of_epsg(32632).transform_to(&Crs::of_epsg(4326)).unwrap();
        let [lon, lat] = transform.apply([691_875.0, 5_334_917.0]).unwrap();
        assert!(
            (lon - 11.579_213_616_864).abs() < 1e-9 && (lat - 48.138_549_111_658).abs() < 1e-9,
            "{lon} {lat}"
        );
        // pyproj: Transformer.from_crs(3857, 4326, always_xy=True).transform(1290000, 6130000)
        let transform = Crs::of_epsg(3857).transform_to(&Crs::of_epsg(4326)).unwrap();
        let [lon_3857, lat_3857] = transform.apply([1_290_000.0, 6_130_000.0]).unwrap();
        assert!((lon_3857 - 11.588_267_165_142).abs() < 1e-9 && (lat_3857 - 48.138_935_773_212).abs() < 1e-9);
        let back = Crs::of_epsg(4326).transform_to(&Crs::of_epsg(32632)).unwrap().apply([lon, lat]).unwrap();
        assert!((back[0] - 691_875.0).abs() < 1e-4 && (back[1] - 5_334_917.0).abs() < 1e-4, "{back:?}");
    }
}
