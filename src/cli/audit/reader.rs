//! Whether somebody still reads standard output, for a command that may have nothing to write for hours: it would learn
//! only from its next line that its reader has gone.

use std::{io, os::fd::AsFd as _, time::Duration};

use tokio::{io::Interest, net::unix::pipe::Sender, time::timeout};

/// Whoever is at the other end of standard output.
pub(super) struct Reader(Option<Sender>);

impl Reader {
    /// From a regular file nobody goes: it always takes more.
    pub(super) fn of_stdout() -> Self {
        // Whatever it is: nothing is written here, it is only asked how it is.
        Self(io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked).ok())
    }

    /// Whether the other end of a pipe, a socket or a terminal is closed.
    pub(super) async fn is_gone(&self) -> bool {
        let Some(stdout) = &self.0 else { return false };
        // Where there is no room to write, there is still somebody who may read, and nothing comes.
        match timeout(Duration::ZERO, stdout.ready(Interest::WRITABLE)).await {
            Ok(Ok(state)) => state.is_write_closed(),
            _ => false,
        }
    }
}
