//! Reading and writing the container.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use hectare_kernels::{Isa, elementwise};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde_json::Value;

use super::{METADATA_KEY, WeightError};
use crate::{BufferKind, ModelCard, Params};

/// One named tensor, as f32 whatever the file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The key in a state_dict.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// Row-major numbers.
    pub data: Vec<f32>,
}

/// A weight file's contents.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightFile {
    /// All tensors, by name.
    pub tensors: Vec<Tensor>,
    /// The JSON value under the metadata key `hectare`; `None` in files of others.
    pub metadata: Option<Value>,
    /// The file it came from, for messages.
    pub path: std::path::PathBuf,
}

impl WeightFile {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

/// Reads a safetensors file of f32, f16, bf16 or f64 numbers (and i64 counters).
///
/// # Errors
/// When it cannot be read, is not whole, or holds a NaN or an infinity.
pub fn read(path: impl AsRef<Path>) -> Result<WeightFile, WeightError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| WeightError::io(path, error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| WeightError::format(path, error))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter() {
        let data = numbers(view.dtype(), view.data()).ok_or_else(|| {
            WeightError::format(path, format!("tensor {name} is of type {:?}", view.dtype()))
        })?;
        if !elementwise::all_finite(Isa::best(), &data) {
            let index = data.iter().position(|x| !x.is_finite()).unwrap_or(0);
            let (path, tensor) = (path.to_owned(), name.to_owned());
            return Err(WeightError::NotFinite { path, tensor, value: data[index], index });
        }
        tensors.push(Tensor { name: name.to_owned(), shape: view.shape().to_vec(), data });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(WeightFile { tensors, metadata: card_value(path, &bytes)?, path: path.to_owned() })
}

fn card_value(path: &Path, bytes: &[u8]) -> Result<Option<Value>, WeightError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| WeightError::format(path, error))?;
    let text = header.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
    let Some(text) = text else { return Ok(None) };
    let value = serde_json::from_str(text)
        .map_err(|error| WeightError::Card { path: path.to_owned(), problem: error.to_string() })?;
    Ok(Some(value))
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |x| f64::from_le_bytes(x) as f32),
        Dtype::BF16 => each(bytes, |x| f32::from_bits(u32::from(u16::from_le_bytes(x)) << 16)),
        Dtype::F16 => each(bytes, |x| half_to_f32(u16::from_le_bytes(x))),
        Dtype::I64 => each(bytes, |x| i64::from_le_bytes(x) as f32),
        _ => return None,
    })
}

/// IEEE 754 half precision.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
    }
}

/// A tensor on its way into a file.
struct Outgoing<'a> {
    shape: &'a [usize],
    values: &'a [f32],
    counter: bool,
}

impl View for Outgoing<'_> {
    fn dtype(&self) -> Dtype {
        if self.counter { Dtype::I64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.counter {
            return self.values.iter().flat_map(|x| (*x as i64).to_le_bytes()).collect();
        }
        self.values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * if self.counter { 8 } else { 4 }
    }
}

/// Writes parameters and card to a safetensors file: whole or not at all, and the same bytes for the same
/// model every time.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: impl AsRef<Path>, card: &ModelCard, params: &Params) -> Result<(), WeightError> {
    let path = path.as_ref();
    let trained = params.layout.entries.iter().map(|entry| {
        let values = &params.values[entry.range.clone()];
        (entry.name.as_str(), Outgoing { shape: &entry.shape, values, counter: false })
    });
    let statistics = params.layout.buffers.iter().map(|entry| {
        let values = &params.buffers[entry.range.clone()];
        let counter = entry.kind == BufferKind::BatchesTracked;
        (entry.name.as_str(), Outgoing { shape: &entry.shape, values, counter })
    });
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), card.to_json())]);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".weights-")
        .tempfile_in(folder)
        .map_err(|error| WeightError::io(path, error))?;
    safetensors::serialize_to_file(trained.chain(statistics), Some(metadata), temporary.path()).map_err(
        |error| match error {
            safetensors::SafeTensorError::IoError(error) => WeightError::io(path, error),
            other => WeightError::format(path, other),
        },
    )?;
    // The temporary file was made for this user only; a weight file gets the usual rights.
    share(temporary.path()).map_err(|error| WeightError::io(path, error))?;
    File::open(temporary.path())
        .and_then(|file| file.sync_all())
        .map_err(|error| WeightError::io(path, error))?;
    temporary.persist(path).map_err(|error| WeightError::io(path, error.error))?;
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        // Makes the new name last; some file systems cannot, which harms nothing.
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(unix)]
fn share(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(half_to_f32(bits), value);
        }
    }
}
