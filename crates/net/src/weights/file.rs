//! Reading and writing the container.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use safetensors::tensor::{Dtype, Metadata, View};
use serde_json::Value;

use super::tensor::{Kind, Stored};
use super::{InputOrder, METADATA_KEY, Tensor, WeightError, mapping, torch};
use crate::{BufferKind, ModelCard, Params, temporary_in};

/// Bytes that a header may have; the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;

/// A weight file's contents.
#[derive(Debug)]
pub struct WeightFile {
    /// All tensors, by name.
    pub tensors: Vec<Tensor>,
    /// The JSON value under the metadata key `hectare`; `None` in files of others.
    pub metadata: Option<Value>,
    /// The file it came from, for messages.
    pub path: PathBuf,
    /// What its first convolution takes; to be set where the reader knows better than the file.
    pub order: InputOrder,
    pub(super) is_pytorch_fcn: bool,
}

impl WeightFile {
    /// The tensors of a file, sorted and under hectare's names where it does not describe itself.
    pub(super) fn new(path: &Path, mut tensors: Vec<Tensor>, metadata: Option<Value>) -> WeightFile {
        let is_pytorch_fcn = metadata.is_none() && mapping::to_own_names(&mut tensors);
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let order = if is_pytorch_fcn { InputOrder::Bgr255 } else { InputOrder::Rgb };
        WeightFile { tensors, metadata, path: path.to_owned(), order, is_pytorch_fcn }
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

/// Opens a safetensors file, or a state_dict in a file of `torch.save`, of f32, f16, bf16 or f64 numbers (and i64
/// counters). Names that others give the same tensors become those of hectare's networks.
///
/// The numbers stay in the file until [`load_into`](super::load_into) or [`Tensor::values`] asks for them.
///
/// # Errors
/// When it cannot be read, or is not whole.
pub fn read(path: impl AsRef<Path>) -> Result<WeightFile, WeightError> {
    let path = path.as_ref();
    let io = |error| WeightError::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if torch::is_torch(&mut file, size).map_err(io)? {
        return torch::read(path, file);
    }
    let (header, start) = header(path, &mut file, size)?;
    let file = Arc::new(Mutex::new(file));
    let tensor = |name: String| {
        let info = header.info(&name).expect("the header's own name");
        let kind = Kind::of(info.dtype)
            .ok_or_else(|| WeightError::format(path, format!("tensor {name} is of type {:?}", info.dtype)))?;
        let stored = Stored { file: Arc::clone(&file), start: start + info.data_offsets.0 as u64, kind };
        Ok(Tensor::stored(path, name, info.shape.clone(), stored))
    };
    let tensors = header.offset_keys().into_iter().map(tensor).collect::<Result<_, WeightError>>()?;
    Ok(WeightFile::new(path, tensors, card_value(path, &header)?))
}

/// The header, and where the numbers begin.
fn header(path: &Path, file: &mut File, size: u64) -> Result<(Metadata, u64), WeightError> {
    let io = |error| WeightError::io(path, error);
    let fault = |problem: &str| WeightError::format(path, problem);
    if size < 8 {
        return Err(fault("it is shorter than a header"));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER.min(size - 8) {
        return Err(fault("its header is longer than it may be"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(io)?;
    let header: Metadata = serde_json::from_slice(&text).map_err(|error| WeightError::format(path, error))?;
    match (size - 8 - length).cmp(&(header.data_len() as u64)) {
        Ordering::Less => Err(fault("its end is missing")),
        Ordering::Greater => Err(fault("bytes follow its last tensor")),
        Ordering::Equal => Ok((header, 8 + length)),
    }
}

fn card_value(path: &Path, header: &Metadata) -> Result<Option<Value>, WeightError> {
    let text = header.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
    let Some(text) = text else { return Ok(None) };
    let value = serde_json::from_str(text)
        .map_err(|error| WeightError::Card { path: path.to_owned(), problem: error.to_string() })?;
    Ok(Some(value))
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
    let temporary = temporary_in(folder, ".weights-").map_err(|error| WeightError::io(path, error))?;
    safetensors::serialize_to_file(trained.chain(statistics), Some(metadata), temporary.path()).map_err(
        |error| match error {
            safetensors::SafeTensorError::IoError(error) => WeightError::io(path, error),
            other => WeightError::format(path, other),
        },
    )?;
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
