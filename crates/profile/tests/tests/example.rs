//! Runs the example, as a user would.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use flamesql_profile::pprof;

/// The example as `cargo test` has built it: `cargo run` would build all that it needs once more, for itself alone.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("merge_profiles{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: cargo test builds it, cargo test --test does not",
        program.display()
    );
    program
}

#[test]
fn merging_two_files_adds_them_up() {
    let out = env::temp_dir().join(format!("merged-{}.pb.gz", std::process::id()));
    let input = super::folder("golden").join("go-cpu.pb.gz");
    let output = Command::new(program()).arg(&out).args([&input, &input]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().next().unwrap().ends_with("of samples in 2 files"), "{text}");

    let once = pprof::decode(&fs::read(&input).unwrap()).unwrap().tree(0).unwrap();
    let merged = pprof::decode(&fs::read(&out).unwrap()).unwrap().tree(0).unwrap();
    fs::remove_file(&out).unwrap();
    assert_eq!(merged.total().unwrap(), 2 * once.total().unwrap());
    assert_eq!(merged.functions().unwrap().len(), once.functions().unwrap().len());
}
