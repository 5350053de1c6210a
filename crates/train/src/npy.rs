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
}
