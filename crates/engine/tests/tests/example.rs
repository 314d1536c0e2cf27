//! Runs the example, as a user would.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The example as `cargo test` has built it: `cargo run` would build all that it needs once more, for itself alone.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("sql{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: cargo test builds it, cargo test --test does not",
        program.display()
    );
    program
}

#[test]
fn sql_over_a_folder() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/tests/fixtures/shop");
    let sql = "SELECT region, sum(value) AS bytes FROM series \
               WHERE profile_type = 'memory:inuse_space:bytes:space:bytes' GROUP BY 1";
    let output = Command::new(program()).arg(shop).arg(sql).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "region,bytes");
    assert!(lines.len() == 2 && lines[1].starts_with("eu,"), "{text}");
}
