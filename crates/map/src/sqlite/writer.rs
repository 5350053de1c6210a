//! Writes a database from front to back; only its first page, with the list of tables, comes last.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::{PAGE, Value, local_bytes};

/// A database in the making.
pub(crate) struct Writer {
    out: BufWriter<File>,
    pages: u32,
}

/// A table in the making.
#[derive(Default)]
pub(crate) struct Table {
    leaf: Leaf,
    /// Pages of the level below, each with its last row id.
    children: Vec<(u32, i64)>,
}

/// An index that belongs to a table's PRIMARY KEY or UNIQUE.
pub(crate) struct Index<'a> {
    pub table: &'a str,
    /// Its place among the table's indices, from 1.
    pub number: usize,
    pub root: u32,
}

/// A page that is being filled: cells from its end downwards.
#[derive(Default)]
struct Leaf {
    cells: Vec<Vec<u8>>,
    bytes: usize,
    last: i64,
}

fn varint(value: u64, out: &mut Vec<u8>) {
    if value >> 56 != 0 {
        // Nine bytes: eight times seven bits and then eight.
        out.extend((1..=8).rev().map(|i| (value >> (i * 7 + 1)) as u8 | 0x80));
        out.push(value as u8);
        return;
    }
    let bytes = ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7);
    out.extend((0..bytes).rev().map(|i| (value >> (i * 7)) as u8 & 0x7f | if i > 0 { 0x80 } else { 0 }));
}

fn record(values: &[Value]) -> Vec<u8> {
    let (mut types, mut body) = (Vec::new(), Vec::new());
    for value in values {
        let kind = match value {
            Value::Null => 0,
            Value::Integer(number) => {
                let sizes = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (6, 8)];
                let fits = |bytes: u32| bytes == 8 || (*number >> (bytes * 8 - 1)) == *number >> 63;
                let (kind, bytes) = sizes.into_iter().find(|(_, bytes)| fits(*bytes)).unwrap_or((6, 8));
                body.extend(&number.to_be_bytes()[8 - bytes as usize..]);
                kind
            }
            Value::Real(number) => {
                body.extend(number.to_be_bytes());
                7
            }
            Value::Text(text) => {
                body.extend(text.bytes());
                13 + 2 * text.len() as u64
            }
            Value::Blob(bytes) => {
                body.extend(bytes);
                12 + 2 * bytes.len() as u64
            }
        };
        varint(kind, &mut types);
    }
    // The header's length counts itself; one byte is enough up to 127.
    let mut out = Vec::new();
    let own = if types.len() < 127 { 1 } else { 2 };
    varint((types.len() + own) as u64, &mut out);
    out.extend(types);
    out.extend(body);
    out
}

/// A page of cells behind `before` bytes; `right` is the last child of an interior page.
fn page(kind: u8, cells: &[Vec<u8>], right: Option<u32>, before: usize) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    let header = if right.is_some() { 12 } else { 8 };
    let mut end = PAGE;
    for (i, cell) in cells.iter().enumerate() {
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(cell);
        let at = before + header + 2 * i;
        page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
    }
    page[before] = kind;
    page[before + 3..before + 5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
    page[before + 5..before + 7].copy_from_slice(&(end as u16).to_be_bytes());
    if let Some(right) = right {
        page[before + 8..before + 12].copy_from_slice(&right.to_be_bytes());
    }
    page
}

