//! Where a command's entries go: into a file that is whole or not there, or to standard output (`-`, or no name).

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    path::{Path, PathBuf},
};

use super::super::{CliFault, output::unwritten};
use crate::audit::whole_file::WholeFile;

/// See the head of this file.
pub(super) enum Out {
    /// To standard output.
    Stdout(BufWriter<StdoutLock<'static>>),
    /// Into the file of that name.
    File(WholeFile, PathBuf),
}

impl Out {
    /// Opens what `path` names.
    pub(super) fn begin(path: Option<&Path>) -> Result<Self, CliFault> {
        match path.filter(|path| *path != Path::new("-")) {
            None => Ok(Self::Stdout(BufWriter::new(io::stdout().lock()))),
            Some(path) => {
                let file = WholeFile::begin(path).map_err(|fault| lost(path, &fault))?;
                Ok(Self::File(file, path.to_owned()))
            }
        }
    }

    /// All of it was written.
    pub(super) fn finish(self) -> Result<(), CliFault> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(|fault| unwritten(&fault)),
            Self::File(file, path) => file.finish().map_err(|fault| lost(&path, &fault)),
        }
    }

    /// What becomes of the command that met this fault in writing to it.
    pub(super) fn fault(&self, fault: &io::Error) -> CliFault {
        match self {
            Self::Stdout(_) => unwritten(fault),
            Self::File(_, path) => lost(path, fault),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}

fn lost(path: &Path, fault: &io::Error) -> CliFault {
    CliFault::could_not_look(format_args!("could not write {}: {fault}", path.display()))
}
