//! Areas and accuracies from a stratified random sample, the strata being the map's classes.
//!
//! Olofsson et al. (2014), "Good practices for estimating area and assessing accuracy of land change", Remote Sensing of
//! Environment 148: equations 1 to 11. A map's counted pixels are biased by its confusions; the sample tells by how much.

use std::fmt;

use serde::Serialize;

use crate::MapError;

/// Standard errors on each side of an estimate that make its 95 % interval.
const Z95: f64 = 1.96;

/// An estimate; its standard error is missing where the sample is too small to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value; nothing where nothing was sampled that tells it.
    pub value: Option<f64>,
    /// Half of the 95 % interval.
    pub interval: Option<f64>,
}

impl Estimate {
    fn new(value: Option<f64>, variance: Option<f64>) -> Estimate {
        let known = |v: &f64| v.is_finite();
        let interval = variance.filter(|v| known(v) && *v >= 0.0).map(|v| Z95 * v.sqrt());
        let value = value.filter(known);
        Estimate { value, interval: value.and(interval) }
    }
}

/// What is estimated for one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassEstimate {
    /// The class's id.
    pub id: u8,
    /// Its name.
    pub name: String,
    /// Points of the sample that the map gives this class.
    pub points: u64,
    /// Hectares that the map counts.
    pub mapped_ha: f64,
    /// Hectares, the map's confusions taken into account.
    pub area_ha: Estimate,
    /// The share of what is mapped as the class that is of it.
    pub users_accuracy: Estimate,
    /// The share of what is of the class that is mapped so.
    pub producers_accuracy: Estimate,
}

/// Estimates for a map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AreaEstimates {
    /// One row for each class.
    pub classes: Vec<ClassEstimate>,
    /// The share of the map that is right.
    pub overall_accuracy: Estimate,
    /// Counts of the sample: a row for each mapped class, a column for each true one.
    pub confusion: Vec<Vec<u64>>,
}

/// Estimates from the hectares of each class on the map and the counts of the sample (a row for each mapped class, a column
/// for each true one).
///
/// # Errors
/// A class that covers ground and has no point in the sample: nothing can be said of that ground.
pub fn estimate(
    names: &[String],
    mapped_ha: &[f64],
    confusion: &[Vec<u64>],
) -> Result<AreaEstimates, MapError> {
    let k = names.len();
    let total: f64 = mapped_ha.iter().sum();
    let points: Vec<f64> = confusion.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    if let Some(class) = (0..k).find(|i| mapped_ha[*i] > 0.0 && points[*i] == 0.0) {
        return Err(MapError::Mismatch(format!(
            "the map has {:.2} ha of {} and the sample no point there; sample every class of the map",
            mapped_ha[class], names[class]
        )));
    }
    let weight = |i: usize| mapped_ha[i] / total;
    let share = |i: usize, j: usize| {
        if mapped_ha[i] > 0.0 { confusion[i][j] as f64 / points[i] } else { 0.0 }
    };
    // Of one point no variance can be estimated.
    let spread = |i: usize, j: usize| share(i, j) * (1.0 - share(i, j)) / (points[i] - 1.0);
    let strata: Vec<usize> = (0..k).filter(|i| mapped_ha[*i] > 0.0).collect();
    let known = strata.iter().all(|i| points[*i] >= 2.0);
    let sum = |f: &dyn Fn(usize) -> f64| strata.iter().map(|i| f(*i)).sum::<f64>();
    let classes = (0..k).map(|j| {
        let area = sum(&|i| weight(i) * share(i, j));
        let area_variance = known.then(|| sum(&|i| weight(i).powi(2) * spread(i, j)));
        let (has, has_two) = (mapped_ha[j] > 0.0, points[j] >= 2.0);
        let users = has.then(|| share(j, j));
        let producers = (area > 0.0).then(|| if has { weight(j) * share(j, j) / area } else { 0.0 });
        let producers_variance = producers.filter(|_| known).map(|p| {
            let own = if has { weight(j).powi(2) * (1.0 - p).powi(2) * spread(j, j) } else { 0.0 };
            let others = sum(&|i| if i == j { 0.0 } else { weight(i).powi(2) * spread(i, j) });
            (own + p * p * others) / (area * area)
        });
        ClassEstimate {
            id: j as u8,
            name: names[j].clone(),
            points: points[j] as u64,
            mapped_ha: mapped_ha[j],
            area_ha: Estimate::new(Some(area * total), area_variance.map(|v| v * total * total)),
            users_accuracy: Estimate::new(users, (has && has_two).then(|| spread(j, j))),
            producers_accuracy: Estimate::new(producers, producers_variance),
        }
    });
    let overall = sum(&|i| weight(i) * share(i, i));
    let overall_variance = known.then(|| sum(&|i| weight(i).powi(2) * spread(i, i)));
    Ok(AreaEstimates {
        classes: classes.collect(),
        overall_accuracy: Estimate::new(Some(overall), overall_variance),
        confusion: confusion.to_vec(),
    })
}

