//! NumPy's `.npy` files: written as little-endian `f32`, read from any kind of real number.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::TrainError;
use crate::files;

/// Writes `data` (row-major) with the given shape, whole or not at all.
///
/// # Errors
/// The operating system's, naming the file.
///
/// # Panics
/// When the shape does not hold as many numbers as `data`.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), TrainError> {
    assert_eq!(shape.iter().product::<usize>(), data.len(), "the shape holds the data");
    files::write_with(path, |writer| {
        writer.write_all(&header(shape))?;
        for part in data.chunks(1 << 14) {
            let bytes: Vec<u8> = part.iter().flat_map(|number| number.to_le_bytes()).collect();
            writer.write_all(&bytes)?;
        }
        writer.flush()
    })
}

/// Reads little-endian `f32` numbers in row-major order, and their shape.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds numbers of another kind.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f32>), TrainError> {
    let bytes = std::fs::read(path).map_err(|cause| TrainError::io("cannot read", path, cause))?;
    let wrong = |problem: &str| TrainError::Input(format!("{}: {problem}", path.display()));
    let (shape, data) = parse(&bytes).map_err(wrong)?;
    Ok((shape, data.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()))
}

/// Reads real numbers of any kind (floats of 16, 32 or 64 bits, whole numbers, booleans; either byte order, row- or
/// column-major) as `f32` in row-major order, and their shape. Needs no more memory than the result, or twice that for
/// a column-major matrix.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds something else.
pub fn read_numbers(path: &Path) -> Result<(Vec<usize>, Vec<f32>), TrainError> {
    read_numbers_if(path, &|_| Ok(()))
}

