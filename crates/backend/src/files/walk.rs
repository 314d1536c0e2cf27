//! Finding the files of a source.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::name;
use crate::{Error, ErrorKind, Notice};

/// Paths with their names below the root, sorted by name, and what was passed over.
type Found = (Vec<(PathBuf, String)>, Vec<Notice>);

/// The files to read: the root itself if it is a file, else what is below it and looks like a profile.
pub(super) fn walk(root: &Path) -> Result<Found, Error> {
    let fail =
        |kind, detail: String| Error::new(kind, format!("open {}: {detail}", root.display()));
    let metadata = fs::metadata(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail(ErrorKind::NotFound, "no such file or folder".to_owned()),
        _ => fail(ErrorKind::Unreadable, error.to_string()).with_source(error),
    })?;
    if metadata.is_file() {
        let name = root.file_name().unwrap_or(root.as_os_str()).to_string_lossy().into_owned();
        return Ok((vec![(root.to_path_buf(), name)], Vec::new()));
    }
    let (mut found, mut notices, mut n_others) = (Vec::new(), Vec::new(), 0_usize);
    let mut folders = vec![(root.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let listed =
            fs::read_dir(&folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => {
                return Err(fail(ErrorKind::Unreadable, error.to_string()).with_source(error));
            }
            Err(error) => {
                notices.push(Notice {
                    subject: prefix,
                    reason: error.to_string(),
                    is_missing: true,
                });
                continue;
            }
        };
        for entry in entries {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
            match fs::metadata(&path) {
                // A link to a folder may lead in a circle, and would count its profiles twice.
                Ok(metadata) if metadata.is_dir() && is_link => {
                    let reason = "a symbolic link to a folder is not followed".to_owned();
                    notices.push(Notice { subject: name, reason, is_missing: true });
                }
                Ok(metadata) if metadata.is_dir() => folders.push((path, format!("{name}/"))),
                // Reading a pipe or a device may wait or go on for ever.
                Ok(metadata) if !metadata.is_file() => n_others += 1,
                Ok(_) if name::is_profile(&name, &path) => found.push((path, name)),
                Ok(_) => n_others += 1,
                Err(error) => notices.push(Notice {
                    subject: name,
                    reason: error.to_string(),
                    is_missing: true,
                }),
            }
        }
    }
    if found.is_empty() {
        let others = match n_others {
            0 => String::new(),
            n => format!("; {n} other files"),
        };
        return Err(fail(
            ErrorKind::NotFound,
            format!(
                "no profiles in this folder (*.pb, *.pb.gz, *.pprof, *.prof, *.folded, *.collapsed{others})"
            ),
        ));
    }
    found.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    Ok((found, notices))
}
