//! Weights and state as one pair that a kill at any moment leaves whole.
//!
//! New weights are first written whole beside the old ones (`weights/next.safetensors`). The state, which
//! holds their hash, then takes the place of the old state: that rename is the moment of change. Last, the
//! new weights take the place of the old. Whichever file the state's hash fits is the one it belongs to.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use hectare_kernels::{AlignedVec, Isa};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::files;
use crate::run_folder::RunFolder;

/// First line of a state file.
const MAGIC: &str = "hectare training state 2";

/// What resuming needs besides weights and optimiser state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateHeader {
    /// Epochs that are done.
    pub epoch: usize,
    /// Steps that are done. Order, augmentation and dropout follow from the seed, this and `epoch`.
    pub step: u64,
    /// The epoch in progress, if one was begun.
    pub partial: Option<PartialEpoch>,
    /// Pictures that are trained on; with another number the order would be another.
    pub samples: usize,
    /// The seed of the run.
    pub seed: u64,
    /// Instruction set; another one gives other bits.
    pub isa: String,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// The best epoch so far by the pictures held out.
    pub best_holdout: Option<Best>,
    /// Seconds of training and validation of the epochs that are done.
    pub elapsed_s: f64,
    /// The weights file that belongs to this state, relative to the run folder.
    pub weights: String,
    /// Its SHA-256 in hexadecimal.
    pub weights_sha256: String,
    /// Numbers in each buffer of state: the optimiser's, then the averaged weights and running statistics.
    pub lens: Vec<usize>,
}

impl StateHeader {
    /// Whether products were of bf16 numbers.
    pub fn is_bf16(&self) -> bool {
        self.isa == Isa::BF16
    }
}

/// What is known of an epoch in progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialEpoch {
    /// Steps of it that are done.
    pub steps: usize,
    /// Sum of the weighted losses.
    pub loss_sum: f64,
    /// Sum of the weights.
    pub loss_weight: f64,
    /// Pictures that were trained on.
    pub images: usize,
    /// Seconds that it took.
    pub seconds: f64,
    /// Seconds of them spent waiting for data.
    pub waited: f64,
}

/// The best epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its number from 1.
    pub epoch: usize,
    /// The task's metric there.
    pub metric: f64,
    /// Whether the averaged weights reached it, and not those in training.
    #[serde(default)]
    pub averaged: bool,
}

impl Best {
    /// Takes over what was found if it is better; the first of equals stays. Says whether it did.
    pub(crate) fn improve(best: &mut Option<Best>, found: Option<Best>) -> bool {
        let better = match (&best, &found) {
            (Some(best), Some(found)) => found.metric > best.metric,
            (None, Some(_)) => true,
            _ => false,
        };
        if better {
            *best = found;
        }
        better
    }
}

/// Puts a new pair in place of the old one. `weights/next.safetensors` must hold the new weights;
/// `header.weights` and `header.weights_sha256` are filled in here.
///
/// # Errors
/// The operating system's, naming the file.
pub fn commit(run: &RunFolder, mut header: StateHeader, slots: &[&[f32]]) -> Result<(), TrainError> {
    header.weights = "weights/last.safetensors".into();
    header.weights_sha256 = sha256(&run.next())?;
    header.lens = slots.iter().map(|slot| slot.len()).collect();
    let written = Cell::new([0; 32]);
    let write = |writer: &mut dyn Write| {
        let mut writer = Hashing { inner: writer, hash: Sha256::new() };
        let json = serde_json::to_string(&header).expect("a header is plain JSON");
        write!(writer, "{MAGIC}\n{json}\n")?;
        for part in slots.iter().flat_map(|slot| slot.chunks(1 << 14)) {
            let bytes: Vec<u8> = part.iter().flat_map(|number| number.to_le_bytes()).collect();
            writer.write_all(&bytes)?;
        }
        written.set(writer.hash.finalize().into());
        writer.inner.write_all(&written.get())
    };
    files::write_checked(&run.state(), write, |file| Ok(digest_of(file)? == Some(written.get())))?;
    promote(run)
}

/// Bytes of the state file of that many numbers, at most.
pub fn state_bytes(numbers: usize) -> u64 {
    4 * numbers as u64 + (1 << 16)
}

