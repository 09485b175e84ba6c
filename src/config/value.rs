//! Single values: text, numbers, durations, addresses and files, each with a sentence for whoever wrote it wrong.
//! A variable of the environment has only text, so there a list is separated by commas.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use url::Url;

use super::{
    SecretFile,
    document::{Node, Value},
    mistake::Origin,
};

/// How the files that a configuration names are looked at. Relative paths start at the configuration's own folder.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
    check: FileCheck,
}

/// Which files must be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileCheck {
    /// All of them.
    All,
    /// All but the wrapping key, which is about to be made.
    AllButWrappingKey,
    /// None: for the sample.
    #[cfg(test)]
    None,
}

impl Files {
    pub(super) fn new(folder: PathBuf, check: FileCheck) -> Self {
        Self { folder, check }
    }

    /// A file that can be opened.
    pub(super) fn file(&self, node: &Node) -> Result<PathBuf, String> {
        let path = self.path(node)?;
        if self.is_checking() {
            let file = fs::File::open(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
            if !file.metadata().is_ok_and(|facts| facts.is_file()) {
                return Err(format!("{} is not a file", path.display()));
            }
        }
        Ok(path)
    }

    /// A file that is there or can be made, in a folder that is there.
    pub(super) fn file_to_write(&self, node: &Node) -> Result<PathBuf, String> {
        let path = self.path(node)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if self.is_checking() && !folder.is_dir() {
            return Err(format!("{} is not a folder", folder.display()));
        }
        if self.is_checking() && path.exists() && !path.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        Ok(path)
    }

    /// A folder that can be listed.
    pub(super) fn folder(&self, node: &Node) -> Result<PathBuf, String> {
        let path = self.path(node)?;
        if self.is_checking() {
            fs::read_dir(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
        }
        Ok(path)
    }

    /// A secret that a group may read.
    pub(super) fn secret(&self, node: &Node) -> Result<SecretFile, String> {
        let secret = SecretFile::new(self.path(node)?);
        if self.is_checking() {
            secret.check().map_err(|fault| fault.to_string())?;
        }
        Ok(secret)
    }

    /// The wrapping key: its owner's alone.
    pub(super) fn wrapping_key(&self, node: &Node) -> Result<SecretFile, String> {
        let secret = SecretFile::private(self.path(node)?);
        let is_due = match self.check {
            FileCheck::All => true,
            FileCheck::AllButWrappingKey => secret.path().exists(),
            #[cfg(test)]
            FileCheck::None => false,
        };
        if is_due {
            secret.check().map_err(|fault| fault.to_string())?;
        }
        Ok(secret)
    }

    /// A place that need not be there yet.
    pub(super) fn place(&self, node: &Node) -> Result<PathBuf, String> {
        self.path(node)
    }

    fn path(&self, node: &Node) -> Result<PathBuf, String> {
        Ok(self.folder.join(Path::new(&filled(node)?)))
    }

    fn is_checking(&self) -> bool {
        matches!(self.check, FileCheck::All | FileCheck::AllButWrappingKey)
    }
}

/// Text, which may be empty.
pub(super) fn text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(format!("expected text, found {}", other.kind())),
    }
}

/// Text that says something and has no control characters or spaces around it.
pub(super) fn filled(node: &Node) -> Result<String, String> {
    let text = text(node)?;
    match text.trim() {
        "" => Err("must not be empty".to_owned()),
        trimmed if trimmed.len() != text.len() => Err("has spaces around it".to_owned()),
        trimmed if trimmed.chars().any(char::is_control) => Err("has control characters".to_owned()),
        _ => Ok(text),
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match (&node.value, &node.origin) {
        (Value::Boolean(boolean), _) => Ok(*boolean),
        (Value::Text(text), Origin::Variable(_)) => text.parse().map_err(|_| "expected true or false".to_owned()),
        (other, _) => Err(format!("expected true or false, found {}", other.kind())),
    }
}

/// A whole number within `range`.
pub(super) fn integer(range: std::ops::RangeInclusive<u32>) -> impl FnOnce(&Node) -> Result<u32, String> {
    move |node| {
        let number = match (&node.value, &node.origin) {
            (Value::Integer(number), _) => Some(*number),
            (Value::Text(text), Origin::Variable(_)) => text.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| format!("expected an integer, found {}", node.value.kind()))?;
        u32::try_from(number)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("expected {} to {}", range.start(), range.end()))
    }
}

/// A duration as people write it: `90s`, `15m`, `12h`. Never zero.
pub(super) fn duration(node: &Node) -> Result<Duration, String> {
    let text = filled(node)?;
    let duration = humantime::parse_duration(&text)
        .map_err(|_| format!("`{text}` is not a duration; write `500ms`, `90s`, `15m` or `12h`"))?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

/// Anything that has a text form.
pub(super) fn parsed<T: FromStr<Err: Display>>(node: &Node) -> Result<T, String> {
    filled(node)?.parse().map_err(|fault: T::Err| fault.to_string())
}

/// An address and a port.
pub(super) fn address(node: &Node) -> Result<std::net::SocketAddr, String> {
    let text = filled(node)?;
    text.parse().map_err(|_| format!("`{text}` is not an address and port, such as `127.0.0.1:8080` or `[::]:443`"))
}

/// A list, each item read by `item`.
pub(super) fn list<T>(item: impl Fn(&Node) -> Result<T, String>) -> impl FnOnce(&Node) -> Result<Vec<T>, String> {
    move |node| match (&node.value, &node.origin) {
        (Value::List(items), _) => items.iter().map(&item).collect(),
        (Value::Text(text), Origin::Variable(_)) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let nodes = parts.map(|part| Node { value: Value::Text(part.to_owned()), origin: node.origin.clone() });
            nodes.map(|node| item(&node)).collect()
        }
        (other, _) => Err(format!("expected a list, found {}", other.kind())),
    }
}

/// A web address of scheme, host and port alone.
pub(super) fn origin_url(node: &Node) -> Result<Url, String> {
    let text = filled(node)?;
    let url = Url::parse(&text).map_err(|fault| format!("`{text}` is not a URL: {fault}"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err("must begin with `https://` or `http://` and a host".to_owned());
    }
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err("must be scheme, host and port alone".to_owned());
    }
    Ok(url)
}
