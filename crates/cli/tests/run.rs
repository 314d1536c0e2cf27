//! Running the program on a folder made for one test.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// The profile type of CPU time that the demo's Go programs have.
pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

/// A folder to run the program in.
pub(crate) struct Place(TempDir);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    /// One with `profiles/` (the demo's service checkout), `monday/` and `friday/` (two of its versions),
    /// `cpu.pb.gz`, `top.sql` and `compare.sql`: what help and manuals speak of.
    pub(crate) fn with_profiles() -> Self {
        let place = Self::new();
        let checkout = demo().join("service_name=checkout");
        copy(&checkout, &place.path("profiles/service_name=checkout"));
        let pod = checkout.join("region=eu/pod=checkout-0");
        copy(&pod.join("version=1.4.0"), &place.path("monday"));
        copy(&pod.join("version=1.5.0"), &place.path("friday"));
        let cpu = fs::read(pod.join("version=1.4.0/000-cpu.pb.gz")).expect("the demo has it");
        place.write("cpu.pb.gz", cpu);
        let top =
            "SELECT function, sum(self) FROM functions WHERE profile_type = 'TYPE' GROUP BY 1";
        place.write("top.sql", top.replace("TYPE", CPU));
        let compare = "SELECT function, a.total, b.total FROM \
             (SELECT function, sum(total) total FROM old.functions WHERE profile_type = 'TYPE' GROUP BY 1) a JOIN \
             (SELECT function, sum(total) total FROM new.functions WHERE profile_type = 'TYPE' GROUP BY 1) b \
             USING (function)";
        place.write("compare.sql", compare.replace("TYPE", CPU));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the place"))
            .expect("folders can be made");
        fs::write(path, bytes).expect("files can be written");
    }

    /// The names of what is in it, hidden files included.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("it is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("it is there").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// The program, to be run here, with nothing in its environment that changes what it does.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_remove("FLAMESQL_SOURCE").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_flamesql"));
        Run::of(command.args(args).output().expect("the program starts"))
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_flamesql"));
        let command = command.args(args).stdin(Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut pipe = child.stdin.take().expect("it is piped");
        pipe.write_all(stdin.as_bytes()).expect("the program reads it");
        drop(pipe);
        Run::of(child.wait_with_output().expect("the program ends"))
    }

    /// Runs a line as a shell does, with the program as `flamesql`.
    pub(crate) fn shell(&self, line: &str) -> Run {
        let folder = Path::new(env!("CARGO_BIN_EXE_flamesql")).parent().expect("it is in a folder");
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&others));
        let path = std::env::join_paths(folders).expect("no folder has a colon in its name");
        let mut command = self.command("sh");
        let command = command.env("PATH", path).args(["-e", "-c", line]);
        Run::of(command.output().expect("there is a shell"))
    }
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            bytes: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("what goes to stderr is text"),
        }
    }

    /// Stdout, if all went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.text()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("what goes to stdout is text")
    }
}

/// The demo's profiles, as files.
pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folders can be made");
    for entry in fs::read_dir(from).expect("the demo has it") {
        let path = entry.expect("it is there").path();
        let to = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("files can be copied");
        }
    }
}
