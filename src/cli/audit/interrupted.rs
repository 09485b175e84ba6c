//! Whoever interrupts a command that writes a file finds no half of one: what is unfinished is removed, and the command ends as
//! the signal would have ended it. From anywhere in the command, which may be waiting for a disk or a database.

use std::sync::Once;

use tokio::signal::unix::{SignalKind, signal};

use super::super::output::remark;
use crate::audit::whole_file;

/// From now on. Where signals cannot be heard, they end the process as they always did.
pub(super) fn leave_no_parts() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let Ok(mut signals) = signal(kind) else { continue };
            tokio::spawn(async move {
                if signals.recv().await.is_some() {
                    let _held = whole_file::abandon();
                    remark("interrupted; what was unfinished is removed");
                    // What a shell makes of a death by signal.
                    std::process::exit(128 + kind.as_raw_value());
                }
            });
        }
    });
}
