//! What scenes are: coordinate system, grid, bands, nodata, and where they overlap.

use std::path::{Path, PathBuf};

use hectare_map::{Scene, SceneInfo};
use serde_json::json;

use crate::failure::{Answer, Failure};
use crate::{console, scene_files};

/// The scenes that are meant: a GeoTIFF, or those of a folder; nothing where there are none.
pub fn list(path: &Path) -> Vec<PathBuf> {
    if scene_files::is_scene(path) && path.is_file() {
        return vec![path.to_path_buf()];
    }
    scene_files::in_folder(path).unwrap_or_default()
}

/// Left, top, right, bottom of a scene in its coordinates.
fn bounds(info: &SceneInfo) -> Option<[f64; 4]> {
    let affine = info.geo.affine()?;
    let (w, h) = (info.width as f64, info.height as f64);
    let corners = [affine.apply(0.0, 0.0), affine.apply(w, 0.0), affine.apply(0.0, h), affine.apply(w, h)];
    let of = |axis: usize, pick: fn(f64, f64) -> f64| corners.iter().map(|c| c[axis]).reduce(pick);
    Some([of(0, f64::min)?, of(1, f64::min)?, of(0, f64::max)?, of(1, f64::max)?])
}

fn share_of_overlap(a: &SceneInfo, b: &SceneInfo) -> Option<f64> {
    let same = a.geo.crs().zip(b.geo.crs()).is_some_and(|(a, b)| a.same_as(&b));
    let (a, b) = (bounds(a).filter(|_| same)?, bounds(b)?);
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    let smaller = ((a[2] - a[0]) * (a[3] - a[1])).min((b[2] - b[0]) * (b[3] - b[1]));
    (width > 0.0 && height > 0.0 && smaller > 0.0).then(|| width * height / smaller)
}

/// Prints what the scenes are; the answer is no when one of them cannot be read.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(paths: &[PathBuf], as_json: bool) -> Result<Answer, Failure> {
    let (mut infos, mut faults) = (Vec::new(), Vec::new());
    for path in paths {
        match Scene::open(path) {
            Ok(scene) => infos.push(scene.info().clone()),
            Err(error) => faults.push(error.to_string()),
        }
    }
    let mut overlaps = Vec::new();
    for (i, a) in infos.iter().enumerate() {
        for b in &infos[i + 1..] {
            if let Some(share) = share_of_overlap(a, b) {
                overlaps.push((a.path.display().to_string(), b.path.display().to_string(), share));
            }
        }
    }
    if as_json {
        let scenes: Vec<_> = infos
            .iter()
            .map(|info| {
                json!({
                    "path": info.path.display().to_string(),
                    "width": info.width,
                    "height": info.height,
                    "bands": info.bands,
                    "samples": info.kind.name(),
                    "alpha": info.alpha.map(|band| band + 1),
                    "mask": info.has_mask,
                    "nodata": info.nodata.map(|value| value.to_string()),
                    "crs": info.geo.crs().map(|crs| crs.name),
                    "epsg": info.geo.crs().and_then(|crs| crs.epsg),
                    "grid": info.geo.affine().map(|affine| affine.0),
                    "pixel_m": info.pixel_m(),
                    "bounds": bounds(info),
                })
            })
            .collect();
        let overlaps: Vec<_> =
            overlaps.iter().map(|(a, b, share)| json!({"a": a, "b": b, "share": share})).collect();
        console::json(&json!({ "scenes": scenes, "overlaps": overlaps, "faults": faults }))?;
    } else {
        for info in &infos {
            console::result(line(info))?;
        }
        for (a, b, share) in &overlaps {
            console::result(format_args!(
                "overlap: {a} and {b} share {:.1} % of the smaller\n",
                100.0 * share
            ))?;
        }
        for fault in &faults {
            console::result(format_args!("fault: {fault}\n"))?;
        }
    }
    Ok(if faults.is_empty() { Answer::Yes } else { Answer::No })
}

fn line(info: &SceneInfo) -> String {
    let crs = info.geo.crs();
    let crs = crs.map_or("no coordinate system".into(), |crs| match crs.epsg {
        Some(code) if !crs.name.contains(&code.to_string()) => format!("{} (EPSG:{code})", crs.name),
        _ => crs.name,
    });
    let pixel = info.pixel_m().map_or(String::new(), |side| format!(", pixels of {side:.3} m"));
    let mut nodata = Vec::new();
    nodata.extend(info.nodata.map(|value| format!("nodata {value}")));
    nodata.extend(info.alpha.map(|band| format!("alpha in band {}", band + 1)));
    nodata.extend(info.has_mask.then(|| "a mask".to_owned()));
    let nodata = if nodata.is_empty() { "no nodata".into() } else { nodata.join(", ") };
    format!(
        "{}: {} x {} pixels, {} bands of {}, {nodata}, {crs}{pixel}\n",
        info.path.display(),
        info.width,
        info.height,
        info.bands,
        info.kind.name()
    )
}
