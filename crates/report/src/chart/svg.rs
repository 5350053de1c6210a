//! Charts as SVG inside a page: colours by style sheet, a tip for every point, a switch for every line.

use super::scale::{Scale, number};
use super::{COLOURS, LineChart, Scatter, class_colour};
use crate::html::{Attribute, Html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
/// Room for ticks and titles: left, right, top, bottom.
const ROOM: [f64; 4] = [74.0, 14.0, 12.0, 44.0];
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];
/// Side of a scatter plot.
const SIDE: f64 = 640.0;

impl LineChart {
    /// Writes the figure.
    pub(crate) fn write_svg(&self, html: &mut Html) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_scale = match self.names.len() {
            0 => Scale::whole(points().map(|p| p.0)),
            count => Scale::places(count),
        };
        let y_scale = Scale::over(points().map(|p| p.1), self.logarithmic);
        let [left, right, top, bottom] = ROOM;
        let x_at = |x: f64| left + x_scale.place(x) * (WIDTH - left - right);
        let y_at = |y: f64| HEIGHT - bottom - y_scale.place(y) * (HEIGHT - top - bottom);
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        html.tag("figure", &[("class", &"chart")], |html| {
            html.tagged("figcaption", &[], &self.title);
            let alt = self.alt();
            html.tag("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &alt)], |html| {
                for &tick in &y_scale.ticks {
                    let y = one(y_at(tick));
                    html.shape(
                        "line",
                        &[
                            ("class", &"grid"),
                            ("x1", &left),
                            ("x2", &(WIDTH - right)),
                            ("y1", &y),
                            ("y2", &y),
                        ],
                    );
                    let place: [Attribute<'_>; 3] =
                        [("x", &(left - 6.0)), ("y", &one(y_at(tick) + 4.0)), ("class", &"end")];
                    html.tagged("text", &place, number(tick));
                }
                for &tick in &x_scale.ticks {
                    let text = match self.names.get(tick as usize) {
                        Some(name) => name.clone(),
                        None => number(tick),
                    };
                    let place: [Attribute<'_>; 3] =
                        [("x", &one(x_at(tick))), ("y", &(HEIGHT - bottom + 17.0)), ("class", &"middle")];
                    html.tagged("text", &place, text);
                }
                let middle = one(left + (WIDTH - left - right) / 2.0);
                html.tagged(
                    "text",
                    &[("x", &middle), ("y", &(HEIGHT - 6.0)), ("class", &"middle axis")],
                    &self.x,
                );
                let turn = format!("translate(13 {}) rotate(-90)", one(top + (HEIGHT - top - bottom) / 2.0));
                html.tagged("text", &[("transform", &turn), ("class", &"middle axis")], &self.y);
                for (index, series) in self.series.iter().enumerate() {
                    let class = format!("line c{}", index % COLOURS.len());
                    html.tag("g", &[("class", &class), ("data-series", &index)], |html| {
                        let places: Vec<String> = series
                            .points
                            .iter()
                            .filter(|p| p.1.is_finite())
                            .map(|p| format!("{},{}", one(x_at(p.0)), one(y_at(p.1))))
                            .collect();
                        let dash = DASHES[index % DASHES.len()];
                        html.shape("polyline", &[("points", &places.join(" ")), ("stroke-dasharray", &dash)]);
                        for p in series.points.iter().filter(|p| p.1.is_finite()) {
                            let at = match self.names.get(p.0 as usize) {
                                Some(name) => name.clone(),
                                None => format!("{} {}", self.x, number(p.0)),
                            };
                            let tip = format!("{}, {at}: {}", series.name, number(p.1));
                            let radius = if series.points.len() > 40 { 2.0 } else { 3.5 };
                            html.shape(
                                "circle",
                                &[
                                    ("cx", &one(x_at(p.0))),
                                    ("cy", &one(y_at(p.1))),
                                    ("r", &radius),
                                    ("data-tip", &tip),
                                ],
                            );
                        }
                    });
                }
            });
            html.tag("div", &[("class", &"switches")], |html| {
                for (index, series) in self.series.iter().enumerate() {
                    let class = format!("switch c{}", index % COLOURS.len());
                    let attributes: [Attribute<'_>; 4] = [
                        ("type", &"button"),
                        ("class", &class),
                        ("data-for", &index),
                        ("aria-pressed", &"true"),
                    ];
                    html.tag("button", &attributes, |html| {
                        let dash = DASHES[index % DASHES.len()];
                        html.tag("svg", &[("viewBox", &"0 0 28 8"), ("aria-hidden", &"true")], |html| {
                            html.shape(
                                "line",
                                &[("x2", &28), ("y1", &4), ("y2", &4), ("stroke-dasharray", &dash)],
                            );
                        });
                        html.text(&series.name);
                    });
                }
            });
        });
    }
}

