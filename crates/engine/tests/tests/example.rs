//! Runs the example, as a user would.

use std::{env, path::Path, process::Command};

#[test]
fn sql_over_a_folder() {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/tests/fixtures/shop");
    let sql = "SELECT region, sum(value) AS bytes FROM series \
               WHERE profile_type = 'memory:inuse_space:bytes:space:bytes' GROUP BY 1";
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--example", "sql", "--"])
        .arg(shop)
        .arg(sql)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "region,bytes");
    assert!(lines.len() == 2 && lines[1].starts_with("eu,"), "{text}");
}
