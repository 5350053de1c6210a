//! Named tensors, in memory or still in their file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hectare_kernels::{Isa, elementwise};
use safetensors::tensor::Dtype;

use super::WeightError;

/// Bytes read at once: a multiple of every number's size, and little enough to stay in the cache.
const CHUNK: usize = 1 << 18;

/// One named tensor, as f32 whatever the file holds.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The key in a state_dict.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    content: Content,
    /// The file it came from, for messages.
    path: PathBuf,
}

/// Row-major numbers.
#[derive(Clone, Debug)]
enum Content {
    Values(Vec<f32>),
    Stored(Stored),
}

/// Numbers in a file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its handle, shared by all its tensors.
    pub file: Arc<Mutex<File>>,
    /// The place of the first byte.
    pub start: u64,
    /// How they are written, little end first.
    pub kind: Kind,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
    F64,
    I64,
}

impl Tensor {
    /// A tensor of these row-major numbers.
    ///
    /// # Panics
    /// When their number is not the shape's.
    pub fn new(path: &Path, name: String, shape: Vec<usize>, values: Vec<f32>) -> Tensor {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}: {shape:?}");
        Tensor { name, shape, content: Content::Values(values), path: path.to_owned() }
    }

    pub(super) fn stored(path: &Path, name: String, shape: Vec<usize>, stored: Stored) -> Tensor {
        Tensor { name, shape, content: Content::Stored(stored), path: path.to_owned() }
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its row-major numbers.
    ///
    /// # Errors
    /// When the file cannot be read, or there is a NaN or an infinity among them.
    pub fn values(&self) -> Result<Cow<'_, [f32]>, WeightError> {
        match &self.content {
            Content::Values(values) => self.check_finite(values).map(|()| Cow::Borrowed(&values[..])),
            Content::Stored(_) => {
                let mut values = vec![0.0; self.len()];
                self.read_into(&mut values).map(|()| Cow::Owned(values))
            }
        }
    }

    /// Writes its row-major numbers into `values`.
    ///
    /// # Errors
    /// As [`Tensor::values`]; `values` then hold anything.
    ///
    /// # Panics
    /// When `values` are not as many.
    pub fn read_into(&self, values: &mut [f32]) -> Result<(), WeightError> {
        assert_eq!(values.len(), self.len(), "{}", self.name);
        match &self.content {
            Content::Values(own) => values.copy_from_slice(own),
            Content::Stored(stored) => {
                stored.read(values).map_err(|error| WeightError::io(&self.path, error))?;
            }
        }
        self.check_finite(values)
    }

    /// Whether its numbers are these, bit for bit (of f32).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn holds(&self, values: &[f32]) -> Result<bool, WeightError> {
        if values.len() != self.len() {
            return Ok(false);
        }
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        match &self.content {
            Content::Values(own) => Ok(same(own, values)),
            Content::Stored(stored) => {
                let mut all = true;
                let mut place = 0;
                let look = |part: &[f32]| {
                    all &= same(part, &values[place..place + part.len()]);
                    place += part.len();
                };
                stored.for_each(values.len(), look).map_err(|error| WeightError::io(&self.path, error))?;
                Ok(all)
            }
        }
    }

    fn check_finite(&self, values: &[f32]) -> Result<(), WeightError> {
        if elementwise::all_finite(Isa::best(), values) {
            return Ok(());
        }
        let index = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
        let (path, tensor) = (self.path.clone(), self.name.clone());
        Err(WeightError::NotFinite { path, tensor, value: values[index], index })
    }
}

impl Stored {
    fn read(&self, values: &mut [f32]) -> std::io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start))?;
        let size = self.kind.size();
        let mut bytes = vec![0; CHUNK.min(values.len() * size)];
        for part in values.chunks_mut(CHUNK / size) {
            let bytes = &mut bytes[..part.len() * size];
            file.read_exact(bytes)?;
            self.kind.convert(bytes, part);
        }
        Ok(())
    }

    /// Hands on all `len` numbers, a chunk at a time.
    fn for_each(&self, len: usize, mut look: impl FnMut(&[f32])) -> std::io::Result<()> {
        let size = self.kind.size() as u64;
        let mut numbers = vec![0.0; len.min(CHUNK)];
        for start in (0..len).step_by(CHUNK) {
            let part = &mut numbers[..CHUNK.min(len - start)];
            let stored = Stored { start: self.start + size * start as u64, ..self.clone() };
            stored.read(part)?;
            look(part);
        }
        Ok(())
    }
}

impl Kind {
    pub fn of(dtype: Dtype) -> Option<Kind> {
        Some(match dtype {
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
            Dtype::I64 => Kind::I64,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Kind::F16 | Kind::Bf16 => 2,
            Kind::F32 => 4,
            Kind::F64 | Kind::I64 => 8,
        }
    }

    /// The numbers of `bytes`, as many as `values`.
    pub fn convert(self, bytes: &[u8], values: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], values: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
            for (value, chunk) in values.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *value = convert(*chunk);
            }
        }
        match self {
            Kind::F16 => each(bytes, values, |x| half_to_f32(u16::from_le_bytes(x))),
            Kind::Bf16 => each(bytes, values, |x| f32::from_bits(u32::from(u16::from_le_bytes(x)) << 16)),
            Kind::F32 => each(bytes, values, f32::from_le_bytes),
            Kind::F64 => each(bytes, values, |x| f64::from_le_bytes(x) as f32),
            Kind::I64 => each(bytes, values, |x| i64::from_le_bytes(x) as f32),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(half_to_f32(bits), value);
        }
    }

    #[test]
    fn tensors_longer_than_a_chunk_come_whole() {
        let mut file = tempfile::tempfile().unwrap();
        for (kind, size) in [(Kind::F32, 4), (Kind::F64, 8), (Kind::I64, 8), (Kind::Bf16, 2)] {
            let number = |index: usize| (index % 251) as f32;
            let count = 2 * CHUNK / size + 3;
            let mut bytes = vec![0xff; 5];
            for index in 0..count {
                match kind {
                    Kind::F32 => bytes.extend(number(index).to_le_bytes()),
                    Kind::F64 => bytes.extend(f64::from(number(index)).to_le_bytes()),
                    Kind::I64 => bytes.extend((number(index) as i64).to_le_bytes()),
                    _ => bytes.extend(&number(index).to_le_bytes()[2..]),
                }
            }
            file.set_len(0).unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            let handle = Arc::new(Mutex::new(file.try_clone().unwrap()));
            let stored = Stored { file: handle, start: 5, kind };
            let tensor = Tensor::stored(Path::new("x"), "x".into(), vec![count], stored);
            let values = tensor.values().unwrap();
            assert!((0..count).all(|index| values[index] == number(index)), "{kind:?}");
            assert!(tensor.holds(&values).unwrap() && !tensor.holds(&values[1..]).unwrap());
            let mut other = values.into_owned();
            *other.last_mut().unwrap() += 1.0;
            assert!(!tensor.holds(&other).unwrap(), "{kind:?}");
        }
    }
}
