//! One event file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hectare_data::Image;

use super::crc32c::masked;
use super::proto::Message;
use crate::error::ReportError;
use crate::picture::encode_png;

/// Appends events to a file. TensorBoard reads along, and makes do with a file that ends within a record.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// A new file `events.out.tfevents.*` in `folder`, later in name than those that are there.
    ///
    /// # Errors
    /// The operating system's, naming the file.
    pub fn create(folder: &Path) -> Result<EventWriter, ReportError> {
        let mut second = now().as_secs();
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{second:010}.hectare"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => second += 1,
                Err(cause) => return Err(ReportError::io("cannot write", &path, cause)),
            }
        };
        let mut writer = EventWriter { file, path };
        writer.write(&Message::default().double(1, now().as_secs_f64()).field(3, "brain.Event:2"))?;
        Ok(writer)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers at `step`, each with its tag, as `loss/train`.
    ///
    /// # Errors
    /// The operating system's, naming the file.
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<(), ReportError> {
        let mut summary = Message::default();
        for (tag, value) in values {
            summary = summary.field(1, Message::default().field(1, tag).float(2, *value as f32));
        }
        self.summary(step, &summary)
    }

    /// A picture at `step`.
    ///
    /// # Errors
    /// The operating system's, naming the file, or an empty picture.
    pub fn image(&mut self, step: u64, tag: &str, image: &Image) -> Result<(), ReportError> {
        let encoded = Message::default()
            .integer(1, image.height as u64)
            .integer(2, image.width as u64)
            .integer(3, 3)
            .field(4, encode_png(image)?);
        let value = Message::default().field(1, tag).field(4, encoded);
        self.summary(step, &Message::default().field(1, value))
    }

    fn summary(&mut self, step: u64, summary: &Message) -> Result<(), ReportError> {
        self.write(&Message::default().double(1, now().as_secs_f64()).integer(2, step).field(5, summary))
    }

    /// One record: length, its checksum, the message, its checksum.
    fn write(&mut self, event: &Message) -> Result<(), ReportError> {
        let length = (event.bytes().len() as u64).to_le_bytes();
        let record = [
            &length[..],
            &masked(&length).to_le_bytes(),
            event.bytes(),
            &masked(event.bytes()).to_le_bytes(),
        ]
        .concat();
        // In one call, so that a reader seldom meets half of it.
        self.file.write_all(&record).map_err(|cause| ReportError::io("cannot write", &self.path, cause))
    }
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_and_files_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = EventWriter::create(folder.path()).unwrap();
        let second = EventWriter::create(folder.path()).unwrap();
        assert!(second.path() > first.path());
        first.scalars(7, &[("loss/train".into(), 0.5)]).unwrap();
        first.image(7, "mask", &Image::black(3, 2)).unwrap();
        let bytes = std::fs::read(first.path()).unwrap();
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let data = &bytes[at + 12..at + 12 + length];
            let check = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!((check(at + 8), check(at + 12 + length)), (masked(&bytes[at..at + 8]), masked(data)));
            records.push(data.to_vec());
            at += 16 + length;
        }
        assert_eq!(records.len(), 3);
        let has = |record: &[u8], text: &[u8]| record.windows(text.len()).any(|window| window == text);
        assert!(has(&records[0], b"brain.Event:2") && has(&records[1], b"loss/train"));
        assert!(has(&records[1], &0.5f32.to_le_bytes()) && has(&records[2], b"IHDR"));
    }
}
