//! Who is at the command line: what stands in the log for changes that are an operator's own, whom no provider vouches for.

use clap::Args;

use crate::{audit::printable, config::client};

/// On whose word a change is made.
#[derive(Debug, Args)]
pub(super) struct Operator {
    /// Who decides, by name: it stands in the log for ever [default: account and computer]
    #[arg(long, value_name = "NAME", value_parser = said)]
    by: Option<String>,
}

impl Operator {
    /// The name that was given, or else the account and the computer that the command runs on.
    pub(super) fn name(&self) -> String {
        self.by.clone().unwrap_or_else(|| {
            let account = client::account().and_then(|account| said(&account).ok());
            format!("{} at {}", account.as_deref().unwrap_or("somebody"), machine())
        })
    }
}

/// What this machine calls itself.
pub(super) fn machine() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name: String = name.unwrap_or_default().trim().chars().filter(|c| c.is_ascii_graphic()).take(63).collect();
    if name.is_empty() { "this computer".to_owned() } else { name }
}

/// Words that say something, on one line, with nothing in them that moves a cursor or turns a line around.
pub(super) fn said(text: &str) -> Result<String, String> {
    match text {
        _ if text.trim().is_empty() => Err("must not be empty".to_owned()),
        _ if text.trim() != text => Err("must not begin or end with a space".to_owned()),
        _ if text.len() > 1_000 => Err("must be shorter".to_owned()),
        _ if printable(text) != text => Err("must be one line of letters that can be seen".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_for_ever_is_one_line_that_can_be_read() {
        assert_eq!(said("Ada Lovelace, Zoë").unwrap(), "Ada Lovelace, Zoë");
        for wrong in ["", " ", " ada", "ada ", "a\nb", "a\u{1b}[31mb", "a\u{202e}b", &"x".repeat(1_001)] {
            assert!(said(wrong).is_err(), "{wrong:?}");
        }
    }
}
