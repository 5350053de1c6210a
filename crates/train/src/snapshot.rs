//! Which tiles and epochs have their predicted masks kept.

use crate::config::{Epochs, TrainConfig};
use crate::error::TrainError;

/// The tiles of the course's report.
const REPORT: [&str; 3] = ["0010", "0097", "0107"];

/// Tiles (by position in the validation set) and epochs whose masks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// Positions in the validation set.
    pub tiles: Vec<usize>,
    /// The epochs that were asked for.
    epochs: Option<Epochs>,
}

impl Snapshots {
    /// Chooses them: as the settings say, else the report's three tiles where all are in the set, else three
    /// by class content; at the epochs of the settings, else the first, the middle and the last. `pixels` counts
    /// the classes per tile.
    ///
    /// # Errors
    /// A tile that is not in the set.
    pub fn choose(
        config: &TrainConfig,
        stems: &[&str],
        pixels: &[Vec<u64>],
    ) -> Result<Snapshots, TrainError> {
        let find = |name: &str| stems.iter().position(|stem| *stem == name);
        let tiles = match &config.snapshot {
            Some(names) => names
                .iter()
                .map(|name| {
                    let wanted = name
                        .trim()
                        .trim_end_matches(".png")
                        .trim_end_matches("_mask")
                        .trim_end_matches("_sat");
                    find(wanted).ok_or_else(|| {
                        TrainError::Input(format!(
                            "--snapshot {name}: no such tile in the validation set (the first is {})",
                            stems.first().unwrap_or(&"missing")
                        ))
                    })
                })
                .collect::<Result<_, _>>()?,
            None => match REPORT.map(find) {
                [Some(a), Some(b), Some(c)] => vec![a, b, c],
                _ => by_content(pixels, 3),
            },
        };
        Ok(Snapshots { tiles, epochs: config.snapshot_epochs.clone() })
    }

    /// Whether masks are kept in `epoch` of `epochs`.
    pub fn are_due(&self, epoch: usize, epochs: usize) -> bool {
        match &self.epochs {
            Some(chosen) => chosen.contains(epoch),
            None => [1, (epochs / 2).max(1), epochs].contains(&epoch),
        }
    }
}

/// Up to `count` tiles, each the one that makes the shares of the classes of all chosen most even (the
/// largest entropy; the first of equals), in rising order.
fn by_content(pixels: &[Vec<u64>], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut sum = vec![0.0; pixels.first().map_or(0, Vec::len)];
    for _ in 0..count.min(pixels.len()) {
        let mut best: Option<(usize, f64, Vec<f64>)> = None;
        for (tile, counts) in pixels.iter().enumerate().filter(|(tile, _)| !chosen.contains(tile)) {
            let total = counts.iter().sum::<u64>().max(1) as f64;
            let with: Vec<f64> = sum.iter().zip(counts).map(|(s, n)| s + *n as f64 / total).collect();
            let entropy = entropy(&with);
            if best.as_ref().is_none_or(|(_, most, _)| entropy > *most) {
                best = Some((tile, entropy, with));
            }
        }
        let Some((tile, _, with)) = best else { break };
        chosen.push(tile);
        sum = with;
    }
    chosen.sort_unstable();
    chosen
}

fn entropy(amounts: &[f64]) -> f64 {
    let total: f64 = amounts.iter().sum();
    let shares = amounts.iter().map(|amount| amount / total).filter(|share| *share > 0.0);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, Task};
    use hectare_net::ModelKind;

    fn config() -> TrainConfig {
        let config = TrainConfig::preset(Task::Segment, Preset::Modern, ModelKind::Fcn8s, false);
        TrainConfig { epochs: 20, ..config }
    }

    #[test]
    fn the_reports_tiles_where_they_are() {
        let stems = ["0001", "0010", "0097", "0107"];
        let pixels = vec![vec![1, 1]; 4];
        let chosen = Snapshots::choose(&config(), &stems, &pixels).unwrap();
        assert_eq!(chosen.tiles, [1, 2, 3]);
        let due = |chosen: &Snapshots, epochs: usize| {
            (1..=epochs).filter(|epoch| chosen.are_due(*epoch, epochs)).collect::<Vec<_>>()
        };
        assert_eq!((due(&chosen, 20), due(&chosen, 1)), (vec![1, 10, 20], vec![1]));
        let named = TrainConfig { snapshot_epochs: Some(Epochs::List(vec![2, 3])), ..config() };
        assert_eq!(due(&Snapshots::choose(&named, &stems, &pixels).unwrap(), 9), [2, 3]);
    }

    #[test]
    fn else_three_that_show_all_classes() {
        let pixels = vec![vec![9, 0, 0], vec![9, 0, 0], vec![0, 9, 0], vec![0, 0, 9]];
        let chosen = Snapshots::choose(&config(), &["a", "b", "c", "d"], &pixels).unwrap();
        assert_eq!(chosen.tiles, [0, 2, 3]);
        assert_eq!(Snapshots::choose(&config(), &["a"], &pixels[..1]).unwrap().tiles, [0]);
    }

    #[test]
    fn named_tiles_must_exist() {
        let named = |names: &[&str]| TrainConfig {
            snapshot: Some(names.iter().map(|name| name.to_string()).collect()),
            ..config()
        };
        let pixels = vec![vec![1]; 2];
        let chosen = Snapshots::choose(&named(&["b_mask.png"]), &["a", "b"], &pixels).unwrap();
        assert_eq!(chosen.tiles, [1]);
        let error = Snapshots::choose(&named(&["x"]), &["a", "b"], &pixels).unwrap_err();
        assert!(error.to_string().contains("--snapshot x"));
    }
}
