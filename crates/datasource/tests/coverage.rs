//! The page `docs/seed-coverage.md` names tests, and those are there.

use std::{fs, path::Path};

#[test]
fn tests_that_the_page_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/seed-coverage.md")).unwrap();
    let mut n_named = 0;
    for part in page.split('`') {
        let Some((module, test)) = part.split_once("::") else { continue };
        n_named += 1;
        let krate = if module == "serve" { "cli" } else { "datasource" };
        let file = root.join("crates").join(krate).join("tests").join(format!("{module}.rs"));
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(text.contains(&format!("fn {test}() {{")), "{part} is not in {}", file.display());
    }
    assert!(n_named > 20, "{n_named}");
}
