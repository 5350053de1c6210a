//! Where the files of a run are, and which of them make a fresh start impossible.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::files;

/// The folder of one training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// The folder there, whatever it holds.
    pub fn at(root: &Path) -> RunFolder {
        RunFolder { root: root.to_path_buf() }
    }

    /// Makes the folder for a fresh start. Nothing but the folder itself is written.
    ///
    /// # Errors
    /// A folder that already holds a checkpoint, or one that cannot be made or written into.
    pub fn create(root: &Path) -> Result<RunFolder, TrainError> {
        let run = RunFolder::at(root);
        run.refuse_checkpoint()?;
        files::writable_folder(root)?;
        Ok(run)
    }

    /// Checks that a run could begin in `root`, writing nothing: no checkpoint is there, and the folder, or the
    /// nearest one above it that exists, can be written into.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn check_free(root: &Path) -> Result<(), TrainError> {
        RunFolder::at(root).refuse_checkpoint()?;
        files::check_creatable(root)
    }

    /// Removes what a run that never reached a checkpoint has left.
    pub(crate) fn clear(&self) -> Result<(), TrainError> {
        for path in [self.log(), self.metrics_csv(), self.metrics_jsonl(), self.confusion(), self.protocol()]
        {
            files::remove(&path)?;
        }
        // Curves that TensorBoard would draw into those of the new start.
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(".tfevents.") {
                files::remove(&entry.path())?;
            }
        }
        let masks = self.root.join("masks");
        match std::fs::remove_dir_all(&masks) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(TrainError::io("cannot remove", &masks, cause))
            }
            _ => Ok(()),
        }
    }

    /// Keeps other processes from training into this folder for as long as the file is open.
    ///
    /// # Errors
    /// [`TrainError::Busy`] where one does so already, or a file that cannot be made.
    pub(crate) fn lock(&self) -> Result<File, TrainError> {
        let path = self.root.join("state/lock");
        files::create_folder(&self.root.join("state"))?;
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|cause| TrainError::io("cannot write", &path, cause))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainError::Busy(self.root.clone())),
            // Some file systems of networks have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        }
    }

    /// Removes temporary files that a kill has left.
    pub(crate) fn sweep(&self) -> Result<(), TrainError> {
        for folder in ["", "weights", "state", "eval"] {
            files::sweep(&self.root.join(folder))?;
        }
        let Ok(epochs) = std::fs::read_dir(self.root.join("masks")) else { return Ok(()) };
        epochs.flatten().try_for_each(|epoch| files::sweep(&epoch.path()))
    }

    /// Refuses a folder that holds a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::HoldsCheckpoint`].
    pub fn refuse_checkpoint(&self) -> Result<(), TrainError> {
        let held = [self.state(), self.last(), self.next(), self.best()].iter().any(|path| path.exists());
        if held { Err(TrainError::HoldsCheckpoint(self.root.clone())) } else { Ok(()) }
    }

    /// Opens the folder of a run that was begun, and its settings.
    ///
    /// # Errors
    /// A folder without `config.toml`, or one that cannot be read.
    pub fn open(root: &Path) -> Result<(RunFolder, TrainConfig), TrainError> {
        let run = RunFolder::at(root);
        let path = run.config();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(TrainError::Run {
                    path: root.to_path_buf(),
                    problem: "no run was begun here (there is no config.toml)".into(),
                });
            }
            Err(cause) => return Err(TrainError::io("cannot read", &path, cause)),
        };
        let config = TrainConfig::from_toml(&text)
            .map_err(|error| TrainError::Run { path, problem: error.to_string() })?;
        Ok((run, config))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Machine and program.
    pub fn env(&self) -> PathBuf {
        self.root.join("env.json")
    }

    /// The class map.
    pub fn classes(&self) -> PathBuf {
        self.root.join("classes.toml")
    }

    /// The files that both sets are opened without.
    pub fn excluded(&self) -> PathBuf {
        self.root.join("excluded.txt")
    }

    /// One row per epoch, for people and spreadsheets.
    pub fn metrics_csv(&self) -> PathBuf {
        self.root.join("metrics.csv")
    }

    /// One JSON object per epoch, with the figures per class.
    pub fn metrics_jsonl(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// What was said while it ran.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.txt")
    }

    /// Weights after the last checkpoint.
    pub fn last(&self) -> PathBuf {
        self.root.join("weights/last.safetensors")
    }

    /// Weights of the epoch with the best metric.
    pub fn best(&self) -> PathBuf {
        self.root.join("weights/best.safetensors")
    }

    /// Weights of the epoch with the best metric on the pictures held out.
    pub fn best_holdout(&self) -> PathBuf {
        self.root.join("weights/best_holdout.safetensors")
    }

    /// The running average of the weights after the last epoch.
    pub fn average(&self) -> PathBuf {
        self.root.join("weights/ema.safetensors")
    }

    /// Whole weights whose state is not yet in place.
    pub fn next(&self) -> PathBuf {
        self.root.join("weights/next.safetensors")
    }

    /// Weights kept under the number of their epoch.
    pub fn numbered(&self, epoch: usize) -> PathBuf {
        self.root.join(format!("weights/epoch_{epoch:04}.safetensors"))
    }

    /// What resuming needs besides the weights.
    pub fn state(&self) -> PathBuf {
        self.root.join("state/last.state")
    }

    /// Folder of the predicted masks of an epoch.
    pub fn masks(&self, epoch: usize) -> PathBuf {
        self.root.join(format!("masks/epoch_{epoch:04}"))
    }

    /// The confusion matrix of the best epoch.
    pub fn confusion(&self) -> PathBuf {
        self.root.join("eval/confusion.csv")
    }

    /// The figures of the epochs that each way of choosing picks.
    pub fn protocol(&self) -> PathBuf {
        self.root.join("eval/protocol.json")
    }

    /// Makes the folders of weights, state and evaluation.
    pub(crate) fn create_folders(&self) -> Result<(), TrainError> {
        ["weights", "state", "eval"].iter().try_for_each(|name| files::create_folder(&self.root.join(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&folder.path().join("a/run")).unwrap();
        run.create_folders().unwrap();
        RunFolder::create(run.root()).unwrap();
        std::fs::write(run.best(), "x").unwrap();
        let message = RunFolder::create(run.root()).unwrap_err().to_string();
        assert!(message.contains("already holds a checkpoint") && message.contains("--resume"), "{message}");
        assert!(RunFolder::open(run.root()).unwrap_err().to_string().contains("no config.toml"));
    }

    #[test]
    fn two_do_not_train_into_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::create(folder.path()).unwrap();
        let lock = run.lock().unwrap();
        let message = run.lock().unwrap_err().to_string();
        assert!(message.contains("another process is training into this folder"), "{message}");
        drop(lock);
        run.lock().unwrap();
    }
}
