//! The files that rules come from: every `.cedar` file of a folder in the order of the names, and the entities file.
//! Reads; what the texts mean is for `check` and `policy`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{check::Mistake, policy::Texts, schema, shown};

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, without the folder.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Everything that rules are built from, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The `.cedar` files, by name.
    pub policies: Vec<SourceFile>,
    /// The entities file.
    pub entities: SourceFile,
}

impl Sources {
    /// Reads the folder and the entities file; says everything that cannot be read at once. Blocks.
    pub fn load(folder: &Path, entities: &Path) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut policies = Vec::new();
        match policy_files(folder) {
            Ok(files) if files.is_empty() => {
                mistakes.push(Mistake::of_file(&folder.display().to_string(), "the folder holds no .cedar file"));
            }
            Ok(files) => {
                policies.extend(files.iter().filter_map(|file| read(file).map_err(|m| mistakes.push(m)).ok()));
            }
            Err(fault) => mistakes.push(Mistake::of_file(&folder.display().to_string(), &fault.to_string())),
        }
        let entities = read(entities).map_err(|mistake| mistakes.push(mistake)).ok();
        match entities {
            Some(entities) if mistakes.is_empty() => Ok(Self { policies, entities }),
            _ => Err(mistakes),
        }
    }

    /// The texts that are hashed, stored and decided under.
    pub fn texts(&self) -> Texts {
        let mut policies = String::new();
        for file in &self.policies {
            policies.push_str(shown::FILE);
            policies.push_str(&file.name);
            policies.push('\n');
            policies.push_str(&file.text);
            // A last line without an end would otherwise run into the next file.
            policies.push('\n');
        }
        Texts { policies, entities: self.entities.text.clone(), schema: schema::TEXT.to_owned() }
    }
}

/// The `.cedar` files of a folder by name; hidden ones are an editor's or a mount's own business.
fn policy_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "cedar") && !name.starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<SourceFile, Mistake> {
    let shown = path.display().to_string();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains(char::is_control));
    let name = name.ok_or_else(|| Mistake::of_file(&shown, "the file's name is not plain text"))?.to_owned();
    let size = fs::metadata(path).map_err(|fault| Mistake::of_file(&shown, &fault.to_string()))?.len();
    if size > LARGEST {
        return Err(Mistake::of_file(&shown, "the file is larger than 4 MiB"));
    }
    let text = fs::read_to_string(path).map_err(|fault| Mistake::of_file(&shown, &fault.to_string()))?;
    if text.contains('\0') {
        return Err(Mistake::of_file(&shown, "the file holds a NUL byte"));
    }
    Ok(SourceFile { name, text })
}

const LARGEST: u64 = 4 << 20;
