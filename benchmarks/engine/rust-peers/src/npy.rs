//! NumPy's files of four-dimensional little-endian `f32` arrays.

use std::path::Path;

use crate::Failure;

/// N x C x H x W numbers.
pub struct Array {
    pub shape: [usize; 4],
    pub data: Vec<f32>,
}

/// Reads what NumPy wrote (format 1.0).
pub fn read(path: &Path) -> Result<Array, Failure> {
    let bytes = std::fs::read(path)?;
    let short = || format!("{} is no .npy file", path.display());
    let len =
        bytes.get(8..10).map(|len| usize::from(u16::from_le_bytes([len[0], len[1]]))).ok_or_else(short)?;
    let header = std::str::from_utf8(bytes.get(10..10 + len).ok_or_else(short)?)?;
    let sides =
        header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).ok_or_else(short)?.0;
    let sides = sides.split(',').map(|side| side.trim().parse()).collect::<Result<Vec<usize>, _>>()?;
    let shape: [usize; 4] = sides.try_into().map_err(|_| "the array has not four dimensions")?;
    let data: Vec<f32> =
        bytes[10 + len..].as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    if !header.contains("'<f4'") || shape.iter().product::<usize>() != data.len() {
        return Err(short().into());
    }
    Ok(Array { shape, data })
}

/// Writes format 1.0.
pub fn write(path: &Path, array: &Array) -> Result<(), Failure> {
    let [n, c, h, w] = array.shape;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}");
    let len = (header.len() + 11).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", len - 1).into_bytes());
    bytes.extend(array.data.iter().flat_map(|number| number.to_le_bytes()));
    Ok(std::fs::write(path, bytes)?)
}