/// As [`read_numbers`], after `accept` has seen the shape: what it refuses is not read.
///
/// # Errors
/// Also those of `accept`.
pub fn read_numbers_if(
    path: &Path,
    accept: &dyn Fn(&[usize]) -> Result<(), TrainError>,
) -> Result<(Vec<usize>, Vec<f32>), TrainError> {
    let failed = |cause| TrainError::io("cannot read", path, cause);
    let wrong = |problem: &str| TrainError::Input(format!("{}: {problem}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let total = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut start = Vec::new();
    reader.by_ref().take(10).read_to_end(&mut start).map_err(failed)?;
    let length = match start.strip_prefix(b"\x93NUMPY").ok_or_else(|| wrong("is no .npy file"))? {
        [1, _, a, b] => usize::from(u16::from_le_bytes([*a, *b])),
        [2 | 3, _, a, b] => {
            let mut rest = [0; 2];
            reader.read_exact(&mut rest).map_err(failed)?;
            u32::from_le_bytes([*a, *b, rest[0], rest[1]]) as usize
        }
        _ => return Err(wrong("ends within its header")),
    };
    let mut header = Vec::new();
    reader.by_ref().take(length as u64).read_to_end(&mut header).map_err(failed)?;
    let text = std::str::from_utf8(&header).ok().filter(|text| text.len() == length);
    let header =
        Header::parse(text.ok_or_else(|| wrong("ends within its header"))?).map_err(|e| wrong(&e))?;
    let count = header.shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    let bytes = count.and_then(|count| count.checked_mul(header.kind.bytes()));
    let before = start.len() + length + if start[6] == 1 { 0 } else { 2 };
    let Some(count) = count.filter(|_| bytes.map(|bytes| (bytes + before) as u64) == Some(total)) else {
        return Err(wrong("holds another count of numbers than its shape says"));
    };
    accept(&header.shape)?;
    let mut numbers = Vec::with_capacity(count);
    let mut part = vec![0; header.kind.bytes() << 16];
    while numbers.len() < count {
        let part = &mut part[..header.kind.bytes() * (count - numbers.len()).min(1 << 16)];
        reader.read_exact(part).map_err(failed)?;
        match header.kind {
            // The usual kind, at the speed of memory.
            Kind { letter: b'f', bytes: 4, big_endian: false } => {
                numbers.extend(part.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            kind => numbers.extend(part.chunks_exact(kind.bytes()).map(|bytes| kind.number(bytes))),
        }
    }
    if header.column_major && header.shape.len() > 1 {
        numbers = row_major(&numbers, &header.shape);
    }
    Ok((header.shape, numbers))
}

/// The kind of a number: its letter, its bytes, and whether the highest comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind {
    letter: u8,
    bytes: u8,
    big_endian: bool,
}

impl Kind {
    fn parse(descr: &str) -> Option<Kind> {
        let &[order, letter, bytes] = descr.as_bytes() else { return None };
        let bytes = bytes.checked_sub(b'0')?;
        let known = matches!((letter, bytes), (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1));
        (known && b"<>|=".contains(&order)).then_some(Kind { letter, bytes, big_endian: order == b'>' })
    }

    fn bytes(self) -> usize {
        usize::from(self.bytes)
    }

    fn number(self, bytes: &[u8]) -> f32 {
        let mut low = [0; 8];
        for (i, byte) in bytes.iter().enumerate() {
            low[if self.big_endian { bytes.len() - 1 - i } else { i }] = *byte;
        }
        let bits = u64::from_le_bytes(low);
        match (self.letter, self.bytes) {
            (b'f', 2) => half(bits as u16),
            (b'f', 4) => f32::from_bits(bits as u32),
            (b'f', _) => f64::from_bits(bits) as f32,
            (b'i', _) => {
                let unused = 64 - 8 * u32::from(self.bytes);
                ((bits << unused) as i64 >> unused) as f32
            }
            _ => bits as f32,
        }
    }
}

/// A number of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    }
}

/// What the dictionary in front of the numbers says.
struct Header {
    kind: Kind,
    column_major: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Result<Header, String> {
        let value = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
        let descr = value("'descr'").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
        let descr = descr.ok_or("holds no plain numbers")?;
        let kind =
            Kind::parse(descr).ok_or_else(|| format!("holds numbers of kind '{descr}', not real ones"))?;
        let column_major = value("'fortran_order'").is_some_and(|rest| rest.starts_with("True"));
        let sides = value("'shape'").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
        let sides = sides.ok_or("has no shape")?.0.split(',').map(str::trim).filter(|side| !side.is_empty());
        let shape = sides.map(str::parse).collect::<Result<_, _>>().map_err(|_| "has no shape")?;
        Ok(Header { kind, column_major, shape })
    }
}

/// Numbers whose first index runs fastest, with the last running fastest.
fn row_major(numbers: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut result = Vec::with_capacity(numbers.len());
    let mut at = vec![0; shape.len()];
    for _ in 0..numbers.len() {
        let (place, _) =
            at.iter().zip(shape).fold((0, 1), |(place, step), (i, side)| (place + i * step, step * side));
        result.push(numbers[place]);
        for (i, side) in at.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *side {
                break;
            }
            *i = 0;
        }
    }
    result
}

/// The shape and the bytes of the numbers.
fn parse(bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), &'static str> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("is no .npy file")?;
    let short = "ends within its header";
    // Version 1 counts the header in two bytes, later ones in four.
    let (len, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(short),
    };
    let (header, data) = rest.split_at_checked(len).ok_or(short)?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is no text")?;
    let value = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    if !value("'descr'").is_some_and(|rest| rest.starts_with("'<f4'")) {
        return Err("holds no little-endian f32 numbers ('<f4')");
    }
    if !value("'fortran_order'").is_some_and(|rest| rest.starts_with("False")) {
        return Err("is not in row-major order");
    }
    let sides =
        value("'shape'").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or("has no shape")?.0;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(str::parse).collect::<Result<Vec<usize>, _>>().map_err(|_| "has no shape")?;
    let bytes_wanted = shape.iter().try_fold(4_usize, |all, side| all.checked_mul(*side));
    if bytes_wanted != Some(data.len()) {
        return Err("holds another count of numbers than its shape says");
    }
    Ok((shape, data))
}

