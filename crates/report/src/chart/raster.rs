//! Charts as pictures, for documents that cannot hold SVG.

use hectare_data::Image;

use super::canvas::Canvas;
use super::scale::{Scale, number};
use super::{COLOURS, LineChart, Scatter, class_colour};

const INK: [u8; 3] = [40, 40, 40];
const PALE: [u8; 3] = [222, 222, 222];
const WIDTH: usize = 1000;
const HEIGHT: usize = 460;
/// Room for ticks and titles: left, right, top, bottom without the legend.
const ROOM: [f64; 4] = [120.0, 24.0, 44.0, 66.0];
/// Height of a line of the legend.
const LINE: usize = 26;
/// Side of a scatter plot.
const SIDE: usize = 1000;

impl LineChart {
    /// The chart as a picture.
    pub fn picture(&self) -> Image {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_scale = match self.names.len() {
            0 => Scale::whole(points().map(|p| p.0)),
            count => Scale::places(count),
        };
        let y_scale = Scale::over(points().map(|p| p.1), self.logarithmic);
        let legend = self.series.len().div_ceil(3);
        let [left, right, top, bottom] = ROOM;
        let (width, height) = (WIDTH as f64, HEIGHT as f64);
        let x_at = |x: f64| left + x_scale.place(x) * (width - left - right);
        let y_at = |y: f64| height - bottom - y_scale.place(y) * (height - top - bottom);
        let mut canvas = Canvas::new(WIDTH, HEIGHT + legend * LINE);
        canvas.text(&self.title, left, 14.0, 0.0, INK);
        for &tick in &y_scale.ticks {
            canvas.line([left, y_at(tick)], [width - right, y_at(tick)], 1.0, PALE);
            canvas.text(&number(tick), left - 8.0, y_at(tick) - 7.0, 1.0, INK);
        }
        for &tick in &x_scale.ticks {
            let text = self.names.get(tick as usize).cloned().unwrap_or_else(|| number(tick));
            canvas.text(&text, x_at(tick), height - bottom + 8.0, 0.5, INK);
        }
        canvas.text(&self.x, left + (width - left - right) / 2.0, height - 32.0, 0.5, INK);
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let places: Vec<[f64; 2]> =
                series.points.iter().filter(|p| p.1.is_finite()).map(|p| [x_at(p.0), y_at(p.1)]).collect();
            places.windows(2).for_each(|pair| canvas.line(pair[0], pair[1], 3.0, colour));
            places
                .iter()
                .for_each(|place| canvas.disc(*place, if places.len() > 40 { 2.0 } else { 4.5 }, colour));
            let x = left + (index % 3) as f64 * (width - left - right) / 3.0;
            let y = (HEIGHT + index / 3 * LINE) as f64;
            canvas.line([x, y + 7.0], [x + 30.0, y + 7.0], 4.0, colour);
            canvas.text(&series.name, x + 40.0, y, 0.0, INK);
        }
        canvas.0
    }
}

impl Scatter {
    /// The plot as a picture.
    pub fn picture(&self) -> Image {
        let (xs, ys) = self.frame();
        let at =
            |value: f64, [low, high]: [f64; 2]| 30.0 + (value - low) / (high - low) * (SIDE as f64 - 60.0);
        let mut canvas = Canvas::new(SIDE, SIDE);
        for &(x, y, class) in &self.points {
            canvas.disc([at(x, xs), at(-y, ys)], 3.5, class_colour(class, self.names.len()));
        }
        for (class, [x, y]) in self.centres() {
            let place = [at(x, xs), at(-y, ys) - 7.0];
            for (dx, dy) in [(-2.0, 0.0), (2.0, 0.0), (0.0, -2.0), (0.0, 2.0)] {
                canvas.text(&self.names[class], place[0] + dx, place[1] + dy, 0.5, [255; 3]);
            }
            canvas.text(&self.names[class], place[0], place[1], 0.5, INK);
        }
        canvas.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Series;

    #[test]
    fn lines_and_points_are_drawn() {
        let series =
            |name: &str| Series { name: name.into(), points: vec![(1.0, 2.5), (2.0, f64::NAN), (3.0, 1.0)] };
        let series = vec![series("a"), series("b")];
        let chart = LineChart { series, x: "epoch".into(), ..LineChart::default() };
        let picture = chart.picture();
        assert_eq!(picture.width, WIDTH);
        let has = |image: &Image, colour: [u8; 3]| image.pixels.as_chunks::<3>().0.contains(&colour);
        assert!(has(&picture, COLOURS[0]) && has(&picture, COLOURS[1]) && has(&picture, INK));
        assert_eq!(LineChart::default().picture().width, WIDTH);
        let names = ["fox", "wolf"].map(str::to_string).to_vec();
        let scatter = Scatter {
            points: vec![(0.0, 0.0, 0), (5.0, 1.0, 1), (5.0, 4.0, 1), (5.0, 8.0, 1)],
            names,
            ..Scatter::default()
        };
        assert!(has(&scatter.picture(), COLOURS[1]));
        assert_eq!(Scatter::default().picture().width, SIDE);
    }
}
