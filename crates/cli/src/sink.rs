//! Where the answer's bytes go: stdout, or a file that takes its name only once it is complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;

use crate::failure::Usage;

/// What was attempted when writing fails.
pub(crate) const WRITE: &str = "write the answer";

/// An open way out. Dropped before [`Sink::commit`], it leaves no file.
#[derive(Debug)]
pub(crate) struct Sink {
    into: Into,
}

#[derive(Debug)]
enum Into {
    Stdout(BufWriter<io::Stdout>),
    /// What is no file with a content of its own, such as a pipe or `/dev/null`.
    Direct(BufWriter<File>, PathBuf),
    Beside {
        file: BufWriter<File>,
        partial: Partial,
        target: PathBuf,
    },
}

/// A file that goes away unless it is kept.
#[derive(Debug)]
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // There is nobody left to tell.
            let _ = fs::remove_file(path);
        }
    }
}

impl Sink {
    /// Opens a file, or stdout for none and for `-`.
    ///
    /// Bytes that are no text are kept from a terminal, which would act on them.
    pub(crate) fn open(output: Option<&Path>, is_binary: bool) -> anyhow::Result<Self> {
        let Some(path) = output.filter(|path| *path != Path::new("-")) else {
            if is_binary && io::stdout().is_terminal() {
                let usage = Usage::new("this format is binary and stdout is a terminal")
                    .with_hint("write it to a file with -o FILE, or into a pipe");
                return Err(usage.into());
            }
            return Ok(Self { into: Into::Stdout(BufWriter::new(io::stdout())) });
        };
        // Through a link, so that the link stays.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let refuse =
            |error: io::Error| Usage::new(format!("cannot write to {}: {error}", path.display()));
        if let Ok(metadata) = fs::metadata(&target) {
            if metadata.is_dir() {
                return Err(Usage::new(format!(
                    "cannot write to {}: it is a folder",
                    path.display()
                ))
                .into());
            }
            if !metadata.is_file() {
                let file = OpenOptions::new().write(true).open(&target).map_err(refuse)?;
                return Ok(Self { into: Into::Direct(BufWriter::new(file), target) });
            }
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = target.with_file_name(format!(".{name}.{}.partial", process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&beside).map_err(refuse)?;
        let partial = Partial(Some(beside));
        Ok(Self { into: Into::Beside { file: BufWriter::new(file), partial, target } })
    }

    /// How many columns there are, if this is a terminal.
    pub(crate) fn columns(&self) -> Option<usize> {
        match self.into {
            Into::Stdout(_) if io::stdout().is_terminal() => {
                terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
            }
            _ => None,
        }
    }

    /// Writes what is left and gives the file its name.
    pub(crate) fn commit(self) -> anyhow::Result<()> {
        match self.into {
            Into::Stdout(mut stdout) => stdout.flush().context(WRITE),
            Into::Direct(mut file, target) => {
                file.flush().with_context(|| format!("write {}", target.display()))
            }
            Into::Beside { mut file, mut partial, target } => {
                let what = || format!("write {}", target.display());
                file.flush().with_context(what)?;
                drop(file);
                if let Some(path) = &partial.0 {
                    fs::rename(path, &target).with_context(what)?;
                }
                partial.0 = None;
                Ok(())
            }
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.into {
            Into::Stdout(into) => into,
            Into::Direct(into, _) | Into::Beside { file: into, .. } => into,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_once_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();

        let mut sink = Sink::open(Some(&path), false).unwrap();
        sink.write_all(b"new").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(sink);
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        let mut sink = Sink::open(Some(&path), true).unwrap();
        sink.write_all(b"new").unwrap();
        sink.commit().unwrap();
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sink::open(Some(folder.path()), false).unwrap_err();
        assert!(error.to_string().ends_with("it is a folder"), "{error}");
        let error = Sink::open(Some(&folder.path().join("a/b.csv")), false).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut sink = Sink::open(Some(&link), false).unwrap();
        sink.write_all(b"new").unwrap();
        sink.commit().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");

        let null = Path::new("/dev/null");
        Sink::open(Some(null), false).unwrap().commit().unwrap();
        assert!(!fs::metadata(null).unwrap().is_file());
    }
}
