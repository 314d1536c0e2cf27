//! Runs the example, as a user would.

use std::{env, fs, process::Command};

use flamesql_profile::pprof;

#[test]
fn merging_two_files_adds_them_up() {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let out = env::temp_dir().join(format!("merged-{}.pb.gz", std::process::id()));
    let input = super::folder("golden").join("go-cpu.pb.gz");
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--example", "merge_profiles", "--"])
        .arg(&out)
        .args([&input, &input])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().next().unwrap().ends_with("of samples in 2 files"), "{text}");

    let once = pprof::decode(&fs::read(&input).unwrap()).unwrap().tree(0).unwrap();
    let merged = pprof::decode(&fs::read(&out).unwrap()).unwrap().tree(0).unwrap();
    fs::remove_file(&out).unwrap();
    assert_eq!(merged.total().unwrap(), 2 * once.total().unwrap());
    assert_eq!(merged.functions().unwrap().len(), once.functions().unwrap().len());
}
