//! HTML that cannot be broken by what it shows: markup is known when the program is compiled, all else is escaped.

use std::fmt::{Display, Write};

/// An attribute and its value.
pub(crate) type Attribute<'a> = (&'static str, &'a dyn Display);

/// A piece of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Html(String);

impl Html {
    /// Markup of our own.
    pub fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// Text of anybody.
    pub fn text(&mut self, text: impl Display) -> &mut Html {
        escape(&mut self.0, &text);
        self
    }

    /// An element with what `inner` writes.
    pub fn tag(
        &mut self,
        name: &'static str,
        attributes: &[Attribute<'_>],
        inner: impl FnOnce(&mut Html),
    ) -> &mut Html {
        self.leaf(name, attributes);
        inner(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// An element without an end: `img`, `rect`, `br`. (Elements of SVG need the end: see [`Html::shape`].)
    pub fn leaf(&mut self, name: &'static str, attributes: &[Attribute<'_>]) -> &mut Html {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    /// An empty element of SVG.
    pub fn shape(&mut self, name: &'static str, attributes: &[Attribute<'_>]) -> &mut Html {
        self.tag(name, attributes, |_| {})
    }

    /// An element that holds text only.
    pub fn tagged(
        &mut self,
        name: &'static str,
        attributes: &[Attribute<'_>],
        text: impl Display,
    ) -> &mut Html {
        self.tag(name, attributes, |html| {
            html.text(text);
        })
    }

    /// The markup.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Escapes while formatting, so that no unescaped copy is made.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Not allowed in HTML, not even escaped.
                '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' => self.0.push('\u{fffd}'),
                letter => self.0.push(letter),
            }
        }
        Ok(())
    }
}

fn escape(into: &mut String, value: &(impl Display + ?Sized)) {
    let _ = write!(Escaping(into), "{value}");
}

/// Bytes of a PNG file as a URL that holds them.
pub(crate) struct DataUrl<'a>(pub &'a [u8]);

impl Display for DataUrl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        f.write_str("data:image/png;base64,")?;
        let mut text = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for chunk in self.0.chunks(3) {
            let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
            for i in 0..4 {
                match i <= chunk.len() {
                    true => text.push(char::from(LETTERS[(bits >> (18 - 6 * i) & 63) as usize])),
                    false => text.push('='),
                }
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        let mut html = Html::default();
        let evil = "\"><script>alert('x')</script>&\u{1}";
        html.tag("p", &[("title", &evil)], |html| {
            html.text(evil);
        });
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}";
        assert_eq!(html.into_string(), format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn base64_of_the_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(DataUrl(bytes.as_bytes()).to_string(), format!("data:image/png;base64,{text}"));
        }
    }
}
