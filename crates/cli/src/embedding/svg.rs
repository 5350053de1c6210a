//! A map as an SVG file.

use std::fmt::Write;

use hectare_data::encode_png;

use super::colours::{self, hex};
use super::plot::{LINE, MARGIN, Plot, SIDE, Style, TITLE};
use super::raster::density;
use super::text::{base64, escaped};
use crate::failure::{Failure, OrFail};

/// The whole file.
///
/// # Errors
/// When the picture of the density cannot be encoded.
pub fn draw(plot: &Plot<'_>) -> Result<String, Failure> {
    let [width, height] = plot.size();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (i, line) in plot.title.iter().enumerate() {
        let y = 28 + 26 * i;
        let line = escaped(line);
        let _ =
            writeln!(svg, "<text x=\"{MARGIN}\" y=\"{y}\" font-size=\"20\" fill=\"#282828\">{line}</text>");
    }
    let pixels = plot.pixels();
    match (plot.style(), plot.labels) {
        (Style::Numbers | Style::Dots, Some(labels)) => {
            let numbers = plot.style() == Style::Numbers;
            for class in &labels.classes {
                let points = pixels.iter().zip(&labels.of_row).filter(|(_, number)| **number == class.number);
                let points = points.map(|(point, _)| *point);
                let (colour, title) = (hex(class.colour), escaped(&class.title()));
                if numbers {
                    let _ = writeln!(
                        svg,
                        "<g fill=\"{colour}\" font-size=\"13\" font-weight=\"bold\" text-anchor=\"middle\"><title>{title}</title>"
                    );
                    for [x, y] in points {
                        let _ =
                            writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + 4.5, class.number);
                    }
                    svg += "</g>\n";
                } else {
                    dots(&mut svg, points, plot.radius(), &colour);
                }
            }
            if !numbers {
                svg += "<g font-size=\"24\" font-weight=\"bold\" text-anchor=\"middle\" fill=\"#282828\" \
                        stroke=\"#fff\" stroke-width=\"4\" paint-order=\"stroke\">\n";
                for (class, [x, y]) in labels.classes.iter().zip(plot.medians()) {
                    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + 8.0, class.number);
                }
                svg += "</g>\n";
            }
        }
        _ if pixels.len() < 2000 => {
            dots(&mut svg, pixels.into_iter(), plot.radius(), &hex(colours::of_density(0.7)));
        }
        _ => {
            let (side, top) = (SIDE - 2 * MARGIN, TITLE + MARGIN);
            let picture = base64(&encode_png(&density(plot)).or_work()?);
            let _ = writeln!(
                svg,
                "<image x=\"{MARGIN}\" y=\"{top}\" width=\"{side}\" height=\"{side}\" href=\"data:image/png;base64,{picture}\"/>"
            );
        }
    }
    for column in plot.legend() {
        for (i, (class, title)) in column.entries.iter().enumerate() {
            let (left, top) = (column.left, TITLE + MARGIN + i * LINE);
            let colour = class.and_then(|place| Some(hex(plot.labels?.classes[place].colour)));
            if let Some(colour) = &colour {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
                    top + 4
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" font-size=\"18\" fill=\"{}\">{}</text>",
                left + 20,
                top + 16,
                colour.as_deref().unwrap_or("#282828"),
                escaped(title)
            );
        }
    }
    svg += "</svg>\n";
    Ok(svg)
}

/// Dots as one path of strokes without length and with round ends, which is a tenth of as many circles' bytes.
fn dots(svg: &mut String, points: impl Iterator<Item = [f32; 2]>, radius: f32, colour: &str) {
    let width = 2.0 * radius;
    let _ = write!(
        svg,
        "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width:.1}\" stroke-linecap=\"round\" stroke-opacity=\"0.8\" d=\""
    );
    for [x, y] in points {
        let _ = write!(svg, "M{x:.1} {y:.1}h0");
    }
    *svg += "\"/>\n";
}