impl Writer {
    /// Begins a database.
    pub fn new(file: File) -> io::Result<Writer> {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&[0; PAGE])?;
        Ok(Writer { out, pages: 1 })
    }

    fn append(&mut self, page: &[u8]) -> io::Result<u32> {
        if self.pages == u32::MAX - 1 {
            return Err(io::Error::other("the database would have too many pages"));
        }
        self.out.write_all(page)?;
        self.pages += 1;
        Ok(self.pages)
    }

    /// Adds a row; ids must rise. The value of an INTEGER PRIMARY KEY is given as [`Value::Null`].
    pub fn row(&mut self, table: &mut Table, id: i64, values: &[Value]) -> io::Result<()> {
        let record = record(values);
        let local = local_bytes(record.len(), PAGE);
        let mut cell = Vec::with_capacity(local + 24);
        varint(record.len() as u64, &mut cell);
        varint(id as u64, &mut cell);
        cell.extend(&record[..local]);
        if local < record.len() {
            cell.extend((self.pages + 1).to_be_bytes());
            let chunks = record[local..].chunks(PAGE - 4);
            let count = chunks.len();
            for (i, chunk) in chunks.enumerate() {
                let mut page = vec![0; PAGE];
                let next = if i + 1 < count { self.pages + 2 } else { 0 };
                page[..4].copy_from_slice(&next.to_be_bytes());
                page[4..4 + chunk.len()].copy_from_slice(chunk);
                self.append(&page)?;
            }
        }
        if table.leaf.bytes + cell.len() + 2 > PAGE - 8 {
            self.flush(table)?;
        }
        table.leaf.bytes += cell.len() + 2;
        table.leaf.cells.push(cell);
        table.leaf.last = id;
        Ok(())
    }

    fn flush(&mut self, table: &mut Table) -> io::Result<()> {
        let leaf = std::mem::take(&mut table.leaf);
        let number = self.append(&page(13, &leaf.cells, None, 0))?;
        table.children.push((number, leaf.last));
        Ok(())
    }

    /// Ends a table and gives its root page.
    pub fn finish_table(&mut self, mut table: Table) -> io::Result<u32> {
        if !table.leaf.cells.is_empty() || table.children.is_empty() {
            self.flush(&mut table)?;
        }
        let mut level = table.children;
        while level.len() > 1 {
            // A cell is four bytes and a varint of up to nine, and its pointer two.
            const CHILDREN: usize = (PAGE - 12) / 15;
            let mut above = Vec::new();
            let mut rest = &level[..];
            while !rest.is_empty() {
                // No page with a single child: the last two share what is left.
                let count = if rest.len() > CHILDREN && rest.len() < CHILDREN + 2 {
                    rest.len() / 2
                } else {
                    CHILDREN
                };
                let (own, after) = rest.split_at(count.min(rest.len()));
                rest = after;
                let Some(((right, last), others)) = own.split_last() else { break };
                let cells: Vec<Vec<u8>> = others
                    .iter()
                    .map(|(child, last)| {
                        let mut cell = child.to_be_bytes().to_vec();
                        varint(*last as u64, &mut cell);
                        cell
                    })
                    .collect();
                above.push((self.append(&page(5, &cells, Some(*right), 0))?, *last));
            }
            level = above;
        }
        Ok(level[0].0)
    }

    /// Writes an index of a few sorted keys, each ending in its row id, and gives its root page.
    pub fn index(&mut self, keys: &[Vec<Value>]) -> io::Result<u32> {
        let cells: Vec<Vec<u8>> = keys
            .iter()
            .map(|key| {
                let record = record(key);
                let mut cell = Vec::new();
                varint(record.len() as u64, &mut cell);
                cell.extend(record);
                cell
            })
            .collect();
        if cells.iter().map(|cell| cell.len() + 2).sum::<usize>() > PAGE - 8 {
            return Err(io::Error::other("an index does not fit its page"));
        }
        self.append(&page(10, &cells, None, 0))
    }

    /// Ends the database with the list of its tables (name, root page, SQL) and of their indices.
    pub fn finish(
        mut self,
        tables: &[(&str, u32, &str)],
        indices: &[Index<'_>],
        application: u32,
        version: u32,
    ) -> io::Result<()> {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut rows = Vec::new();
        for (name, root, sql) in tables {
            rows.push([text("table"), text(name), text(name), Value::Integer(i64::from(*root)), text(sql)]);
            for index in indices.iter().filter(|index| index.table == *name) {
                let own = text(&format!("sqlite_autoindex_{name}_{}", index.number));
                rows.push([
                    text("index"),
                    own,
                    text(name),
                    Value::Integer(i64::from(index.root)),
                    Value::Null,
                ]);
            }
        }
        let cells: Vec<Vec<u8>> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let record = record(row);
                let mut cell = Vec::new();
                varint(record.len() as u64, &mut cell);
                varint(i as u64 + 1, &mut cell);
                cell.extend(record);
                cell
            })
            .collect();
        if cells.iter().map(|cell| cell.len() + 2).sum::<usize>() > PAGE - 108 {
            return Err(io::Error::other("the list of tables does not fit its page"));
        }
        let mut first = page(13, &cells, None, 100);
        first[..16].copy_from_slice(b"SQLite format 3\0");
        first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
        first[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        let numbers = [
            (24, 1),
            (28, self.pages),
            (40, 1),
            (44, 4),
            (56, 1),
            (60, version),
            (68, application),
            (92, 1),
            (96, 3_040_001),
        ];
        for (at, number) in numbers {
            first[at..at + 4].copy_from_slice(&u32::to_be_bytes(number));
        }
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&first)?;
        self.out.flush()
    }
}