/// The digest at a state file's end, if it is the one of all before.
fn digest_of(file: &mut File) -> io::Result<Option<[u8; 32]>> {
    let Some(body) = file.metadata()?.len().checked_sub(32) else { return Ok(None) };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut writer = Hashing { inner: &mut io::sink(), hash: Sha256::new() };
    io::copy(&mut (&mut reader).take(body), &mut writer)?;
    let mut digest = [0; 32];
    reader.read_exact(&mut digest)?;
    Ok((writer.hash.finalize()[..] == digest).then_some(digest))
}

/// The state of a run and its optimiser buffers, or `None` before the first checkpoint. Ends a change that a
/// kill cut short, and removes what a kill left over.
///
/// # Errors
/// A damaged state, or weights that do not belong to it.
pub fn load(run: &RunFolder) -> Result<Option<(StateHeader, Vec<AlignedVec>)>, TrainError> {
    let Some((header, slots)) = read_state(&run.state())? else {
        files::remove(&run.next())?;
        return Ok(None);
    };
    let fits = |path: &Path| -> Result<bool, TrainError> {
        Ok(path.exists() && sha256(path)? == header.weights_sha256)
    };
    if fits(&run.last())? {
        files::remove(&run.next())?;
    } else if fits(&run.next())? {
        promote(run)?;
    } else {
        return Err(TrainError::Run {
            path: run.last(),
            problem: format!("is not the weights file of {} (its hash differs)", run.state().display()),
        });
    }
    Ok(Some((header, slots)))
}

/// Only the header, unchecked; `None` before the first checkpoint. Cheap: for "is it done?".
///
/// # Errors
/// A damaged or unreadable state file.
pub fn peek(run: &RunFolder) -> Result<Option<StateHeader>, TrainError> {
    let Some(file) = open(&run.state())? else { return Ok(None) };
    read_header(&run.state(), &mut BufReader::new(file)).map(|(header, _)| Some(header))
}

/// SHA-256 of a file in hexadecimal.
///
/// # Errors
/// The operating system's, naming the file.
pub fn sha256(path: &Path) -> Result<String, TrainError> {
    let attempt = || -> io::Result<String> {
        let mut writer = Hashing { inner: &mut io::sink(), hash: Sha256::new() };
        io::copy(&mut BufReader::with_capacity(1 << 20, File::open(path)?), &mut writer)?;
        Ok(writer.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    attempt().map_err(|cause| TrainError::io("cannot read", path, cause))
}

fn promote(run: &RunFolder) -> Result<(), TrainError> {
    let last = run.last();
    fs::rename(run.next(), &last).map_err(|cause| TrainError::io("cannot write", &last, cause))?;
    files::sync_folder(last.parent().expect("weights are in a folder"));
    Ok(())
}

fn open(path: &Path) -> Result<Option<File>, TrainError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(TrainError::io("cannot read", path, cause)),
    }
}

fn damaged(path: &Path) -> TrainError {
    TrainError::Run { path: path.to_path_buf(), problem: "is damaged or no training state".into() }
}

/// The header and the bytes it was read from.
fn read_header(path: &Path, reader: &mut impl BufRead) -> Result<(StateHeader, String), TrainError> {
    let mut text = String::new();
    for _ in 0..2 {
        reader.take(1 << 20).read_line(&mut text).map_err(|_| damaged(path))?;
    }
    let json = text.strip_prefix(MAGIC).ok_or_else(|| damaged(path))?;
    let header = serde_json::from_str(json).map_err(|_| damaged(path))?;
    Ok((header, text))
}

fn read_state(path: &Path) -> Result<Option<(StateHeader, Vec<AlignedVec>)>, TrainError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let length = file.metadata().map_err(|cause| TrainError::io("cannot read", path, cause))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (header, text) = read_header(path, &mut reader)?;
    // The header is trusted with an allocation only if the file is as long as it says.
    let numbers = header.lens.iter().try_fold(0_u64, |sum, len| sum.checked_add(*len as u64));
    let body = numbers.and_then(|numbers| numbers.checked_mul(4));
    if body.and_then(|body| body.checked_add(text.len() as u64 + 32)) != Some(length) {
        return Err(damaged(path));
    }
    let mut hash = Sha256::new();
    hash.update(&text);
    let mut slots = Vec::new();
    let mut bytes = vec![0; 1 << 16];
    for &len in &header.lens {
        let mut slot = AlignedVec::zeroed(len);
        for part in slot.chunks_mut(1 << 14) {
            let bytes = &mut bytes[..part.len() * 4];
            reader.read_exact(bytes).map_err(|cause| TrainError::io("cannot read", path, cause))?;
            hash.update(&*bytes);
            for (number, four) in part.iter_mut().zip(bytes.chunks_exact(4)) {
                *number = f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            }
        }
        slots.push(slot);
    }
    let mut digest = [0; 32];
    reader.read_exact(&mut digest).map_err(|_| damaged(path))?;
    if hash.finalize()[..] != digest { Err(damaged(path)) } else { Ok(Some((header, slots))) }
}