impl Scatter {
    /// Writes the figure.
    pub(crate) fn write_svg(&self, html: &mut Html) {
        let (xs, ys) = self.frame();
        let at = |value: f64, [low, high]: [f64; 2]| one(12.0 + (value - low) / (high - low) * (SIDE - 24.0));
        let view = format!("0 0 {SIDE} {SIDE}");
        let count = self.names.len();
        html.tag("figure", &[("class", &"chart scatter")], |html| {
            html.tagged("figcaption", &[], &self.title);
            let alt = format!("{}: {} points of {count} classes.", self.title, self.points.len());
            html.tag("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &alt)], |html| {
                for class in 0..count {
                    let [r, g, b] = class_colour(class, count);
                    let fill = format!("rgb({r},{g},{b})");
                    html.tag("g", &[("data-series", &class), ("fill", &fill)], |html| {
                        for (index, (x, y, _)) in self.points.iter().enumerate().filter(|(_, p)| p.2 == class)
                        {
                            let label =
                                self.labels.get(index).map_or(String::new(), |label| format!(" ({label})"));
                            let tip = format!("{}{label}", self.names[class]);
                            html.shape(
                                "circle",
                                &[("cx", &at(*x, xs)), ("cy", &at(-*y, ys)), ("r", &3.4), ("data-tip", &tip)],
                            );
                        }
                    });
                }
                for (class, [x, y]) in self.centres() {
                    html.tagged(
                        "text",
                        &[("class", &"name"), ("data-series", &class), ("x", &at(x, xs)), ("y", &at(-y, ys))],
                        &self.names[class],
                    );
                }
            });
            html.tag("div", &[("class", &"switches")], |html| {
                html.tagged("button", &[("type", &"button"), ("class", &"switch all")], "all on or off");
                for (class, name) in self.names.iter().enumerate() {
                    let attributes: [Attribute<'_>; 4] = [
                        ("type", &"button"),
                        ("class", &"switch"),
                        ("data-for", &class),
                        ("aria-pressed", &"true"),
                    ];
                    html.tag("button", &attributes, |html| {
                        let [r, g, b] = class_colour(class, count);
                        let style = format!("background:rgb({r},{g},{b})");
                        html.tag("i", &[("style", &style)], |_| {});
                        html.text(name);
                    });
                }
            });
        });
    }

    /// Lowest and highest x, and lowest and highest -y, as wide as the wider of the two.
    pub(crate) fn frame(&self) -> ([f64; 2], [f64; 2]) {
        let range = |of: fn(&(f64, f64, usize)) -> f64| {
            let values = self.points.iter().map(of).filter(|v| v.is_finite());
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            if low > high { [-1.0, 1.0] } else { [low, high] }
        };
        let (xs, ys) = (range(|p| p.0), range(|p| -p.1));
        let half = ((xs[1] - xs[0]).max(ys[1] - ys[0]) / 2.0).max(1e-9);
        let around = |[low, high]: [f64; 2]| [(low + high) / 2.0 - half, (low + high) / 2.0 + half];
        (around(xs), around(ys))
    }

    /// The median point of every class that has points.
    pub(crate) fn centres(&self) -> Vec<(usize, [f64; 2])> {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let centre = |class: usize| {
            let own: Vec<_> = self.points.iter().filter(|p| p.2 == class).collect();
            (!own.is_empty()).then(|| {
                (
                    class,
                    [median(own.iter().map(|p| p.0).collect()), median(own.iter().map(|p| p.1).collect())],
                )
            })
        };
        (0..self.names.len()).filter_map(centre).collect()
    }
}

/// A place with one decimal.
fn one(value: f64) -> String {
    format!("{value:.1}")
}
