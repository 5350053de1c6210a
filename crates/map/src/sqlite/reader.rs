//! Reads the tables of a database.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Value, local_bytes};
use crate::MapError;

/// Deeper trees than this are damaged.
const MAX_DEPTH: usize = 24;

/// A database that is open for reading.
pub(crate) struct Database {
    path: PathBuf,
    file: File,
    page: usize,
    usable: usize,
    pages: u64,
    /// Name, root page and SQL of each table.
    tables: Vec<(String, u64, String)>,
}

/// Columns and rows of a table.
pub(crate) type Rows = (Vec<String>, Vec<Vec<Value>>);

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..9 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if i == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}

fn values(record: &[u8]) -> Option<Vec<Value>> {
    let mut rest = record;
    let header = varint(&mut rest)? as usize;
    let own = record.len() - rest.len();
    let mut types = record.get(own..header)?;
    let mut body = record.get(header..)?;
    let mut out = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => ((kind - 12) / 2) as usize,
        };
        let (bytes, after) = body.split_at_checked(length)?;
        body = after;
        out.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind as i64 - 8),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => {
                let first = if bytes[0] >= 0x80 { -1 } else { 0 };
                Value::Integer(bytes.iter().fold(first, |n: i64, b| n << 8 | i64::from(*b)))
            }
            _ if kind % 2 == 1 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Blob(bytes.to_vec()),
        });
    }
    Some(out)
}

/// The names of the columns in a CREATE TABLE statement, and which of them is the row id.
fn columns(sql: &str) -> (Vec<String>, Option<usize>) {
    let inner =
        sql.split_once('(').map_or("", |(_, rest)| rest.rsplit_once(')').map_or(rest, |(inner, _)| inner));
    let mut parts = vec![String::new()];
    let (mut depth, mut quote) = (0, None);
    for letter in inner.chars() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '[') => quote = Some(']'),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    let (mut names, mut row_id) = (Vec::new(), None);
    for part in parts {
        let part = part.trim();
        let (name, rest) = match part.chars().next() {
            Some(open @ ('"' | '\'' | '`' | '[')) => {
                let close = if open == '[' { ']' } else { open };
                part[1..].split_once(close).unwrap_or((&part[1..], ""))
            }
            _ => part.split_once(char::is_whitespace).unwrap_or((part, "")),
        };
        let upper = name.to_ascii_uppercase();
        let quoted = part.starts_with(['"', '\'', '`', '[']);
        if !quoted && ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].contains(&upper.as_str()) {
            continue;
        }
        let rest = rest.to_ascii_uppercase();
        if rest.trim_start().starts_with("INTEGER") && rest.contains("PRIMARY KEY") {
            row_id = Some(names.len());
        }
        names.push(name.to_owned());
    }
    (names, row_id)
}