/// Hashes what passes through.
struct Hashing<'a> {
    inner: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(epoch: usize) -> StateHeader {
        StateHeader {
            epoch,
            step: 7,
            partial: Some(PartialEpoch { steps: 3, loss_sum: 0.1 + 0.2, ..PartialEpoch::default() }),
            samples: 9,
            seed: 1,
            isa: "portable".into(),
            best: Some(Best { epoch: 1, metric: 0.25, averaged: true }),
            best_holdout: None,
            elapsed_s: 1.5,
            weights: String::new(),
            weights_sha256: String::new(),
            lens: Vec::new(),
        }
    }

    fn run() -> (tempfile::TempDir, RunFolder) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path()).unwrap();
        run.create_folders().unwrap();
        (folder, run)
    }

    fn slots() -> Vec<AlignedVec> {
        vec![AlignedVec::from(&[1.0f32, -2.0, 3.5][..]), AlignedVec::from(&[0.0f32, f32::MIN_POSITIVE][..])]
    }

    fn commit_slots(run: &RunFolder, epoch: usize) {
        let slots = slots();
        let slots: Vec<&[f32]> = slots.iter().map(|slot| &slot[..]).collect();
        commit(run, header(epoch), &slots).unwrap();
    }

    #[test]
    fn hash_is_sha256() {
        let (_folder, run) = run();
        fs::write(run.next(), "abc").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&run.next()).unwrap(), digest);
    }

    #[test]
    fn a_pair_comes_back() {
        let (_folder, run) = run();
        assert!(load(&run).unwrap().is_none());
        fs::write(run.next(), "weights 1").unwrap();
        commit_slots(&run, 1);
        let (loaded, loaded_slots) = load(&run).unwrap().unwrap();
        assert_eq!((loaded.epoch, loaded.step, loaded.best), (1, 7, header(1).best));
        assert_eq!(loaded.partial, header(1).partial);
        assert!(loaded_slots == slots());
        assert!(!run.next().exists());
    }

    #[test]
    fn a_kill_between_two_renames_leaves_a_whole_pair() {
        let (_folder, run) = run();
        fs::write(run.next(), "weights 1").unwrap();
        commit_slots(&run, 1);
        // New weights are there, the state is still the old one.
        fs::write(run.next(), "weights 2").unwrap();
        assert_eq!(load(&run).unwrap().unwrap().0.epoch, 1);
        assert!(!run.next().exists());
        // The state is the new one, the weights have not moved.
        fs::write(run.next(), "weights 2").unwrap();
        commit_slots(&run, 2);
        fs::rename(run.last(), run.next()).unwrap();
        fs::write(run.last(), "weights 1").unwrap();
        assert_eq!(load(&run).unwrap().unwrap().0.epoch, 2);
        assert_eq!(fs::read_to_string(run.last()).unwrap(), "weights 2");
    }

    #[test]
    fn damage_is_noticed() {
        let (_folder, run) = run();
        fs::write(run.next(), "weights 1").unwrap();
        commit_slots(&run, 1);
        let whole = fs::read(run.state()).unwrap();
        for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
            fs::write(run.state(), &whole[..cut]).unwrap();
            assert!(load(&run).is_err(), "cut at {cut}");
        }
        let mut flipped = whole.clone();
        flipped[whole.len() - 40] ^= 1;
        fs::write(run.state(), flipped).unwrap();
        assert!(load(&run).is_err());
        fs::write(run.state(), whole).unwrap();
        fs::write(run.last(), "other weights").unwrap();
        assert!(load(&run).unwrap_err().to_string().contains("its hash differs"));
    }
}
