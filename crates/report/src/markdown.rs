//! A document as Markdown with pictures beside it, to be edited and handed in.

use std::fmt::Write;
use std::path::Path;

use crate::document::{Block, Document, Gallery, Mark, Table};
use crate::encode_png;
use crate::error::ReportError;

/// A picture's file name, and the bytes of the PNG file.
pub type NamedPng = (String, Vec<u8>);

/// The text, and the pictures it shows: their names and the bytes of PNG files. They lie in the folder named `folder`
/// beside the text.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn markdown(document: &Document, folder: &str) -> Result<(String, Vec<NamedPng>), ReportError> {
    let mut text = format!("# {}\n", escaped(&document.title));
    let mut pictures = Vec::new();
    for block in &document.blocks {
        text.push('\n');
        let mut picture = |alt: &str, kind: &str, png: Vec<u8>| {
            let name = format!("{kind}_{:02}.png", pictures.len() + 1);
            let line = format!("![{}]({folder}/{name})", escaped(alt));
            pictures.push((name, png));
            line
        };
        match block {
            Block::Heading(level, title) => {
                text += &format!("{} {}\n", "#".repeat(usize::from(*level)), escaped(title));
            }
            Block::Text(paragraph) => text += &format!("{}\n", escaped(paragraph)),
            Block::Note(paragraph) => text += &format!("*{}*\n", escaped(paragraph)),
            Block::List(items) => items.iter().for_each(|item| text += &format!("* {}\n", escaped(item))),
            Block::Table(table) => write_table(&mut text, table),
            Block::Code(title, code) => {
                // A fence longer than any run of backticks within.
                let fence = "`".repeat(3 + code.split(|c| c != '`').map(str::len).max().unwrap_or(0));
                text += &format!("{}\n\n{fence}\n{}\n{fence}\n", escaped(title), code.trim_end());
            }
            Block::Chart(chart) => {
                let line = picture(&chart.alt(), "chart", encode_png(&chart.picture())?);
                text += &format!("{line}\n\n*{}*\n", escaped(&chart.title));
            }
            Block::Scatter(scatter) => {
                let line = picture(&scatter.title, "scatter", encode_png(&scatter.picture())?);
                text += &format!("{line}\n\n*{}*\n", escaped(&scatter.title));
            }
            Block::Confusion(title, confusion) => {
                let line = picture(title, "confusion", encode_png(&confusion.picture())?);
                text +=
                    &format!("{line}\n\n*{}: rows are the truth, columns the prediction*\n", escaped(title));
            }
            Block::Gallery(gallery) => write_gallery(&mut text, gallery, &mut picture),
            Block::Legend(classes) => {
                let colour = |class: &hectare_net::Class| {
                    let [r, g, b] = class.colour;
                    format!("{} ({r}, {g}, {b})", escaped(&class.name))
                };
                let classes: Vec<String> = classes.classes.iter().map(colour).collect();
                text += &format!("Colours: {}\n", classes.join(", "));
            }
        }
    }
    Ok((text, pictures))
}

/// Writes the document beside `path`: the text there, its pictures in a folder with `_files` at its name.
///
/// # Errors
/// What cannot be written or encoded.
pub fn write_markdown(document: &Document, path: &Path) -> Result<(), ReportError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    // In an address of Markdown no blanks and brackets.
    let clean: String =
        stem.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let folder = format!("{clean}_files");
    let (text, pictures) = markdown(document, &folder)?;
    let beside = path.parent().unwrap_or(Path::new("")).join(&folder);
    std::fs::create_dir_all(&beside).map_err(|cause| ReportError::io("cannot create", &beside, cause))?;
    for (name, png) in pictures {
        crate::write(&beside.join(name), &png)?;
    }
    crate::write(path, text.as_bytes())
}

fn write_table(text: &mut String, table: &Table) {
    *text += &format!("{}\n\n", escaped(&table.caption));
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    *text += &row(table.head.iter().map(|title| escaped(title)).collect());
    let sides = (0..table.head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_string());
    *text += &row(sides.collect());
    for cells in &table.rows {
        let cell = |cell: &crate::document::Cell| match cell.mark {
            Mark::Best => format!("**{}**", escaped(&cell.text)),
            _ => escaped(&cell.text),
        };
        *text += &row(cells.iter().map(cell).collect());
    }
}

fn write_gallery(
    text: &mut String,
    gallery: &Gallery,
    picture: &mut dyn FnMut(&str, &str, Vec<u8>) -> String,
) {
    let titles: Vec<String> = gallery.columns.iter().map(|title| escaped(title)).collect();
    let _ = writeln!(text, "{}\n\n| | {} |", escaped(&gallery.caption), titles.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(titles.len()));
    for (title, panels) in &gallery.rows {
        let cell = |panel: &Option<crate::document::Panel>| match panel {
            Some(panel) => {
                picture(&panel.alt, if panel.is_mask { "mask" } else { "image" }, panel.png.clone())
            }
            None => "not kept".to_string(),
        };
        let cells: Vec<String> = panels.iter().map(cell).collect();
        let _ = writeln!(text, "| {} | {} |", escaped(title), cells.join(" | "));
    }
}

/// Text that Markdown takes as it is.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' | '\r' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Panel;
    use hectare_data::Image;

    #[test]
    fn a_document_and_its_pictures() {
        let mut document = Document { title: "A_b".into(), ..Document::default() };
        document.heading(2, "One");
        document.push(Block::Code("the network".into(), "VGG(\n```\n)".into()));
        let panel = Panel::new(&Image::black(2, 2), "black | square", false).unwrap();
        document.push(Block::Gallery(Gallery {
            columns: vec!["Image".into(), "Truth".into()],
            rows: vec![("0010".into(), vec![Some(panel), None])],
            ..Gallery::default()
        }));
        let folder = tempfile::tempdir().unwrap();
        write_markdown(&document, &folder.path().join("my report.md")).unwrap();
        let text = std::fs::read_to_string(folder.path().join("my report.md")).unwrap();
        assert!(text.starts_with("# A\\_b\n\n## One\n") && text.contains("\n``````\nVGG("), "{text}");
        assert!(text.contains("![black \\| square](my-report_files/image_01.png) | not kept |"), "{text}");
        assert!(folder.path().join("my-report_files/image_01.png").exists());
    }
}
