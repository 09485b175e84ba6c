//! What the command line takes from its environment: where it keeps its files, which kubeconfig is in force, what
//! kubectl hands to a credential plugin. Nothing here decides what anybody may do.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The folder for what the command line keeps: `BAILIWICK_HOME`, or `bailiwick` in the user's data folder (XDG). None
/// when the user has no home.
pub fn home() -> Option<PathBuf> {
    set("BAILIWICK_HOME").map(PathBuf::from).or_else(|| Some(dirs::data_dir()?.join("bailiwick")))
}

/// That folder where the user chose it, in full: what programs started later have to be told.
pub fn chosen_home() -> Option<String> {
    let home = std::path::absolute(set("BAILIWICK_HOME")?).ok()?;
    home.to_str().map(str::to_owned)
}

/// The kubeconfig to change: the first file of `KUBECONFIG` that exists, or the last of them where none does, as
/// `kubectl config` has it; without that variable `~/.kube/config`.
pub fn kubeconfig() -> Option<PathBuf> {
    let listed: Vec<PathBuf> = set("KUBECONFIG").map(|list| split(&list)).unwrap_or_default();
    let existing = listed.iter().find(|path| path.exists()).or(listed.last()).cloned();
    existing.or_else(|| Some(dirs::home_dir()?.join(".kube").join("config")))
}

/// What kubectl tells a credential plugin about the cluster (`KUBERNETES_EXEC_INFO`, JSON).
pub fn exec_info() -> Option<String> {
    set("KUBERNETES_EXEC_INFO")?.into_string().ok()
}

/// The account that a command runs under, or that of whoever took it over with sudo.
pub fn account() -> Option<String> {
    ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(set)?.into_string().ok()
}

/// Where `PATH` finds the program `name`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    split(&set("PATH")?).into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The file of the program that runs now, for others that are to call it.
pub fn this_program() -> std::io::Result<PathBuf> {
    env::current_exe()
}

fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn split(list: &OsString) -> Vec<PathBuf> {
    env::split_paths(list).filter(|path| path != Path::new("")).collect()
}
