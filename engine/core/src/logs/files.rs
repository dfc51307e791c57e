//! Files that records are written to: each control plane has a directory of its own, below one that the operator of the
//! gateway names. Tenants of one process share its disk, so there is a bound to what one of them may have there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Size at which a file makes room for a new one; the one before it is kept beside it.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Files and directories of one control plane.
const MOST_ENTRIES: usize = 16;
/// Directories within one another.
const MOST_DEPTH: usize = 8;
/// Longest name of a file or directory. What is kept beside it has a longer one.
const LONGEST_NAME: usize = 200;
/// Where the devices and the insides of the gateway's host are.
const OF_THE_HOST: [&str; 3] = ["dev", "proc", "sys"];

/// The place of a file within the directory of its control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(PathBuf);

impl FileName {
    /// The place that a user's path stands for: the same path, with the control plane's directory as its root.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub fn of(path: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if path.starts_with('/') && parts.first().is_some_and(|first| OF_THE_HOST.contains(first)) {
            return Err("devices of the gateway's host are not available: name a file");
        }
        if parts.contains(&"..") {
            return Err("must not lead out of the directory of the control plane");
        }
        if parts.is_empty() || path.ends_with('/') {
            return Err("names no file");
        }
        if parts.len() > MOST_DEPTH || parts.iter().any(|part| part.len() > LONGEST_NAME) {
            return Err("the path is too long or too deep");
        }
        if path.chars().any(char::is_control) {
            return Err("must not contain control characters");
        }
        Ok(Self(parts.iter().collect()))
    }
}

/// The files of a process.
#[derive(Debug)]
pub struct Files {
    root: Option<PathBuf>,
    /// The right to write. One at a time: two of them could make room for a new file at once.
    turn: Arc<Semaphore>,
}

impl Files {
    /// Files below a directory; none can be written without one.
    #[must_use]
    pub fn below(root: Option<PathBuf>) -> Self {
        Self { root, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Adds bytes to a file of a control plane, on a thread where nobody waits for the disk.
    pub(crate) async fn append(&self, control_plane_id: &str, name: &FileName, bytes: Vec<u8>) -> io::Result<()> {
        let home = self.home(control_plane_id).ok_or(io::ErrorKind::Unsupported)?;
        let turn = self.turn.clone().acquire_owned().await.map_err(io::Error::other)?;
        let name = name.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            append(&home, &name, &bytes)
        });
        writing.await.map_err(io::Error::other)?
    }

    /// Removes what a control plane has.
    pub(crate) fn remove(&self, control_plane_id: &str) {
        if let Some(home) = self.home(control_plane_id) {
            // That there is nothing is fine, and what cannot be removed stays.
            let _ = fs::remove_dir_all(home);
        }
    }

    fn home(&self, control_plane_id: &str) -> Option<PathBuf> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = !control_plane_id.is_empty() && control_plane_id.bytes().all(is_plain);
        self.root.as_ref().filter(|_| is_name).map(|root| root.join(control_plane_id))
    }
}

fn append(home: &Path, name: &FileName, bytes: &[u8]) -> io::Result<()> {
    let path = home.join(&name.0);
    let mut file = match open(&path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if entries(home, MOST_ENTRIES)? >= MOST_ENTRIES {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            fs::DirBuilder::new().recursive(true).mode(0o755).create(path.parent().unwrap_or(home))?;
            open(&path, true)?
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if found.len() > 0 && found.len() + bytes.len() as u64 > MOST_BYTES {
        let mut earlier = path.clone().into_os_string();
        earlier.push(".1");
        fs::rename(&path, earlier)?;
        file = open(&path, true)?;
    }
    file.write_all(bytes)
}

/// Opened for every batch: whoever moves a file away finds a new one in its place.
fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().append(true).create(create).mode(0o644).open(path)
}

/// Files and directories below a directory, as far as it matters whether they are so many.
fn entries(directory: &Path, most: usize) -> io::Result<usize> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        listed => listed?,
    };
    let mut count = 0;
    for entry in listed {
        let entry = entry?;
        count += 1;
        if count < most && entry.file_type()?.is_dir() {
            count += entries(&entry.path(), most - count)?;
        }
        if count >= most {
            break;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sluice-files-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn name(path: &str) -> FileName {
        FileName::of(path).unwrap()
    }

    #[test]
    fn a_large_file_makes_room_and_the_one_before_is_kept() {
        let home = Scratch::new("large");
        let half = vec![b'a'; usize::try_from(MOST_BYTES / 2).unwrap()];
        for _ in 0..5 {
            append(&home.0, &name("/x/a.log"), &half).unwrap();
        }
        let size = |path: &str| fs::metadata(home.0.join(path)).unwrap().len();
        assert_eq!((size("x/a.log"), size("x/a.log.1")), (MOST_BYTES / 2, MOST_BYTES));
        assert_eq!(entries(&home.0, MOST_ENTRIES).unwrap(), 3);
    }

    #[test]
    fn a_control_plane_has_so_many_files() {
        let home = Scratch::new("many");
        let written = (0..30).filter(|number| append(&home.0, &name(&format!("d{number}/f")), b"x").is_ok()).count();
        assert_eq!(written, MOST_ENTRIES / 2);
        // Those that are there are still written.
        assert!(append(&home.0, &name("d0/f"), b"y").is_ok());
        assert_eq!(fs::read(home.0.join("d0/f")).unwrap(), b"xy");
        // What is a directory is no file.
        assert!(append(&home.0, &name("d0"), b"y").is_err());
    }

    #[test]
    fn whose_name_is_no_name_has_no_files() {
        let files = Files::below(Some("/nowhere".into()));
        assert!(["", "..", "a/b", "a.b"].iter().all(|id| files.home(id).is_none()));
        assert_eq!(files.home("a-1"), Some("/nowhere/a-1".into()));
        assert_eq!(Files::below(None).home("a"), None);
    }
}
