//! Where things stand in a picture of a map: shared by PNG and SVG.

use super::labels::Labels;

/// Side of the square that holds the points, in pixels.
pub const SIDE: usize = 1600;

/// Room around the points.
pub const MARGIN: usize = 30;

/// Height of the strip with the title.
pub const TITLE: usize = 64;

/// Height of a line of the legend.
pub const LINE: usize = 24;

/// Most points whose class numbers are written one by one; more become dots.
pub const MOST_NUMBERS: usize = 6000;

/// What a picture shows.
pub struct Plot<'a> {
    /// The map, in its own units.
    pub points: &'a [[f32; 2]],
    /// The classes, if known.
    pub labels: Option<&'a Labels>,
    /// Two lines for the head.
    pub title: [String; 2],
}

/// How points are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The number of each point's class.
    Numbers,
    /// Dots in the colours of the classes, and their numbers where most of each class lies.
    Dots,
    /// How many points lie where.
    Density,
}

impl Plot<'_> {
    /// How points are shown.
    pub fn style(&self) -> Style {
        match self.labels {
            Some(_) if self.points.len() <= MOST_NUMBERS => Style::Numbers,
            Some(_) => Style::Dots,
            None => Style::Density,
        }
    }

    /// Radius of a dot, by how many there are.
    pub fn radius(&self) -> f32 {
        (220.0 / (self.points.len().max(1) as f32).sqrt()).clamp(0.7, 5.0)
    }

    /// The points in a square of side 1 (the map's shape is kept), x to the right and y downwards.
    pub fn unit(&self) -> Vec<[f32; 2]> {
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in self.points {
            for c in 0..2 {
                low[c] = low[c].min(point[c]);
                high[c] = high[c].max(point[c]);
            }
        }
        let span = (high[0] - low[0]).max(high[1] - low[1]);
        let scale = if span > 0.0 { 1.0 / span } else { 0.0 };
        let place = |point: &[f32; 2]| {
            let x = 0.5 + (point[0] - 0.5 * (low[0] + high[0])) * scale;
            let y = 0.5 - (point[1] - 0.5 * (low[1] + high[1])) * scale;
            [x, y]
        };
        self.points.iter().map(place).collect()
    }

    /// The points in pixels of the picture.
    pub fn pixels(&self) -> Vec<[f32; 2]> {
        let inner = (SIDE - 2 * MARGIN) as f32;
        let place = |[x, y]: [f32; 2]| [MARGIN as f32 + inner * x, (TITLE + MARGIN) as f32 + inner * y];
        self.unit().into_iter().map(place).collect()
    }

    /// Width and height of the picture.
    pub fn size(&self) -> [usize; 2] {
        [SIDE + self.legend().iter().map(|column| column.width).sum::<usize>(), TITLE + SIDE]
    }

    /// The legend, column by column.
    pub fn legend(&self) -> Vec<LegendColumn> {
        let Some(labels) = self.labels else { return Vec::new() };
        let in_column = (SIDE - 2 * MARGIN) / LINE;
        // As many as a legend of four columns holds; the page lists all.
        let shown = labels.classes.len().min(4 * in_column - 1);
        let mut entries: Vec<(Option<usize>, String)> =
            (0..shown).map(|i| (Some(i), shortened(&labels.classes[i].title()))).collect();
        if shown < labels.classes.len() {
            entries.push((None, format!("and {} more", labels.classes.len() - shown)));
        }
        let mut left = SIDE;
        entries
            .chunks(in_column)
            .map(|entries| {
                let longest = entries.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
                let column = LegendColumn { left, width: 40 + 12 * longest, entries: entries.to_vec() };
                left += column.width;
                column
            })
            .collect()
    }

    /// The middle of each class (its median point), in pixels.
    pub fn medians(&self) -> Vec<[f32; 2]> {
        let Some(labels) = self.labels else { return Vec::new() };
        let mut of_class = vec![[Vec::new(), Vec::new()]; labels.classes.len()];
        for (point, number) in self.pixels().iter().zip(&labels.of_row) {
            for c in 0..2 {
                of_class[labels.place(*number)][c].push(point[c]);
            }
        }
        let median = |mut values: Vec<f32>| {
            values.sort_unstable_by(f32::total_cmp);
            values[values.len() / 2]
        };
        of_class.into_iter().map(|axes| axes.map(median)).collect()
    }
}

/// A column of the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct LegendColumn {
    /// Its left edge.
    pub left: usize,
    /// Its width.
    pub width: usize,
    /// Classes (places in the list of those that occur) with their titles.
    pub entries: Vec<(Option<usize>, String)>,
}

/// A title that fits a legend.
fn shortened(title: &str) -> String {
    if title.chars().count() <= 28 {
        return title.to_string();
    }
    title.chars().take(26).chain("..".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fill_the_square_in_their_own_shape() {
        let points = [[-10.0, 0.0], [30.0, 5.0], [10.0, 10.0]];
        let plot = Plot { points: &points, labels: None, title: Default::default() };
        assert_eq!(plot.unit(), [[0.0, 0.625], [1.0, 0.5], [0.5, 0.375]]);
        assert_eq!((plot.style(), plot.size()), (Style::Density, [SIDE, SIDE + TITLE]));
        let one = Plot { points: &points[..1], labels: None, title: Default::default() };
        assert_eq!(one.unit(), [[0.5, 0.5]]);
    }

    #[test]
    fn a_long_legend_says_what_it_leaves_out() {
        let points = vec![[0.0, 1.0]; 400];
        let labels =
            Labels::new((0..400).collect(), &|number| Some(format!("a name of number {number} and more")));
        let plot = Plot { points: &points, labels: Some(&labels), title: Default::default() };
        let legend = plot.legend();
        assert_eq!(legend.len(), 4);
        let shown: usize = legend.iter().map(|column| column.entries.len()).sum();
        assert_eq!(legend[3].entries.last().unwrap().1, format!("and {} more", 400 - shown + 1));
        assert!(legend[0].entries.iter().all(|(_, text)| text.chars().count() <= 28));
        assert_eq!(plot.medians().len(), 400);
    }
}
