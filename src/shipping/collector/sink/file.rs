//! Events appended to a file, one a line, durable before they count as taken.
//!
//! The file is opened for each batch, so that one that was renamed, removed or truncated by whatever rotates logs is
//! found as it is: no signal is needed. A line that a crash cut in two is ended before the next one begins.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{Shipped, SinkFault, lines};

/// A file that lines are appended to.
pub struct FileSink {
    path: PathBuf,
}

impl FileSink {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) async fn send(&self, batch: &[Shipped]) -> Result<(), SinkFault> {
        let (path, lines) = (self.path.clone(), lines(batch));
        let written = tokio::task::spawn_blocking(move || {
            append(&path, &lines).map_err(|fault| format!("{}: {fault}", path.display()))
        });
        written.await.map_err(SinkFault::away)?.map_err(SinkFault::away)
    }
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    if ends_within_a_line(&mut file)? {
        file.write_all(b"\n")?;
    }
    file.write_all(lines.as_bytes())?;
    file.sync_data()?;
    if is_new {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_appended_wherever_the_name_leads_now_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        append(&path, "one\n").unwrap();
        append(&path, "two\n").unwrap();
        fs::rename(&path, folder.path().join("events.1")).unwrap();
        append(&path, "three\n").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("events.1")).unwrap(), "one\ntwo\n");
        fs::write(&path, "torn").unwrap();
        append(&path, "four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "torn\nfour\n");
        assert!(append(folder.path(), "five\n").is_err());
    }
}
