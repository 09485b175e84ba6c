//! A file that has its name only once all of it is on disk; until then an earlier one of that name stays as it was. For
//! its owner alone from the start: entries say much about people.
//!
//! INVARIANT: nothing is replaced but a regular file. A device, a pipe or a link to nowhere is written through; of a link
//! to a file, what it leads to is replaced, and the link stays.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is known of the name of a file that is whole.
#[derive(Debug)]
#[must_use]
pub enum Name {
    /// It survives a power cut, as the bytes do.
    OnDisk,
    /// It stands there now. Its folder cannot be made to keep it: some network file systems know no such thing.
    Unsure(io::Error),
}

/// See the head of this file. Dropped before [`WholeFile::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct WholeFile {
    out: BufWriter<File>,
    path: PathBuf,
    /// What it is called until it is whole.
    part: Option<PathBuf>,
}

impl WholeFile {
    /// Begins a file that is to be called `path`.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_replaced = match fs::symlink_metadata(&path) {
            Ok(there) => there.is_file(),
            Err(fault) if fault.kind() == ErrorKind::NotFound => true,
            Err(fault) => return Err(fault),
        };
        let (file, part) = if is_replaced {
            let (file, part) = part_of(&path)?;
            (file, Some(part))
        } else {
            (File::options().write(true).create(true).truncate(true).mode(OWNER_ALONE).open(&path)?, None)
        };
        Ok(Self { out: BufWriter::new(file), path, part })
    }

    /// It is whole: its bytes are on disk, and then so is its name.
    pub fn finish(mut self) -> io::Result<Name> {
        self.out.flush()?;
        let Some(part) = &self.part else { return Ok(Name::OnDisk) };
        self.out.get_ref().sync_all()?;
        fs::rename(part, &self.path)?;
        self.forget_part();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        kept(File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()))
    }

    fn forget_part(&mut self) {
        if let Some(part) = self.part.take() {
            unfinished().retain(|other| *other != part);
        }
    }
}

/// Removes every unfinished file of this process, which is about to end. None is begun while the answer is held.
pub fn abandon() -> MutexGuard<'static, Vec<PathBuf>> {
    let unfinished = unfinished();
    for part in unfinished.iter() {
        let _ = fs::remove_file(part);
    }
    unfinished
}

/// What became of the name when its folder was told to keep it.
fn kept(told: io::Result<()>) -> io::Result<Name> {
    match told {
        Ok(()) => Ok(Name::OnDisk),
        Err(fault) => match fault.kind() {
            // The last one: a folder that one may write into and not look into.
            ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied => Ok(Name::Unsure(fault)),
            _ => Err(fault),
        },
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
        self.forget_part();
    }
}

/// A new file beside `path`, and its name: that of no other, whoever writes to the same place.
fn part_of(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "this is no name of a file"))?;
    // The name itself may be as long as a file system takes.
    let name = name.as_bytes();
    let name = OsStr::from_bytes(name.get(..LONGEST_STEM).unwrap_or(name));
    let mut unfinished = unfinished();
    for nth in 0..MOST_PARTS {
        let mut part = OsString::from(name);
        part.push(if nth == 0 { ".part".to_owned() } else { format!(".part{nth}") });
        let part = path.with_file_name(part);
        match File::options().write(true).create_new(true).mode(OWNER_ALONE).open(&part) {
            Ok(file) => {
                unfinished.push(part.clone());
                return Ok((file, part));
            }
            Err(fault) if fault.kind() == ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "there are too many unfinished files (.part) beside it"))
}

/// What this process has begun and not finished.
fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In bytes; what is put behind it has seven, and a name 255.
const LONGEST_STEM: usize = 240;

const OWNER_ALONE: u32 = 0o600;

/// Unfinished files of one name: some that are being written, and what was left by a power cut.
const MOST_PARTS: u32 = 100;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut file = WholeFile::begin(path)?;
        file.write_all(text.as_bytes())?;
        file.finish().map(|name| assert!(matches!(name, Name::OnDisk)))
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write(&path, "before").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

        let mut one = WholeFile::begin(&path).unwrap();
        let mut other = WholeFile::begin(&path).unwrap();
        assert_eq!(names(folder.path()), ["kept", "kept.part", "kept.part1"]);
        one.write_all(b"after").unwrap();
        other.write_all(b"never finished").unwrap();
        drop(other);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert!(matches!(one.finish().unwrap(), Name::OnDisk));
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(names(folder.path()), ["kept"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path.join("below"), "x").is_err() && write(Path::new(".."), "x").is_err());
    }

    #[test]
    fn a_name_may_be_as_long_as_names_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = |length: usize, last: &str| folder.path().join("n".repeat(length - 1) + last);
        let (one, other) = (WholeFile::begin(&path(255, "a")).unwrap(), WholeFile::begin(&path(255, "b")).unwrap());
        drop((one, other));
        for length in [249, 250, 251, 255] {
            write(&path(length, "a"), "whole").unwrap();
            assert_eq!(fs::read_to_string(path(length, "a")).unwrap(), "whole");
        }
        assert_eq!(WholeFile::begin(&path(256, "a")).unwrap_err().kind(), ErrorKind::InvalidFilename);
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn a_folder_that_keeps_no_names_costs_no_file_and_a_failing_disk_does() {
        for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::PermissionDenied] {
            assert!(matches!(kept(Err(kind.into())), Ok(Name::Unsure(_))), "{kind}");
        }
        assert!(matches!(kept(Ok(())), Ok(Name::OnDisk)));
        assert!(kept(Err(io::Error::from_raw_os_error(5))).is_err(), "EIO");
        assert!(matches!(kept(Err(io::Error::from_raw_os_error(22))), Ok(Name::Unsure(_))), "EINVAL");
    }

    #[test]
    fn what_is_no_regular_file_is_written_through_and_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink(at("file"), at("link")).unwrap();
        write(&at("link"), "through a link to nowhere").unwrap();
        write(&at("link"), "through a link").unwrap();
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "through a link");
        assert_eq!(fs::metadata(at("file")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());

        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = at("pipe");
            move || fs::read_to_string(pipe).unwrap()
        });
        write(&at("pipe"), "through a pipe").unwrap();
        assert_eq!(reader.join().unwrap(), "through a pipe");
        assert!(fs::symlink_metadata(at("pipe")).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["file", "link", "pipe"]);

        assert_eq!(write(Path::new("/dev/full"), "x").unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(fs::symlink_metadata("/dev/full").unwrap().file_type().is_char_device());
    }
}
