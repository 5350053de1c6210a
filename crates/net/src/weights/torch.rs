//! Reading a state_dict that `torch.save` wrote, in the zip archive of today or the row of pickles before it.

mod pickle;
mod zip;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pickle::{Id, Pickle, Value, View};

use super::tensor::{Kind, Stored};
use super::{Tensor, WeightError, WeightFile};

/// The keys under which training scripts keep the state_dict.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "weights"];
/// The number that a row of pickles begins with.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether a file of `size` bytes is a zip archive or a pickle; it is at its beginning afterwards. A safetensors file
/// begins with its header's length.
pub(super) fn is_torch(file: &mut File, size: u64) -> std::io::Result<bool> {
    let mut first = Vec::with_capacity(8);
    file.take(8).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    if first.starts_with(b"PK\x03\x04") {
        return Ok(true);
    }
    let header = first.first_chunk::<8>().map_or(u64::MAX, |first| u64::from_le_bytes(*first));
    Ok(first.first() == Some(&0x80) && matches!(first.get(1), Some(2..=5)) && header > size)
}

/// The file's tensors, under the names of hectare's networks. Those that lie in one piece stay in the file.
///
/// # Errors
/// When it is damaged or holds anything but a state_dict.
pub(super) fn read(path: &Path, mut file: File) -> Result<WeightFile, WeightError> {
    let wrong = |problem: String| WeightError::Torch { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| WeightError::io(path, error))?;
    let file = Arc::new(Mutex::new(file));
    let (pickle, storages) =
        if bytes.starts_with(b"PK") { zipped(&bytes) } else { row(&bytes) }.map_err(wrong)?;
    let mut tensors = Vec::new();
    // Views of one storage may overlap, but not without end.
    let mut left = bytes.len();
    for (name, view) in state_dict(&pickle).map_err(wrong)? {
        let place = storages.get(&view.storage.key);
        let place = place.ok_or_else(|| wrong(format!("the numbers of {name} are not in the file")))?;
        let place = place.clone();
        let extent = extent(view, place.len(), &mut left)
            .map_err(|problem| wrong(format!("tensor {name}: {problem}")))?;
        let (name, shape, kind) = (name.to_owned(), view.shape.clone(), view.storage.kind);
        tensors.push(if extent.dense {
            let start = (place.start + view.offset * kind.size()) as u64;
            Tensor::stored(path, name, shape, Stored { file: Arc::clone(&file), start, kind })
        } else {
            Tensor::new(path, name, shape, gather(view, &bytes[place], &extent))
        });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(wrong(format!("tensor {} is there twice", pair[0].name)));
    }
    Ok(WeightFile::new(path, tensors, None))
}

type Contents = (Pickle, HashMap<String, Range<usize>>);

fn zipped(bytes: &[u8]) -> Result<Contents, String> {
    let entries = zip::entries(bytes)?;
    if let Some(order) = entries.get("byteorder")
        && &bytes[order.clone()] != b"little"
    {
        return Err("it was written on a big-endian machine".to_owned());
    }
    let place = entries.get("data.pkl").ok_or("the archive holds no data.pkl")?;
    let pickle = pickle::read(&bytes[place.clone()])?;
    let storages = entries
        .into_iter()
        .filter_map(|(name, place)| Some((name.strip_prefix("data/")?.to_owned(), place)))
        .collect();
    Ok((pickle, storages))
}

