//! Files read back by the format's rules, with code that shares nothing with the writer.

use super::*;

/// A table in a buffer: its place.
#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8], usize);

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    assert_eq!(at % 4, 0);
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn f64_at(bytes: &[u8], at: usize) -> f64 {
    assert_eq!(at % 8, 0, "numbers lie at multiples of their size");
    f64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl<'a> Table<'a> {
    fn slot(self, slot: usize) -> Option<usize> {
        let Table(bytes, at) = self;
        let list = at - u32_at(bytes, at);
        let held = 4 + 2 * slot < u16_at(bytes, list);
        let offset = if held { u16_at(bytes, list + 4 + 2 * slot) } else { 0 };
        (offset > 0).then_some(at + offset)
    }

    fn follow(self, slot: usize) -> Option<usize> {
        let at = self.slot(slot)?;
        Some(at + u32_at(self.0, at))
    }

    fn table(self, slot: usize) -> Option<Table<'a>> {
        Some(Table(self.0, self.follow(slot)?))
    }

    fn text(self, slot: usize) -> &'a str {
        let at = self.follow(slot).unwrap();
        let length = u32_at(self.0, at);
        assert_eq!(self.0[at + 4 + length], 0);
        std::str::from_utf8(&self.0[at + 4..][..length]).unwrap()
    }
}

fn root(bytes: &[u8]) -> Table<'_> {
    assert_eq!(u32_at(bytes, 0), bytes.len() - 4);
    Table(bytes, 4 + u32_at(bytes, 4))
}

fn square(x: f64, y: f64, side: f64) -> Ring {
    vec![[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fgb");
    let fields = [("class", FieldKind::Integer), ("name", FieldKind::Text), ("area_ha", FieldKind::Real)];
    let polygons = [
        (vec![square(0.5, 1.0, 9.0), square(2.0, 3.0, 1.0)], Value::Text("größer".into()), Value::Real(8.25)),
        (vec![square(-4.0, 20.0, 2.0)], Value::Text(String::new()), Value::Null),
    ];
    for (crs, count) in [(Some(Crs::of_epsg(32632)), 2), (None, 1), (None, 0)] {
        let mut layer =
            FlatGeobuf::new(File::create(&path).unwrap(), "cover", &fields, crs.as_ref()).unwrap();
        for (class, (rings, name, area)) in polygons.iter().take(count).enumerate() {
            layer.add(rings, &[Value::Integer(class as i64), name.clone(), area.clone()]).unwrap();
        }
        layer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[..4], b"fgb\x03");
        let mut rest = &bytes[8..];
        let mut next = || {
            let (one, after) = rest.split_at(4 + u32_at(rest, 0));
            rest = after;
            one
        };
        let header = root(next());
        assert_eq!(header.text(0), "cover");
        let bounds = header.follow(1).unwrap();
        assert_eq!(u32_at(header.0, bounds), 4);
        let bounds: Vec<f64> = (0..4).map(|i| f64_at(header.0, bounds + 4 + 8 * i)).collect();
        assert_eq!(bounds, [[0.0; 4], [0.5, 1.0, 9.5, 10.0], [-4.0, 1.0, 9.5, 22.0]][count]);
        assert_eq!(header.0[header.slot(2).unwrap()], POLYGON);
        let at = header.slot(8).unwrap();
        assert_eq!((at % 8, u32_at(header.0, at)), (0, count));
        assert_eq!(u16_at(header.0, header.slot(9).unwrap()), 0, "no index");
        let columns = header.follow(7).unwrap();
        assert_eq!(u32_at(header.0, columns), 3);
        for (i, (name, kind)) in [("class", 7), ("name", 11), ("area_ha", 10)].into_iter().enumerate() {
            let at = columns + 4 + 4 * i;
            let column = Table(header.0, at + u32_at(header.0, at));
            assert_eq!((column.text(0), column.0[column.slot(1).unwrap()]), (name, kind));
        }
        assert_eq!(header.table(10).map(|crs| u32_at(crs.0, crs.slot(1).unwrap())), crs.map(|_| 32632));
        for (rings, name, area) in polygons.iter().take(count) {
            let feature = root(next());
            let geometry = feature.table(0).unwrap();
            let xy = geometry.follow(1).unwrap();
            let numbers: Vec<f64> =
                (0..u32_at(geometry.0, xy)).map(|i| f64_at(geometry.0, xy + 4 + 8 * i)).collect();
            assert_eq!(numbers, rings.concat().concat());
            let ends = geometry
                .follow(0)
                .map(|at| (1..=u32_at(geometry.0, at)).map(move |i| u32_at(geometry.0, at + 4 * i)));
            assert_eq!(ends.map(Iterator::collect::<Vec<_>>), (rings.len() > 1).then(|| vec![5, 10]));
            let at = feature.follow(1).unwrap();
            let properties = &feature.0[at + 4..][..u32_at(feature.0, at)];
            let Value::Text(name) = name else { panic!() };
            let mut expected =
                [&[0u8, 0][..], &properties[2..10], &[1, 0], &(name.len() as u32).to_le_bytes()].concat();
            expected.extend(name.bytes());
            if let Value::Real(area) = area {
                expected.extend([2, 0]);
                expected.extend(area.to_le_bytes());
            }
            assert_eq!(properties, expected);
        }
        assert!(rest.is_empty());
    }
}