impl Database {
    /// Opens a database.
    ///
    /// # Errors
    /// A file that is not there or is no database, or one that another program is writing.
    pub fn open(path: &Path) -> Result<Database, MapError> {
        let mut file = File::open(path).map_err(|error| MapError::io(path, &error))?;
        let mut start = [0; 100];
        if file.read_exact(&mut start).is_err() || !start.starts_with(b"SQLite format 3\0") {
            return Err(MapError::damaged(path, "not a GeoPackage"));
        }
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        if std::fs::metadata(PathBuf::from(wal)).is_ok_and(|found| found.len() > 0) {
            return Err(MapError::unsupported(
                path,
                "another program has it open and has not written everything yet (there is a -wal file); save and \
                 close it there first",
            ));
        }
        let page = match u16::from_be_bytes([start[16], start[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(usize::from(start[20]));
        if !page.is_power_of_two() || page < 512 || usable < 480 || start[56..60] != [0, 0, 0, 1] {
            return Err(MapError::damaged(path, "a damaged GeoPackage"));
        }
        let length = file.metadata().map_err(|error| MapError::io(path, &error))?.len();
        let pages = length / page as u64;
        let mut database = Database { path: path.into(), file, page, usable, pages, tables: Vec::new() };
        let mut tables = Vec::new();
        database.walk(1, 0, &mut |_, row| {
            if let [Value::Text(kind), Value::Text(name), _, Value::Integer(root), Value::Text(sql)] =
                &row[..]
                && kind == "table"
            {
                tables.push((name.clone(), *root as u64, sql.clone()));
            }
        })?;
        database.tables = tables;
        Ok(database)
    }

    /// Columns and rows of a table; nothing where there is none of that name.
    ///
    /// # Errors
    /// A damaged file.
    pub fn table(&mut self, name: &str) -> Result<Option<Rows>, MapError> {
        let Some((_, root, sql)) =
            self.tables.iter().find(|(own, ..)| own.eq_ignore_ascii_case(name)).cloned()
        else {
            return Ok(None);
        };
        let (columns, row_id) = columns(&sql);
        let mut rows = Vec::new();
        self.walk(root, 0, &mut |id, mut row| {
            // Columns that were added after a row was written.
            row.resize(columns.len(), Value::Null);
            if let Some(at) = row_id
                && row[at] == Value::Null
            {
                row[at] = Value::Integer(id);
            }
            rows.push(row);
        })?;
        Ok(Some((columns, rows)))
    }

    fn damaged(&self) -> MapError {
        MapError::damaged(&self.path, "a damaged GeoPackage")
    }

    fn page(&mut self, number: u64) -> Result<Vec<u8>, MapError> {
        if number == 0 || number > self.pages {
            return Err(self.damaged());
        }
        let mut page = vec![0; self.page];
        let read = self.file.seek(SeekFrom::Start((number - 1) * self.page as u64));
        read.and_then(|_| self.file.read_exact(&mut page))
            .map_err(|error| MapError::io(&self.path, &error))?;
        Ok(page)
    }

    fn walk(
        &mut self,
        number: u64,
        depth: usize,
        put: &mut dyn FnMut(i64, Vec<Value>),
    ) -> Result<(), MapError> {
        if depth > MAX_DEPTH {
            return Err(self.damaged());
        }
        let page = self.page(number)?;
        let before = if number == 1 { 100 } else { 0 };
        let header = &page[before..];
        let cells = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let interior = match header[0] {
            5 => true,
            13 => false,
            _ => return Err(self.damaged()),
        };
        let size = if interior { 12 } else { 8 };
        for i in 0..cells {
            let at = header.get(size + 2 * i..size + 2 * i + 2).ok_or_else(|| self.damaged())?;
            let at = usize::from(u16::from_be_bytes([at[0], at[1]]));
            let mut cell = page.get(at..).ok_or_else(|| self.damaged())?;
            if interior {
                let child = cell.first_chunk::<4>().ok_or_else(|| self.damaged())?;
                self.walk(u64::from(u32::from_be_bytes(*child)), depth + 1, put)?;
                continue;
            }
            let length = varint(&mut cell).ok_or_else(|| self.damaged())? as usize;
            let id = varint(&mut cell).ok_or_else(|| self.damaged())? as i64;
            if length as u64 > self.pages * self.page as u64 {
                return Err(self.damaged());
            }
            let local = local_bytes(length, self.usable);
            let mut record = cell.get(..local).ok_or_else(|| self.damaged())?.to_vec();
            if local < length {
                let next = cell.get(local..local + 4).ok_or_else(|| self.damaged())?;
                let mut next = u64::from(u32::from_be_bytes([next[0], next[1], next[2], next[3]]));
                while record.len() < length {
                    let page = self.page(next)?;
                    let take = (length - record.len()).min(self.usable - 4);
                    record.extend(&page[4..4 + take]);
                    next = u64::from(u32::from_be_bytes([page[0], page[1], page[2], page[3]]));
                }
            }
            let row = values(&record).ok_or_else(|| self.damaged())?;
            put(id, row);
        }
        if interior {
            let right = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            self.walk(u64::from(right), depth + 1, put)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_statements() {
        let sql = "CREATE TABLE \"x\" ( \"fid\" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom BLOB, [a b] TEXT(20), \
                   d DECIMAL(3,2) DEFAULT ('a,b'), CONSTRAINT u UNIQUE (geom, d))";
        let (names, row_id) = columns(sql);
        assert_eq!(names, ["fid", "geom", "a b", "d"]);
        assert_eq!(row_id, Some(0));
    }
}