impl AreaEstimates {
    /// The table as CSV, unrounded.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "id,name,points,mapped_ha,area_ha,area_ha_interval95,users_accuracy,users_accuracy_interval95,\
             producers_accuracy,producers_accuracy_interval95\n",
        );
        let figure = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        for class in &self.classes {
            text += &format!(
                "{},{},{},{}",
                class.id,
                crate::area::quoted(&class.name),
                class.points,
                class.mapped_ha
            );
            for estimate in [&class.area_ha, &class.users_accuracy, &class.producers_accuracy] {
                text += &format!(",{},{}", figure(estimate.value), figure(estimate.interval));
            }
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for AreaEstimates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        let show = |estimate: &Estimate, digits: usize| match (estimate.value, estimate.interval) {
            (Some(value), Some(interval)) => format!("{value:.digits$} ± {interval:.digits$}"),
            (Some(value), None) => format!("{value:.digits$}"),
            _ => "-".into(),
        };
        writeln!(
            f,
            "{:>3}  {:<widest$} {:>6} {:>14} {:>26} {:>15} {:>15}",
            "id", "class", "points", "mapped (ha)", "area (ha), 95 %", "user's", "producer's"
        )?;
        for class in &self.classes {
            writeln!(
                f,
                "{:>3}  {:<widest$} {:>6} {:>14.2} {:>26} {:>15} {:>15}",
                class.id,
                class.name,
                class.points,
                class.mapped_ha,
                show(&class.area_ha, 2),
                show(&class.users_accuracy, 3),
                show(&class.producers_accuracy, 3)
            )?;
        }
        write!(f, "     overall accuracy {}", show(&self.overall_accuracy, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables 8 and 9 of the paper: deforestation, forest gain, stable forest, stable non-forest; 30 m pixels.
    #[test]
    fn the_papers_worked_example() {
        let names = ["deforestation", "forest gain", "stable forest", "stable non-forest"].map(String::from);
        let mapped = [200_000.0, 150_000.0, 3_200_000.0, 6_450_000.0].map(|pixels: f64| pixels * 0.09);
        let confusion =
            [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]].map(|row| row.to_vec());
        let said = estimate(&names, &mapped, &confusion).unwrap();
        let close = |estimate: Estimate, value: f64, interval: f64, tolerance: f64| {
            let (v, i) = (estimate.value.unwrap(), estimate.interval.unwrap());
            assert!(
                (v - value).abs() < tolerance && (i - interval).abs() < tolerance,
                "{v} ± {i}: {value} ± {interval}"
            );
        };
        // In the text: "21,158 ± 6158 ha"; 11,686 ± 3756; 285,770 ± 15,510; 581,386 ± 16,282.
        for (class, (area, interval)) in said.classes.iter().zip([
            (21_158.0, 6_158.0),
            (11_686.0, 3_756.0),
            (285_770.0, 15_510.0),
            (581_386.0, 16_282.0),
        ]) {
            close(class.area_ha, area, interval, 1.0);
        }
        for (class, (value, interval)) in
            said.classes.iter().zip([(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)])
        {
            close(class.users_accuracy, value, interval, 0.0051);
        }
        for (class, (value, interval)) in
            said.classes.iter().zip([(0.75, 0.21), (0.85, 0.25), (0.93, 0.03), (0.96, 0.02)])
        {
            close(class.producers_accuracy, value, interval, 0.0051);
        }
        close(said.overall_accuracy, 0.95, 0.02, 0.0051);
        let total: f64 = said.classes.iter().map(|class| class.area_ha.value.unwrap()).sum();
        assert!((total - 900_000.0).abs() < 1e-6);
    }

    #[test]
    fn what_a_sample_cannot_tell() {
        let names = ["a", "b", "c"].map(String::from);
        let error = estimate(&names, &[1.0, 2.0, 0.0], &[vec![3, 0, 0], vec![0; 3], vec![0; 3]]).unwrap_err();
        assert!(error.to_string().contains("sample every class"));
        // A class without ground on the map may still be met on the ground; one point tells no spread.
        let confusion = [vec![3, 0, 1], vec![0, 1, 0], vec![0; 3]];
        let said = estimate(&names, &[1.0, 2.0, 0.0], &confusion).unwrap();
        assert_eq!(said.classes[2].area_ha, Estimate { value: Some(0.25), interval: None });
        assert_eq!(said.classes[2].users_accuracy.value, None);
        assert_eq!(said.classes[2].producers_accuracy.value, Some(0.0));
        assert!(said.classes[0].users_accuracy.interval.is_some());
        assert_eq!(said.classes[1].users_accuracy, Estimate { value: Some(1.0), interval: None });
    }
}
