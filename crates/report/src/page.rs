//! A document as one HTML page: everything inside, no address outside.

use hectare_net::ClassMap;

use crate::confusion::Confusion;
use crate::document::{Block, Document, Gallery, Mark, Table};
use crate::html::{Attribute, DataUrl, Html};

/// Nothing may be fetched: what is not inside does not exist.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
/// Classes up to which a confusion matrix prints its figures.
const PRINTED: usize = 12;

/// The page.
pub fn page(document: &Document) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.leaf("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &POLICY)]);
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    html.raw("<link rel=\"icon\" href=\"data:,\">");
    html.tagged("title", &[], &document.title);
    html.raw("<style>").raw(include_str!("page/style.css")).raw("</style></head><body>");
    html.raw("<div id=\"tip\" role=\"status\" hidden></div><header>");
    html.tagged("h1", &[], &document.title);
    contents(&mut html, document);
    html.raw("</header><main>");
    let mut sections = 0;
    for (index, block) in document.blocks.iter().enumerate() {
        if let Block::Heading(2, _) = block {
            html.raw(if sections > 0 { "</section><section>" } else { "<section>" });
            sections += 1;
        }
        let is_chart = |index: usize| matches!(document.blocks.get(index), Some(Block::Chart(_)));
        if is_chart(index) && (index == 0 || !is_chart(index - 1)) {
            html.raw("<div class=\"charts\">");
        }
        write_block(&mut html, index, block);
        if is_chart(index) && !is_chart(index + 1) {
            html.raw("</div>");
        }
    }
    html.raw(if sections > 0 { "</section></main>" } else { "</main>" });
    html.raw("<script>").raw(include_str!("page/script.js")).raw("</script></body></html>\n");
    html.into_string()
}

/// Links to the sections.
fn contents(html: &mut Html, document: &Document) {
    html.tag("nav", &[("aria-label", &"Contents")], |html| {
        for (index, block) in document.blocks.iter().enumerate() {
            if let Block::Heading(2, text) = block {
                html.tagged("a", &[("href", &format_args!("#s{index}"))], text);
            }
        }
    });
}

fn write_block(html: &mut Html, index: usize, block: &Block) {
    match block {
        Block::Heading(2, text) => {
            html.tagged("h2", &[("id", &format_args!("s{index}"))], text);
        }
        Block::Heading(_, text) => {
            html.tagged("h3", &[], text);
        }
        Block::Text(text) => {
            html.tagged("p", &[], text);
        }
        Block::Note(text) => {
            html.tagged("p", &[("class", &"note")], text);
        }
        Block::List(items) => {
            html.tag("ul", &[], |html| {
                for item in items {
                    html.tagged("li", &[], item);
                }
            });
        }
        Block::Table(table) => write_table(html, table),
        Block::Code(title, text) => {
            html.tag("details", &[("open", &"")], |html| {
                html.tagged("summary", &[], title);
                html.tagged("pre", &[("tabindex", &0)], text);
            });
        }
        Block::Chart(chart) => chart.write_svg(html),
        Block::Scatter(scatter) => scatter.write_svg(html),
        Block::Confusion(title, confusion) => write_confusion(html, title, confusion),
        Block::Gallery(gallery) => write_gallery(html, gallery),
        Block::Legend(classes) => write_legend(html, classes, false),
    }
}

fn write_table(html: &mut Html, table: &Table) {
    html.tag("div", &[("class", &"wide"), ("tabindex", &0)], |html| {
        html.tag("table", &[], |html| {
            html.tagged("caption", &[], &table.caption);
            html.tag("tr", &[], |html| {
                for title in &table.head {
                    html.tagged("th", &[("scope", &"col")], title);
                }
            });
            for row in &table.rows {
                html.tag("tr", &[], |html| {
                    for (column, cell) in row.iter().enumerate() {
                        let class = match cell.mark {
                            Mark::None => "",
                            Mark::Best => "best",
                            Mark::Better => "better",
                            Mark::Worse => "worse",
                        };
                        match column {
                            0 => html.tagged("th", &[("scope", &"row")], &cell.text),
                            _ => html.tagged("td", &[("class", &class)], &cell.text),
                        };
                    }
                });
            }
        });
    });
}

