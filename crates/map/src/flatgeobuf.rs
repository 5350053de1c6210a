//! Layers of polygons written as FlatGeobuf (version 3): a header and features one after the other, each a flatbuffer.
//!
//! There is no spatial index. It would stand before the features, sorted along a curve, so all of them would have to be known and
//! written twice; without it they are written as they are found, and memory does not grow with their number.

mod buffer;

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use crate::Crs;
use crate::geopackage::FieldKind;
use crate::sqlite::Value;
use crate::vector::Ring;
use buffer::{Buffer, Inline, ROOT};

/// `fgb`, the version, `fgb`, the patch.
const MAGIC: &[u8; 8] = b"fgb\x03fgb\x01";
/// The geometry type of a polygon, as in well-known binary.
const POLYGON: u8 = 3;

/// A layer in the making.
pub(crate) struct FlatGeobuf {
    out: BufWriter<File>,
    header: Header,
    count: u64,
    bounds: [f64; 4],
}

struct Header {
    bytes: Vec<u8>,
    /// Where the number of features and the bounds lie in it; both are known last.
    count_at: usize,
    bounds_at: usize,
}

impl FlatGeobuf {
    /// Begins a layer of polygons in the system `crs`; of one that has no EPSG number the file tells none.
    pub fn new(
        file: File,
        name: &str,
        fields: &[(&str, FieldKind)],
        crs: Option<&Crs>,
    ) -> io::Result<FlatGeobuf> {
        let header = header(name, fields, crs);
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(MAGIC)?;
        out.write_all(&header.bytes)?;
        let bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        Ok(FlatGeobuf { out, header, count: 0, bounds })
    }

    /// Adds a polygon, its outer ring first; `values` are those of the fields in their order.
    pub fn add(&mut self, rings: &[Ring], values: &[Value]) -> io::Result<()> {
        for [x, y] in rings.iter().flatten() {
            let [left, low, right, high] = self.bounds;
            self.bounds = [left.min(*x), low.min(*y), right.max(*x), high.max(*y)];
        }
        self.count += 1;
        self.out.write_all(&feature(rings, values))
    }

    /// Writes what is known only now.
    pub fn finish(mut self) -> io::Result<()> {
        let bytes = &mut self.header.bytes;
        bytes[self.header.count_at..][..8].copy_from_slice(&self.count.to_le_bytes());
        let bounds = if self.count > 0 { self.bounds } else { [0.0; 4] };
        let places = bytes[self.header.bounds_at..].as_chunks_mut::<8>().0;
        places.iter_mut().zip(bounds).for_each(|(to, bound)| *to = bound.to_le_bytes());
        self.out.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        self.out.write_all(&self.header.bytes)?;
        self.out.flush()
    }
}

/// header.fbs: name, envelope, geometry_type, has_z, has_m, has_t, has_tm, columns, features_count, index_node_size, crs.
fn header(name: &str, fields: &[(&str, FieldKind)], crs: Option<&Crs>) -> Header {
    let system = crs.and_then(|crs| Some((crs.epsg?, crs.name.clone())));
    let mut buffer = Buffer::new();
    let none = Inline::None;
    let slots = [
        Inline::Offset,
        Inline::Offset,
        Inline::U8(POLYGON),
        none,
        none,
        none,
        none,
        Inline::Offset,
        Inline::U64(0),
        // No index.
        Inline::U16(0),
        if system.is_some() { Inline::Offset } else { none },
    ];
    let at = buffer.table(ROOT, &slots);
    buffer.string(at[0], name);
    let bounds_at = buffer.vector(at[1], 8, &[0; 32]);
    let columns = buffer.offsets(at[7], fields.len());
    for ((name, kind), column) in fields.iter().zip(columns) {
        // Long, Double and String of header.fbs.
        let kind = match kind {
            FieldKind::Integer => 7,
            FieldKind::Real => 10,
            FieldKind::Text => 11,
        };
        let own = buffer.table(column, &[Inline::Offset, Inline::U8(kind)]);
        buffer.string(own[0], name);
    }
    if let Some((code, name)) = system {
        let own = buffer.table(at[10], &[Inline::Offset, Inline::I32(i32::from(code)), Inline::Offset]);
        buffer.string(own[0], "EPSG");
        buffer.string(own[2], &name);
    }
    Header { bytes: buffer.finish(), count_at: at[8], bounds_at }
}

/// feature.fbs: geometry (ends, xy) and properties.
fn feature(rings: &[Ring], values: &[Value]) -> Vec<u8> {
    let mut buffer = Buffer::new();
    let at = buffer.table(ROOT, &[Inline::Offset, Inline::Offset]);
    // Where each ring ends, in points; of one ring that goes without saying.
    let several = rings.len() > 1;
    let own = buffer.table(at[0], &[if several { Inline::Offset } else { Inline::None }, Inline::Offset]);
    if several {
        let ends = rings.iter().scan(0u32, |end, ring| {
            *end += ring.len() as u32;
            Some(*end)
        });
        let ends: Vec<u8> = ends.flat_map(u32::to_le_bytes).collect();
        buffer.vector(own[0], 4, &ends);
    }
    let points: Vec<u8> = rings.iter().flatten().flatten().flat_map(|x| x.to_le_bytes()).collect();
    buffer.vector(own[1], 8, &points);
    let mut properties: Vec<u8> = Vec::new();
    for (column, value) in values.iter().enumerate() {
        if matches!(value, Value::Null | Value::Blob(_)) {
            continue;
        }
        properties.extend((column as u16).to_le_bytes());
        match value {
            Value::Integer(number) => properties.extend(number.to_le_bytes()),
            Value::Real(number) => properties.extend(number.to_le_bytes()),
            Value::Text(text) => {
                properties.extend((text.len() as u32).to_le_bytes());
                properties.extend(text.bytes());
            }
            Value::Null | Value::Blob(_) => {}
        }
    }
    buffer.vector(at[1], 1, &properties);
    buffer.finish()
}

#[cfg(test)]
mod tests;
