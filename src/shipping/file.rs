//! The file of published checkpoints: opened for appending alone, one record a line, on disk before it counts.
//! Several brokers may share it. A line that a crash tore is left as it is; the next record begins a line of its own.
//!
//! Whoever else can write the file can cut its end off: put it where only the broker can.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::ShippingFault;
use crate::audit::{
    checkpoint::Verifier,
    published::{Published, Record, records},
};

/// Where the file is. Opened anew each time, so that it may be moved away.
#[derive(Clone, Debug)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// The file at `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Adds a record. It is on disk when this returns.
    pub fn append(&self, record: &Record) -> io::Result<()> {
        let is_new = !self.0.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&self.0)?;
        // Held until the file is closed; records of several brokers must not run into each other's lines.
        file.lock()?;
        let mut line = record.line();
        if !ends_a_line(&mut file)? {
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        if is_new {
            let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// Whether records can be added, without adding one.
    pub fn try_out(&self) -> Result<(), ShippingFault> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.0);
        opened.map(drop).map_err(|source| self.fault(source))
    }

    /// The newest checkpoint of the log `origin` among the last records. One that none of `keys` signed counts as well:
    /// it is known not to be this database's. None: there is no file yet, or nothing in it.
    pub fn newest(&self, origin: &str, keys: &[Verifier]) -> Result<Option<Published>, ShippingFault> {
        let end = match self.end() {
            Ok(end) => end,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.fault(source)),
        };
        let records = records(&end).map_err(|line| ShippingFault::NoRecord { path: self.0.clone(), line })?;
        Ok(records.iter().filter_map(|record| Published::read(&record.note, origin, keys)).max_by_key(Published::place))
    }

    /// The last part of the file, from the start of a line.
    fn end(&self) -> io::Result<String> {
        let mut file = File::open(&self.0)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(READ);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let whole = if from == 0 { text.as_ref() } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
        Ok(whole.to_owned())
    }

    fn fault(&self, source: io::Error) -> ShippingFault {
        ShippingFault::File { path: self.0.clone(), source }
    }
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// How much of the file's end is read: thousands of records.
const READ: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;
    use crate::{audit::checkpoint::CheckpointSigner, model::Timestamp};

    const ORIGIN: &str = "log.example";

    fn signer(seed: u8) -> CheckpointSigner {
        CheckpointSigner::from_seed(ORIGIN, Uuid::nil(), &[seed; 32]).unwrap()
    }

    fn record(seed: u8, epoch: u64, size: u64) -> Record {
        Record { at: Timestamp::from_micros(1), note: signer(seed).sign(epoch, size, [7; 32]) }
    }

    fn newest(file: &CheckpointFile) -> Option<(u64, u64, bool)> {
        let newest = file.newest(ORIGIN, &[signer(1).verifier().clone()]).unwrap();
        newest.map(|newest| (newest.epoch, newest.checkpoint.size, newest.is_signed))
    }

    #[test]
    fn the_newest_record_is_found_whatever_the_order_and_after_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("checkpoints"));
        assert_eq!(newest(&file), None);
        file.append(&record(1, 0, 5)).unwrap();
        file.append(&record(1, 0, 9)).unwrap();
        file.append(&record(1, 0, 7)).unwrap();
        assert_eq!(newest(&file), Some((0, 9, true)));
        let mut torn = OpenOptions::new().append(true).open(file.path()).unwrap();
        torn.write_all(&record(1, 0, 100).line().as_bytes()[..40]).unwrap();
        assert_eq!(newest(&file), Some((0, 9, true)));
        file.append(&record(1, 1, 6)).unwrap();
        assert_eq!(newest(&file), Some((1, 6, true)));
    }

    #[test]
    fn only_the_end_of_a_long_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("checkpoints"));
        let lines: String = (1..6_000).map(|size| record(1, 0, size).line()).collect();
        assert!(lines.len() as u64 > READ);
        fs::write(file.path(), lines).unwrap();
        assert_eq!(newest(&file), Some((0, 5_999, true)));
    }

    #[test]
    fn a_record_by_an_unknown_key_is_not_passed_over_and_junk_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(folder.path().join("checkpoints"));
        file.append(&record(1, 0, 5)).unwrap();
        file.append(&record(2, 0, 6)).unwrap();
        assert_eq!(newest(&file), Some((0, 6, false)));
        fs::write(file.path(), "junk\n").unwrap();
        assert!(matches!(file.newest(ORIGIN, &[]), Err(ShippingFault::NoRecord { line: 1, .. })));
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_fault() {
        let file = CheckpointFile::new("/nonexistent/checkpoints".into());
        assert!(file.try_out().is_err() && file.append(&record(1, 0, 5)).is_err());
    }
}
