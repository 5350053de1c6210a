//! NumPy's `.npy` files (format 1.0, little endian `f32`).

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
}
