//! Files that only the agent may read, written so that a crash leaves the old content or the new.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Error, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a directory that only the agent may enter; one that exists is closed to others.
pub fn directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Makes the entries of a directory durable.
pub fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory)?.sync_all()
}

/// Writes a file, replacing what was there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let temp = Path::new(&temp);
    match std::fs::remove_file(temp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(temp, path)?;
    sync(path.parent().unwrap_or(path))
}
