//! Comma-separated lines: quotes around a field and doubled quotes within one, no line breaks in fields.

use std::path::Path;

use crate::DataError;
use crate::image_file::read_up_to;

/// Most bytes of a list or class map.
pub(crate) const LONGEST_TEXT: u64 = 64 << 20;

/// A text file, whole, as UTF-8 without a byte order mark.
pub(crate) fn read_text(path: &Path) -> Result<String, DataError> {
    let text = String::from_utf8(read_up_to(path, LONGEST_TEXT)?);
    let text = text.map_err(|_| DataError::line(path, 0, "not a text file in UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// Non-empty lines of a CSV file: (line number from 1, fields without surrounding blanks). Lines that begin
/// with `#` are comments.
pub(crate) fn read(path: &Path) -> Result<Vec<(usize, Vec<String>)>, DataError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    lines
        .map(|(i, line)| match fields(line) {
            Some(fields) => Ok((i + 1, fields)),
            None => Err(DataError::line(path, i + 1, "a quotation mark is not closed")),
        })
        .collect()
}

fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then(|| fields.into_iter().map(|f| f.trim().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn fields_may_be_quoted() {
        let of = |line| fields(line).unwrap();
        assert_eq!(of("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(of("\"a,b\",\"say \"\"x\"\"\""), ["a,b", "say \"x\""]);
        assert_eq!(of(","), ["", ""]);
        assert_eq!(fields("\"a"), None);
    }
}
