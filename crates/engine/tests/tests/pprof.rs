//! `stack_focus` and its like against numbers of pprof itself: `tests/golden/README.md` says how they were made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use flamesql_backend::Files;
use flamesql_engine::{Engine, Session};

use super::relation::lines;

struct Case {
    profile: String,
    sample_type: String,
    unit: String,
    /// The stack as pprof leaves it.
    stack: String,
    /// Flat and cum.
    rows: BTreeMap<String, (i64, i64)>,
}

fn case(text: &str) -> Case {
    let mut case = Case {
        profile: String::new(),
        sample_type: String::new(),
        unit: String::new(),
        stack: "stack".to_owned(),
        rows: BTreeMap::new(),
    };
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    for line in lines.by_ref() {
        match line.as_slice() {
            ["profile", name] => case.profile = (*name).to_owned(),
            ["type", kind, unit] => {
                (case.sample_type, case.unit) = ((*kind).to_owned(), (*unit).to_owned());
            }
            ["function", ..] => break,
            [option, regex] => {
                case.stack = format!("stack_{option}({}, '{regex}')", case.stack);
            }
            line => panic!("{line:?}"),
        }
    }
    for line in lines {
        let [name, flat, cum] = line.as_slice() else { panic!("{line:?}") };
        case.rows.insert((*name).to_owned(), (flat.parse().unwrap(), cum.parse().unwrap()));
    }
    case
}

fn session(case: &Case) -> Session {
    let profile =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/golden").join(&case.profile);
    let files = Files::open(profile).unwrap();
    Engine::builder().source("file", Arc::new(files)).build().unwrap().session()
}

async fn rows(session: &Session, sql: &str) -> BTreeMap<String, (i64, i64)> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap(), false)
        .into_iter()
        .map(|line| {
            let (name, numbers) = line.split_once(" | ").unwrap();
            let (flat, cum) = numbers.split_once(" | ").unwrap();
            (name.to_owned(), (flat.parse().unwrap(), cum.parse().unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn stacks_are_left_as_pprof_leaves_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "tsv"));
    assert_eq!(files.len(), 20);
    for path in files {
        let case = case(&fs::read_to_string(&path).unwrap());
        let session = session(&case);
        let Case { stack, sample_type, unit, .. } = &case;
        // A name with ` | ` in it would be misread; no profile here has one.
        let sql = format!(
            "SELECT name, sum(CASE WHEN name = leaf THEN value ELSE 0 END), sum(value) FROM (\
               SELECT unnest(array_distinct(s)) AS name, s[-1] AS leaf, value FROM (\
                 SELECT {stack} AS s, value FROM samples WHERE profile_type LIKE '%:{sample_type}:{unit}:%'))\
             GROUP BY name"
        );
        assert_eq!(rows(&session, &sql).await, case.rows, "{}: {sql}", path.display());
    }
}
