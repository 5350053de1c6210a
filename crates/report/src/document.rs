//! A report before it is a page: blocks that HTML and Markdown both know how to show.

use hectare_data::Image;
use hectare_net::ClassMap;

use crate::chart::{LineChart, Scatter};
use crate::confusion::Confusion;

/// A report.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// What it is about.
    pub title: String,
    /// The blocks from top to bottom.
    pub blocks: Vec<Block>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub enum Block {
    /// A heading of level 2 or 3.
    Heading(u8, String),
    /// A paragraph.
    Text(String),
    /// A paragraph in small print: what a figure is, and what it is not.
    Note(String),
    /// Sentences below one another.
    List(Vec<String>),
    /// Figures in rows and columns.
    Table(Table),
    /// Text as a program printed it, below its title.
    Code(String, String),
    /// Lines over a horizontal axis.
    Chart(LineChart),
    /// Points in a plane.
    Scatter(Scatter),
    /// A confusion matrix and what it is of.
    Confusion(String, Confusion),
    /// Pictures in rows and columns.
    Gallery(Gallery),
    /// The classes of the masks and their colours.
    Legend(ClassMap),
}

/// A table. The first cell of a row is its name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Titles of the columns.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What kind of thing it says.
    pub mark: Mark,
}

/// What is special about a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// The best of its row.
    Best,
    /// A difference for the better.
    Better,
    /// A difference for the worse.
    Worse,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), mark: Mark::None }
    }
}

/// Pictures in rows and columns.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// What they show.
    pub caption: String,
    /// Titles of the columns.
    pub columns: Vec<String>,
    /// Title and pictures of each row.
    pub rows: Vec<(String, Vec<Option<Panel>>)>,
    /// Whether the masks among them answer to the legend's switches.
    pub classes: Option<ClassMap>,
}

/// A picture in a gallery.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub size: [usize; 2],
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// Whether its colours are classes.
    pub is_mask: bool,
}

impl Panel {
    /// A picture and what it shows.
    ///
    /// # Errors
    /// A picture that cannot be encoded.
    pub fn new(image: &Image, alt: impl Into<String>, is_mask: bool) -> Result<Panel, crate::ReportError> {
        Ok(Panel { png: crate::encode_png(image)?, size: image.size(), alt: alt.into(), is_mask })
    }
}

impl Document {
    /// Adds a block.
    pub fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    /// Adds a heading.
    pub fn heading(&mut self, level: u8, text: impl Into<String>) {
        self.push(Block::Heading(level, text.into()));
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.push(Block::Text(text.into()));
    }

    /// Adds a paragraph in small print.
    pub fn note(&mut self, text: impl Into<String>) {
        self.push(Block::Note(text.into()));
    }
}
