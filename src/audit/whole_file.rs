//! A file that has its name only once all of it is on disk; until then an earlier one of that name stays as it was. For
//! its owner alone from the start: entries say much about people.
//!
//! INVARIANT: nothing is replaced but a regular file. A device, a pipe or a link to nowhere is written through; of a link
//! to a file, what it leads to is replaced, and the link stays.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

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
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some(part) = &self.part else { return Ok(()) };
        self.out.get_ref().sync_all()?;
        fs::rename(part, &self.path)?;
        self.part = None;
        // The name must survive a power cut as well as the bytes.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
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
    }
}

/// A new file beside `path`, and its name: that of no other, whoever writes to the same place.
fn part_of(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "this is no name of a file"))?;
    for nth in 0..MOST_PARTS {
        let mut part = OsString::from(name);
        part.push(if nth == 0 { ".part".to_owned() } else { format!(".part{nth}") });
        let part = path.with_file_name(part);
        match File::options().write(true).create_new(true).mode(OWNER_ALONE).open(&part) {
            Ok(file) => return Ok((file, part)),
            Err(fault) if fault.kind() == ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "there are too many unfinished files (.part) beside it"))
}

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
        file.finish()
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
        one.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(names(folder.path()), ["kept"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path.join("below"), "x").is_err() && write(Path::new(".."), "x").is_err());
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
