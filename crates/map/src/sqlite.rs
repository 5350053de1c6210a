//! SQLite's file format, as far as GeoPackages need it: tables written once in the order of their row ids, and read as a
//! whole. (<https://www.sqlite.org/fileformat.html>; the library itself is C and would need a compiler for it.)

mod reader;
mod writer;

pub(crate) use reader::Database;
pub(crate) use writer::{Index, Table, Writer};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Bytes of a page in files that are written.
const PAGE: usize = 4096;

/// How much of a payload of `length` bytes lies in the leaf of a table; the rest is in overflow pages. `usable` is the page
/// without what is reserved at its end.
fn local_bytes(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let wanted = least + (length - least) % (usable - 4);
    if wanted <= most { wanted } else { least }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_any_size_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.db");
        for count in [0, 1, 3, 1000, 4000] {
            let row = |i: usize| {
                vec![
                    Value::Null,
                    Value::Integer([0, 1, -1, 127, -129, 40_000, -9_000_000, 1 << 33, i64::MIN][i % 9]),
                    Value::Real(i as f64 * 0.25),
                    Value::Text("ä".repeat(i % 50)),
                    if i.is_multiple_of(7) {
                        Value::Null
                    } else {
                        Value::Blob(vec![i as u8; i * 13 % (300 + i % 3 * 5000)])
                    },
                ]
            };
            let file = std::fs::File::create(&path).unwrap();
            let mut writer = Writer::new(file).unwrap();
            let mut table = Table::default();
            for i in 0..count {
                writer.row(&mut table, i as i64 + 1, &row(i)).unwrap();
            }
            let root = writer.finish_table(table).unwrap();
            let index = writer.index(&[vec![Value::Text("a".into()), Value::Integer(1)]]).unwrap();
            let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, \"a b\" INTEGER, c DOUBLE, d TEXT DEFAULT ('x,y'), e BLOB)";
            let mut other = Table::default();
            writer.row(&mut other, 1, &[Value::Text("a".into())]).unwrap();
            let other = writer.finish_table(other).unwrap();
            let objects = [("t", root, sql), ("u", other, "CREATE TABLE u (k TEXT PRIMARY KEY)")];
            writer.finish(&objects, &[Index { table: "u", number: 1, root: index }], 0, 0).unwrap();
            let mut database = Database::open(&path).unwrap();
            let (columns, rows) = database.table("t").unwrap().unwrap();
            assert_eq!(columns, ["id", "a b", "c", "d", "e"]);
            assert_eq!(rows.len(), count);
            for (i, found) in rows.iter().enumerate() {
                let mut expected = row(i);
                expected[0] = Value::Integer(i as i64 + 1);
                assert_eq!(*found, expected, "row {i} of {count}");
            }
            assert!(database.table("nothing").unwrap().is_none());
        }
    }

    #[test]
    fn damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.db");
        let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
        let mut table = Table::default();
        for i in 0..60 {
            writer.row(&mut table, i, &[Value::Blob(vec![7; 120 * i as usize])]).unwrap();
        }
        let root = writer.finish_table(table).unwrap();
        writer.finish(&[("t", root, "CREATE TABLE t (e BLOB)")], &[], 0, 0).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 500).chain(0..200) {
            for change in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                std::fs::write(&path, &bytes).unwrap();
                if let Ok(mut database) = Database::open(&path) {
                    let _ = database.table("t");
                }
            }
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(Database::open(&path).and_then(|mut database| database.table("t")).is_err());
    }
}
