//! What the fuzzers share: a folder of their own in memory, and PNG checksums put right.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hectare_net::weights;

/// A folder of this process, in memory where the system has such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let folder = base.join(format!("hectare-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder in memory can be made");
        folder
    })
}

/// Writes `bytes` to a file of that name in the folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("a file in memory can be written");
    path
}

/// The chunks of `bytes` with their checksums put right, so that what is behind them is reached.
pub fn with_png_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut rest = bytes.strip_prefix(&out[..]).unwrap_or(bytes);
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((chunk, after)) = tail.split_at_checked(length.saturating_add(4)) else { break };
        out.extend((length as u32).to_be_bytes());
        out.extend(chunk);
        out.extend(crc32(chunk).to_be_bytes());
        rest = after.get(4..).unwrap_or_default();
    }
    out.extend(rest);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Reads `bytes` as a weight file and as a model: no number that is read is NaN or infinite, and no more memory is
/// asked for than the file has bytes (numbers of 2 bytes become numbers of 4).
pub fn read_weights(name: &str, bytes: &[u8]) {
    let path = file(name, bytes);
    if let Ok(file) = weights::read(&path) {
        for tensor in &file.tensors {
            if let Ok(values) = tensor.values() {
                assert!(values.len() <= bytes.len() && values.iter().all(|value| value.is_finite()));
            }
        }
    }
    if let Ok(model) = weights::read_model(&path) {
        assert!(model.params.values.len() <= bytes.len());
        assert!(model.card.check().is_ok());
        assert_eq!(model.card.classes.len(), model.card.spec.classes);
    }
}
