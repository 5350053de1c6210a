//! Charts: what they show, apart from how it is drawn (`svg` for pages, `raster` for pictures).

mod canvas;
mod raster;
mod scale;
mod svg;

pub(crate) use scale::number;

/// Colours that stay apart for the colour-blind (Okabe and Ito, 2008), in the order in which they are taken; the fifth
/// on come with another dash or shape.
pub(crate) const COLOURS: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
    [110, 110, 110],
];

/// Lines over a common horizontal axis.
#[derive(Clone, Debug, Default)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis counts.
    pub x: String,
    /// What the vertical axis counts.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Names of the places x = 0, 1, 2 ... where the axis is no scale.
    pub names: Vec<String>,
    /// Whether the vertical axis is logarithmic.
    pub logarithmic: bool,
}

/// A line.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Points (x, y) in the order of x.
    pub points: Vec<(f64, f64)>,
}

/// Points in a plane, each of a class.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// x, y and class of each point.
    pub points: Vec<(f64, f64, usize)>,
    /// Names of the classes.
    pub names: Vec<String>,
    /// What each point is, where that is known.
    pub labels: Vec<String>,
}

impl LineChart {
    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }

    /// The chart in words, for those who do not see it: first and last value of each line.
    pub fn alt(&self) -> String {
        let line = |series: &Series| {
            let (first, last) = (series.points.first()?, series.points.last()?);
            Some(format!("{} goes from {} to {}", series.name, number(first.1), number(last.1)))
        };
        let lines: Vec<String> = self.series.iter().filter_map(line).collect();
        format!("{} over {}: {}.", self.title, self.x, lines.join("; "))
    }
}

/// The colour of class `id` of `count`: evenly over the circle of hues, every other one darker.
pub(crate) fn class_colour(id: usize, count: usize) -> [u8; 3] {
    if count <= COLOURS.len() {
        return COLOURS[id % COLOURS.len()];
    }
    let hue = 6.0 * id as f64 / count as f64;
    let light = [0.85, 0.6, 0.72][id % 3];
    let part = |shift: f64| {
        let h = (hue + shift).rem_euclid(6.0);
        let value = (2.0 - (h - 3.0).abs()).clamp(0.0, 1.0);
        (255.0 * light * (0.12 + 0.88 * value)) as u8
    };
    [part(3.0), part(1.0), part(5.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_in_words() {
        let series = Series { name: "train".into(), points: vec![(1.0, 2.5), (2.0, 0.25)] };
        let chart = LineChart {
            title: "Loss".into(),
            x: "epoch".into(),
            series: vec![series],
            ..LineChart::default()
        };
        assert_eq!(chart.alt(), "Loss over epoch: train goes from 2.5 to 0.25.");
        assert!(!chart.is_empty() && LineChart::default().is_empty());
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        for count in [3, 50, 100] {
            let mut colours: Vec<_> = (0..count).map(|id| class_colour(id, count)).collect();
            colours.sort_unstable();
            colours.dedup();
            assert_eq!(colours.len(), count);
        }
    }
}