/// Cells dark by their share of the row; figures inside where there is room.
fn write_confusion(html: &mut Html, title: &str, confusion: &Confusion) {
    let n = confusion.names.len();
    let printed = n <= PRINTED;
    let cell = if printed { 52 } else { 11 };
    let longest = confusion.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let room = 14 + 6 * longest.min(16);
    let side = room + n * cell + 4;
    let right = confusion.counts.accuracy();
    html.tag("figure", &[("class", &"chart matrix")], |html| {
        html.tagged("figcaption", &[], title);
        let view = format!("0 0 {side} {side}");
        let alt = format!(
            "Confusion matrix of {n} classes, rows truth and columns prediction: {:.1} % lie on the diagonal.",
            100.0 * right
        );
        html.tag("svg", &[("viewBox", &view), ("role", &"img"), ("aria-label", &alt)], |html| {
            for (i, name) in confusion.names.iter().enumerate() {
                let middle = room + i * cell + cell / 2;
                let row: [Attribute<'_>; 3] = [("x", &(room - 5)), ("y", &(middle + 3)), ("class", &"end small")];
                html.tagged("text", &row, name);
                let turn = format!("translate({} {}) rotate(-90)", middle + 3, room - 5);
                html.tagged("text", &[("transform", &turn), ("class", &"small")], name);
            }
            for t in 0..n {
                for p in 0..n {
                    let (share, count) = (confusion.share(t, p), confusion.counts.count(t, p));
                    if count == 0 && t != p {
                        continue;
                    }
                    let (x, y) = (room + p * cell, room + t * cell);
                    let names = &confusion.names;
                    let tip = format!("{} taken for {}: {:.1} % ({count})", names[t], names[p], 100.0 * share);
                    // Shares of a row, of which few are large, by their root.
                    let opacity = format!("{:.3}", share.sqrt());
                    html.shape(
                        "rect",
                        &[
                            ("x", &x),
                            ("y", &y),
                            ("width", &(cell - 1)),
                            ("height", &(cell - 1)),
                            ("class", &"heat"),
                            ("fill-opacity", &opacity),
                            ("data-tip", &tip),
                        ],
                    );
                    if printed {
                        let class = if share > 0.25 { "middle small onDark" } else { "middle small onLight" };
                        let place: [Attribute<'_>; 3] =
                            [("x", &(x + cell / 2)), ("y", &(y + cell / 2 + 4)), ("class", &class)];
                        html.tagged("text", &place, format!("{:.1} %", 100.0 * share));
                    }
                }
            }
            let outline: [Attribute<'_>; 5] = [
                ("x", &room),
                ("y", &room),
                ("width", &(n * cell)),
                ("height", &(n * cell)),
                ("class", &"outline"),
            ];
            html.shape("rect", &outline);
        });
        html.raw("<p class=\"note\">Rows are the truth, columns the prediction; shares of a row.</p>");
    });
}

fn write_gallery(html: &mut Html, gallery: &Gallery) {
    let columns = format!("--columns:{}", gallery.columns.len().max(1));
    html.tag("figure", &[("class", &"gallery"), ("style", &columns)], |html| {
        html.tagged("figcaption", &[], &gallery.caption);
        for (title, panels) in &gallery.rows {
            html.tagged("h4", &[], title);
            html.tag("div", &[("class", &"row")], |html| {
                for (panel, column) in panels.iter().zip(&gallery.columns) {
                    html.tag("div", &[("class", &"panel")], |html| {
                        match panel {
                            Some(panel) => {
                                let url = DataUrl(&panel.png);
                                let [width, height] = panel.size;
                                let mut attributes: Vec<Attribute<'_>> = vec![
                                    ("src", &url),
                                    ("alt", &panel.alt),
                                    ("width", &width),
                                    ("height", &height),
                                    ("loading", &"lazy"),
                                ];
                                if panel.is_mask {
                                    attributes.push(("data-mask", &""));
                                }
                                html.leaf("img", &attributes);
                            }
                            None => {
                                html.raw("<div class=\"missing\">not kept</div>");
                            }
                        }
                        html.tagged("span", &[], column);
                    });
                }
            });
        }
        if let Some(classes) = &gallery.classes {
            write_legend(html, classes, true);
        }
    });
}

/// The palette; with `switches`, a button for each class that fades all others.
fn write_legend(html: &mut Html, classes: &ClassMap, switches: bool) {
    html.tag("div", &[("class", &"legend")], |html| {
        for class in &classes.classes {
            let [r, g, b] = class.colour;
            let (style, colour) = (format!("background:rgb({r},{g},{b})"), format!("{r},{g},{b}"));
            let inner = |html: &mut Html| {
                html.tag("i", &[("style", &style)], |_| {});
                html.text(&class.name);
            };
            let swatch: [Attribute<'_>; 3] =
                [("class", &"swatch"), ("data-colour", &colour), ("data-name", &class.name)];
            let button: [Attribute<'_>; 2] = [("type", &"button"), ("aria-pressed", &"false")];
            match switches {
                true => html.tag("button", &[&swatch[..], &button[..]].concat(), inner),
                false => html.tag("span", &swatch, inner),
            };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{LineChart, Series};
    use crate::document::Panel;
    use hectare_data::Image;
    use hectare_train::ConfusionMatrix;

    #[test]
    fn a_page_holds_all_it_shows() {
        let mut document = Document { title: "<A & B>".into(), ..Document::default() };
        document.heading(2, "One");
        document.text("\"text\" <b>");
        let cell = |mark| super::super::document::Cell { text: "0.5".into(), mark };
        document.push(Block::Table(Table {
            caption: "t".into(),
            head: vec!["a".into(), "b".into()],
            rows: vec![vec!["x".into(), cell(Mark::Best)]],
        }));
        let series = Series { name: "<s>".into(), points: vec![(1.0, 1.0)] };
        document.push(Block::Chart(LineChart { series: vec![series], ..LineChart::default() }));
        let names = ["a", "b"].map(str::to_string).to_vec();
        document.push(Block::Confusion("c".into(), Confusion { names, counts: ConfusionMatrix::new(2) }));
        let panel = Panel::new(&Image::black(2, 2), "black", true).unwrap();
        document.push(Block::Gallery(Gallery {
            columns: vec!["Image".into(), "Truth".into()],
            rows: vec![("0010".into(), vec![Some(panel), None])],
            classes: Some(ClassMap::course()),
            ..Gallery::default()
        }));
        let page = page(&document);
        assert!(
            page.contains("<title>&lt;A &amp; B&gt;</title>") && page.contains("&quot;text&quot; &lt;b&gt;")
        );
        assert!(
            page.contains("class=\"best\"") && page.contains("not kept") && page.contains("alt=\"black\"")
        );
        for (at, _) in page.match_indices("src=\"") {
            assert!(page[at + 5..].starts_with("data:"));
        }
        for (at, _) in page.match_indices("href=\"") {
            assert!(page[at + 6..].starts_with('#') || page[at + 6..].starts_with("data:"));
        }
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
    }
}
