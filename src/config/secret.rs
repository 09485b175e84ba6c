//! Secrets come by file path and are read when they are used, so that a rotated one is taken up without a restart.
//! A file that others on the machine could read or change is refused each time.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use secrecy::{SecretString, zeroize::Zeroize as _};

/// Where a secret lies. Prints its path, never what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    forbidden: u32,
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error("{}: mode {mode:04o} lets others in; make it {wanted}", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// It is not text, or has none.
    #[error("{}: empty, or not UTF-8 text", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
}

impl SecretFile {
    /// A secret that its group may read (0640 or less), as secrets mounted by a service manager or Kubernetes are.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), forbidden: 0o027 }
    }

    /// A secret that is its owner's alone (0600 or less).
    pub fn private(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), forbidden: 0o077 }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret as it is now, without the line end after it.
    pub fn read(&self) -> Result<SecretString, SecretFault> {
        self.check()?;
        let mut bytes = fs::read(&self.path).map_err(|source| self.unreadable(source))?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) if !text.trim_end().is_empty() => Ok(SecretString::from(text.trim_end_matches(['\r', '\n']))),
            _ => Err(SecretFault::NotText { path: self.path.clone() }),
        };
        bytes.zeroize();
        text
    }

    /// Whether it is there, a file, and closed to others.
    pub fn check(&self) -> Result<(), SecretFault> {
        let facts = fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        if !facts.is_file() {
            return Err(self.unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
        }
        let mode = facts.permissions().mode() & 0o777;
        if mode & self.forbidden != 0 {
            let wanted = if self.forbidden == 0o077 { "0600" } else { "0640 or 0600" };
            return Err(SecretFault::TooOpen { path: self.path.clone(), mode, wanted });
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> SecretFault {
        SecretFault::Unreadable { path: self.path.clone(), source }
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn file_with_mode(mode: u32, text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_is_read_anew_each_time_without_its_line_end() {
        let file = file_with_mode(0o600, b"first\n");
        let secret = SecretFile::new(file.path());
        assert_eq!(secret.read().unwrap().expose_secret(), "first");
        fs::write(file.path(), "second\r\n").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "second");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        for (mode, group_may, private) in [(0o600, true, true), (0o640, true, false), (0o644, false, false)] {
            let file = file_with_mode(mode, b"x");
            assert_eq!(SecretFile::new(file.path()).read().is_ok(), group_may, "{mode:o}");
            assert_eq!(SecretFile::private(file.path()).read().is_ok(), private, "{mode:o}");
        }
    }

    #[test]
    fn an_absent_empty_or_binary_secret_is_a_fault() {
        assert!(SecretFile::new("/nonexistent/secret").read().is_err());
        assert!(SecretFile::new("/").read().is_err());
        assert!(SecretFile::new(file_with_mode(0o600, b"\n").path()).read().is_err());
        assert!(SecretFile::new(file_with_mode(0o600, b"\xff").path()).read().is_err());
    }
}
