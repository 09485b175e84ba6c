//! Where a command's entries go: into a file that is whole or not there, or to standard output (`-`, or no name).

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    path::{Path, PathBuf},
};

use super::{
    super::{
        CliFault,
        output::{changed, remark, unwritten},
    },
    interrupted,
};
use crate::audit::whole_file::{Name, WholeFile};

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
                interrupted::leave_no_parts();
                let file = WholeFile::begin(path).map_err(|fault| lost(path, &fault))?;
                Ok(Self::File(file, path.to_owned()))
            }
        }
    }

    /// All of it was written.
    pub(super) fn finish(self) -> Result<(), CliFault> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(|fault| unwritten(&fault)),
            Self::File(file, path) => {
                let name = file.finish().map_err(|fault| lost(&path, &fault))?;
                warn(&path, &name);
                changed(format_args!("{} is written", path.display()));
                Ok(())
            }
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

/// Says if a power cut may cost the name of the file at `path`.
pub(super) fn warn(path: &Path, name: &Name) {
    if let Name::Unsure(fault) = name {
        let path = path.display();
        remark(format_args!(
            "warning: {path} is whole; its folder's file system does not promise to keep the name through a power cut \
             ({fault})"
        ));
    }
}

fn lost(path: &Path, fault: &io::Error) -> CliFault {
    CliFault::could_not_look(format_args!("could not write {}: {fault}", path.display()))
}