/// Magic number, version, facts of the machine, the object, the storages' keys; then each storage's length and numbers.
fn row(bytes: &[u8]) -> Result<Contents, String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, String> {
        let pickle = pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok(pickle)
    };
    if !matches!(next()?.root(), Value::Long(bytes) if *bytes == MAGIC) {
        return Err("it is a pickle, and not one of torch.save".to_owned());
    }
    if *next()?.root() != Value::Int(1001) {
        return Err("it is of an unknown version of torch.save".to_owned());
    }
    next()?;
    let object = next()?;
    let keys = next()?;
    let mut kinds: HashMap<&str, (Kind, usize)> = HashMap::new();
    for value in &object.values {
        if let Value::Storage(storage) = value {
            kinds.insert(&storage.key, (storage.kind, storage.len));
        }
    }
    let Value::List(list) = keys.root() else { return Err("the list of storages is missing".to_owned()) };
    let mut storages = HashMap::new();
    for id in list {
        let key = keys.text(*id).ok_or("a storage's key is no text")?;
        let (kind, len) = *kinds.get(key).ok_or("a storage that nothing refers to")?;
        let header = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or("it is cut short")?;
        if u64::from_le_bytes(*header) != len as u64 {
            return Err(format!("storage {key} has another length than its tensor says"));
        }
        let size = len.checked_mul(kind.size()).ok_or("a storage is too large")?;
        let end = (at + 8).checked_add(size).filter(|end| *end <= bytes.len()).ok_or("it is cut short")?;
        storages.insert(key.to_owned(), at + 8..end);
        at = end;
    }
    Ok((object, storages))
}

/// The dictionary of tensors, on its own or under one of the known keys.
fn state_dict(pickle: &Pickle) -> Result<Vec<(&str, &View)>, String> {
    let mut id: Id = pickle.root;
    for _ in 0..4 {
        let Value::Dict(items) = &pickle.values[id] else {
            return Err("it holds no state_dict".to_owned());
        };
        let tensors: Vec<(&str, &View)> = items
            .iter()
            .filter_map(|(key, value)| match &pickle.values[*value] {
                Value::Tensor(view) => Some((pickle.text(*key)?, view)),
                _ => None,
            })
            .collect();
        // Beside a state_dict lie numbers such as the best accuracy, some of them as tensors.
        let is_dict = |id: Id| matches!(pickle.values[id], Value::Dict(_));
        let under = |wrapper: &&str| {
            items.iter().find(|(key, value)| pickle.text(*key) == Some(*wrapper) && is_dict(*value))
        };
        match WRAPPERS.iter().find_map(under) {
            Some((_, inner)) => id = *inner,
            None if tensors.is_empty() => return Err("it holds no tensors".to_owned()),
            None => return Ok(tensors),
        }
    }
    Err("it holds no tensors".to_owned())
}

/// The part of its storage that a view looks at.
struct Extent {
    /// How many numbers the view has.
    count: usize,
    /// One past the place of its last number in the storage.
    end: usize,
    /// Whether the numbers lie in one piece, row-major.
    dense: bool,
}

/// Checks that a view stays within its storage of `bytes` bytes; `left` is what all views together may still have.
fn extent(view: &View, bytes: usize, left: &mut usize) -> Result<Extent, String> {
    let View { storage, offset, shape, stride } = view;
    let count = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let count = count.filter(|count| count <= left).ok_or("it has more numbers than the file can hold")?;
    *left -= count;
    if shape.len() != stride.len() {
        return Err("its shape and its strides differ in length".to_owned());
    }
    if count == 0 {
        return Ok(Extent { count, end: 0, dense: false });
    }
    let last = shape.iter().zip(stride).try_fold(*offset, |sum, (side, stride)| {
        stride.checked_mul(side - 1).and_then(|step| sum.checked_add(step))
    });
    let end = last.and_then(|last| last.checked_add(1));
    let fits = |end: &usize| end.checked_mul(storage.kind.size()).is_some_and(|size| size <= bytes);
    let end = end.filter(fits).ok_or("it reaches beyond its storage")?;
    let dense = shape
        .iter()
        .zip(stride)
        .rev()
        .try_fold(1, |step, (side, stride)| (*side == 1 || *stride == step).then_some(step * side));
    Ok(Extent { count, end, dense: dense.is_some() })
}

/// A strided view's numbers, row-major.
fn gather(view: &View, bytes: &[u8], extent: &Extent) -> Vec<f32> {
    let View { storage, offset, shape, stride } = view;
    let mut all = vec![0.0; extent.end];
    storage.kind.convert(&bytes[..extent.end * storage.kind.size()], &mut all);
    let mut index = vec![0; shape.len()];
    let mut values = Vec::with_capacity(extent.count);
    for _ in 0..extent.count {
        values.push(all[offset + index.iter().zip(stride).map(|(i, stride)| i * stride).sum::<usize>()]);
        for (i, side) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *side {
                break;
            }
            *i = 0;
        }
    }
    values
}
