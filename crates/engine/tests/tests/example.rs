//! Runs the examples, as a user would.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// An example as `cargo test` has built it: `cargo run` would build all that it needs once more, for itself alone.
fn program(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing: cargo test builds it, cargo test --test does not",
        program.display()
    );
    program
}

/// What an example prints that is given the folder of profiles and these arguments.
fn run(name: &str, args: &[&str]) -> String {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/tests/fixtures/shop");
    let output = Command::new(program(name)).arg(shop).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sql_over_a_folder() {
    let sql = "SELECT region, sum(value) AS bytes FROM series \
               WHERE profile_type = 'memory:inuse_space:bytes:space:bytes' GROUP BY 1";
    let text = run("sql", &[sql]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "region,bytes");
    assert!(lines.len() == 2 && lines[1].starts_with("eu,"), "{text}");
}

#[test]
fn profiles_beside_the_tables_of_a_program() {
    let text = run("install", &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "team,service_name,cpu");
    assert!(lines.len() > 2 && lines[1].starts_with("blue,checkout,"), "{text}");
    assert!(lines[1..].iter().all(|line| !line.starts_with("green")), "{text}");
}

#[test]
fn times_of_warm_questions() {
    let sql = "SELECT n FROM (VALUES (1), (2)) AS t (n) ORDER BY n";
    let text = run("warm", &["2", sql, sql]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        let (times, rows) = line.strip_prefix(r#"{"ms":["#).unwrap().split_once("],").unwrap();
        let times: Vec<f64> = times.split(',').map(|ms| ms.parse().unwrap()).collect();
        assert_eq!(times.len(), 3);
        assert_eq!(rows, r#""rows":[{"n":1},{"n":2}]}"#);
    }
}
