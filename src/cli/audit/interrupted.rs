//! Whoever interrupts a command that writes a file finds no half of one: what is unfinished is removed, and the command ends
//! with 128 and the signal's number, from anywhere in it: it may be waiting for a disk or a database. A second signal ends it at
//! once, whatever is left. What whoever began it had it ignore (`nohup`) goes on being ignored.

use std::{
    fs,
    process::exit,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::output::remark;
use crate::audit::whole_file;

/// From now on. Where signals cannot be heard, they end the process as they always did.
pub(super) fn leave_no_parts() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            if is_ignored(kind, &status) {
                continue;
            }
            if let Ok(signals) = signal(kind) {
                tokio::spawn(end_at(kind, signals));
            }
        }
    });
}

/// Waits for a signal of that kind, and ends the process.
async fn end_at(kind: SignalKind, mut signals: Signal) {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    // What a shell makes of a death by signal.
    let code = 128 + kind.as_raw_value();
    if signals.recv().await.is_none() {
        return;
    }
    if !INTERRUPTED.swap(true, Ordering::Relaxed) {
        // A disk that does not answer, or a terminal, must not keep the next signal from being heard.
        tokio::task::spawn_blocking(move || {
            let _held = whole_file::abandon();
            remark("interrupted; what was unfinished is removed");
            exit(code)
        });
        signals.recv().await;
    }
    exit(code)
}

/// Whether the process ignores such signals, as its status says (proc_pid_status(5), `SigIgn`).
fn is_ignored(kind: SignalKind, status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (kind.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_what_the_status_says() {
        let ignored = |status: &str| {
            [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()]
                .map(|kind| is_ignored(kind, status))
        };
        let status = |mask: &str| {
            format!("Name:\tbailiwick\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\t0000000000004003\n")
        };
        assert_eq!(ignored(&status("0000000000001001")), [true, false, false], "nohup");
        assert_eq!(ignored(&status("0000000000001006")), [false, true, false], "a job in the background of a script");
        assert_eq!(ignored(&status("fffffffffffbfeff")), [true; 3]);
        for none in ["", &status("0000000000001000"), &status("ffffffffffffbffc"), &status("none")] {
            assert_eq!(ignored(none), [false; 3], "{none}");
        }
    }
}