/// Magic, version, length and the dictionary, padded to a multiple of 64 bytes.
fn header(shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    // A tuple of one keeps its comma; of more, NumPy writes none at the end.
    let sides = if shape.len() == 1 { sides.trim_end() } else { sides.trim_end_matches(", ") };
    let mut dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    let start = 10;
    dictionary +=
        &" ".repeat((start + dictionary.len() + 1).next_multiple_of(64) - start - dictionary.len() - 1);
    dictionary.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_numpys() {
        for (shape, text) in [(&[3usize][..], "(3,)"), (&[7, 5, 4], "(7, 5, 4)"), (&[], "()")] {
            let bytes = header(shape);
            assert_eq!(bytes.len() % 64, 0);
            let expected = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }} ");
            assert_eq!(&bytes[10..10 + expected.len()], expected.as_bytes());
            assert_eq!(bytes.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn numbers_follow_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write(&path, &[1, 2], &[1.0, -2.5]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[bytes.len() - 8..], [1.0f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat());
    }
    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for shape in [&[2, 3][..], &[6], &[1, 2, 3, 1], &[0, 4]] {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 - 2.5).collect();
            write(&path, shape, &data).unwrap();
            assert_eq!(read(&path).unwrap(), (shape.to_vec(), data));
        }
    }

    #[test]
    fn files_of_another_kind_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write(&path, &[2, 3], &[1.0; 6]).unwrap();
        let good = std::fs::read(&path).unwrap();
        let with = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&good[10..128]).replace(from, to);
            [&good[..10], text.as_bytes(), &good[128..]].concat()
        };
        for (bytes, word) in [
            (b"PNG".to_vec(), "no .npy file"),
            (good[..40].to_vec(), "header"),
            (good[..good.len() - 4].to_vec(), "count"),
            (with("<f4", "<f8"), "'<f4'"),
            (with("False", "True "), "row-major"),
            (with("(2, 3)", "(2, x)"), "shape"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("a.npy"), "{message}");
        }
        assert!(read(&folder.path().join("b.npy")).unwrap_err().to_string().contains("b.npy"));
    }

    /// A file as NumPy writes it, of the given kind and order.
    fn file(descr: &str, column_major: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut text = format!("{{'descr': '{descr}', 'fortran_order': {column_major}, 'shape': {shape}, }}");
        text += &" ".repeat(117 - text.len());
        text.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.into_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_of_all_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let cases: [(&str, Vec<u8>, [f32; 2]); 9] = [
            ("<f4", [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect(), [1.5, -2.0]),
            (">f4", [1.5_f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect(), [1.5, -2.0]),
            ("<f8", [0.1_f64, -3e9].iter().flat_map(|x| x.to_le_bytes()).collect(), [0.1, -3e9]),
            ("<f2", [0x3c00_u16, 0xc500].iter().flat_map(|x| x.to_le_bytes()).collect(), [1.0, -5.0]),
            ("<i8", [7_i64, -9].iter().flat_map(|x| x.to_le_bytes()).collect(), [7.0, -9.0]),
            (">i2", [300_i16, -2].iter().flat_map(|x| x.to_be_bytes()).collect(), [300.0, -2.0]),
            ("|i1", vec![5, 255], [5.0, -1.0]),
            ("|u1", vec![5, 255], [5.0, 255.0]),
            ("|b1", vec![1, 0], [1.0, 0.0]),
        ];
        for (descr, data, want) in cases {
            std::fs::write(&path, file(descr, "False", "(2,)", &data)).unwrap();
            assert_eq!(read_numbers(&path).unwrap(), (vec![2], want.to_vec()), "{descr}");
        }
        assert_eq!((half(0x0001), half(0x7bff), half(0x7c00)), (2.0_f32.powi(-24), 65504.0, f32::INFINITY));
        assert!(half(0x7e00).is_nan());
        // 2 x 3, column after column.
        std::fs::write(&path, file("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(read_numbers(&path).unwrap(), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    }

    #[test]
    fn what_is_not_wanted_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        for (bytes, word) in [
            (b"PNG".to_vec(), "no .npy file"),
            (file("<f4", "False", "(2,)", &[0; 8])[..40].to_vec(), "header"),
            (file("<f4", "False", "(3,)", &[0; 8]), "count"),
            (file("<c8", "False", "(1,)", &[0; 8]), "'<c8'"),
            (file("|O", "False", "(1,)", &[0; 8]), "'|O'"),
            (file("<f4", "False", "(x,)", &[0; 8]), "shape"),
            (file("<f4", "False", "(4000000000, 4000000000, 4)", &[0; 8]), "count"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = read_numbers(&path).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("a.npy"), "{message}");
        }
        std::fs::write(&path, file("<f4", "False", "(2,)", &[0; 8])).unwrap();
        let refuse = |shape: &[usize]| Err(TrainError::Input(format!("no {shape:?}")));
        assert!(read_numbers_if(&path, &refuse).unwrap_err().to_string().contains("no [2]"));
    }
}
