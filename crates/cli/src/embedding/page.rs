//! A map as one HTML file that needs nothing else: hovering, switching classes, moving about.

use hectare_data::encode_png;
use serde::Serialize;

use super::colours::hex;
use super::plot::Plot;
use super::text::{base64, escaped};
use super::thumbnails::Thumbnails;
use crate::failure::{Failure, OrFail};

const PAGE: &str = include_str!("page.html");

/// Thumbnails are shown about this large.
const SHOWN: usize = 128;

#[derive(Serialize)]
struct Data<'a> {
    x: Vec<Place>,
    y: Vec<Place>,
    /// Places in the list of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Vec<usize>>,
    classes: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbs: Option<Sheet>,
}

/// A number from 0 to 1 with few digits.
struct Place(f32);

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((f64::from(self.0) * 1e5).round() / 1e5)
    }
}

#[derive(Serialize)]
struct Entry {
    number: u32,
    title: String,
    colour: String,
    rows: usize,
}

#[derive(Serialize)]
struct Sheet {
    side: usize,
    columns: usize,
    rows: usize,
    zoom: usize,
    sheet: String,
}

/// The whole file. `names` are shown for points where there are any.
///
/// # Errors
/// When the thumbnails cannot be encoded.
pub fn draw(
    plot: &Plot<'_>,
    names: Option<&[String]>,
    thumbnails: Option<&Thumbnails>,
) -> Result<String, Failure> {
    let points = plot.unit();
    let sheet = |thumbnails: &Thumbnails| -> Result<Sheet, Failure> {
        let picture = encode_png(thumbnails.sheet()).or_work()?;
        Ok(Sheet {
            side: thumbnails.side,
            columns: thumbnails.columns,
            rows: thumbnails.sheet().height / thumbnails.side,
            zoom: (SHOWN / thumbnails.side).max(1),
            sheet: format!("data:image/png;base64,{}", base64(&picture)),
        })
    };
    let data = Data {
        x: points.iter().map(|point| Place(point[0])).collect(),
        y: points.iter().map(|point| Place(point[1])).collect(),
        label: plot.labels.map(|labels| labels.of_row.iter().map(|number| labels.place(*number)).collect()),
        classes: plot.labels.map_or(Vec::new(), |labels| {
            let entry = |class: &super::labels::Class| Entry {
                number: class.number,
                title: class.title(),
                colour: hex(class.colour),
                rows: class.rows,
            };
            labels.classes.iter().map(entry).collect()
        }),
        name: names,
        thumbs: thumbnails.map(sheet).transpose()?,
    };
    // No name can end the element that the data stand in.
    let json = serde_json::to_string(&data).or_work()?.replace('<', "\\u003c");
    let mut page = String::with_capacity(PAGE.len() + json.len());
    // In one pass, so that no title is taken for a mark.
    for (i, part) in PAGE.split('@').enumerate() {
        match (i % 2, part) {
            (1, "TITLE") => page += &escaped(&plot.title[0]),
            (1, "FIGURES") => page += &escaped(&plot.title[1]),
            (1, "DATA") => page += &json,
            (1, other) => return Err(Failure::work(format_args!("the page has no place for {other}"))),
            (_, text) => page += text,
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::labels::Labels;

    #[test]
    fn the_page_needs_nothing_else_and_names_cannot_break_it() {
        let points = [[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]];
        let labels = Labels::new(vec![4, 2, 4], &|_| Some("</script><b>@TITLE@".into()));
        let title = ["<i>@DATA@".to_string(), "KL 1".to_string()];
        let plot = Plot { points: &points, labels: Some(&labels), title };
        let mut thumbnails = Thumbnails::new(3, 16).unwrap();
        (0..3).for_each(|_| thumbnails.push(&hectare_data::Image::black(16, 16)));
        let names = ["a", "b", "</script>"].map(String::from);
        let page = draw(&plot, Some(&names), Some(&thumbnails)).unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("<h1>&lt;i&gt;@DATA@</h1>") && page.contains("data:image/png;base64,iVBOR"));
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="));
        let json = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(data["label"], serde_json::json!([1, 0, 1]));
        assert_eq!(data["x"], serde_json::json!([0.0, 1.0, 0.5]));
        assert_eq!(
            (data["name"][2].as_str(), data["thumbs"]["columns"].as_u64()),
            (Some("</script>"), Some(2))
        );
    }
}
