//! `stack_focus` and its like, callers, callees and differences against numbers of pprof itself: `tests/golden/README.md` and
//! `crates/profile/tests/golden/README.md` say how they were made.

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

/// The whole id of a type.
async fn type_id(session: &Session, kind: &str, unit: &str) -> String {
    let sql = format!(
        "SELECT profile_type FROM profile_types WHERE sample_type = '{kind}' AND sample_unit = '{unit}'"
    );
    let ids = lines(&session.query(&sql).await.unwrap().collect().await.unwrap(), true);
    assert_eq!(ids.len(), 1, "{sql}");
    ids[0].clone()
}

/// pprof leaves out where a function calls itself.
#[tokio::test]
async fn callers_and_callees_are_those_of_peek() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peek");
    let (mut n_files, mut n_functions) = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let head = [rows.next().unwrap(), rows.next().unwrap()].concat();
        let ["profile", profile, "type", kind, unit] = head.as_slice() else { panic!("{head:?}") };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/golden");
        let files = Files::open(golden.join(profile)).unwrap();
        let session = Engine::builder().source("file", Arc::new(files)).build().unwrap().session();
        let id = type_id(&session, kind, unit).await;
        let mut peeked: BTreeMap<&str, BTreeMap<(&str, &str), i64>> = BTreeMap::new();
        for row in rows {
            let [function, side, name, value] = row.as_slice() else { panic!("{row:?}") };
            let of_function = peeked.entry(function).or_default();
            of_function.insert((side, name), value.parse().unwrap());
        }
        for (function, expected) in peeked {
            let sql = format!(
                "SET flamesql.profile_type = '{id}'; \
                 SELECT 'caller', * FROM callers_of('{function}') WHERE function <> '{function}' UNION ALL \
                 SELECT 'callee', * FROM callees_of('{function}') WHERE function <> '{function}' ORDER BY 1, 2"
            );
            let answer = session.query(&sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
            let found = lines(&answer.collect().await.unwrap(), true);
            let mut expected: Vec<String> = expected
                .iter()
                .map(|((side, name), value)| format!("{side} | {name} | {value}"))
                .collect();
            expected.sort();
            let mut sorted = found.clone();
            sorted.sort();
            assert_eq!(sorted, expected, "{}: {function}", path.display());
            n_functions += 1;
        }
        n_files += 1;
    }
    assert_eq!((n_files, n_functions), (8, 23));
}

/// One pass over both, and both in one flame graph, give pprof's difference.
#[tokio::test]
async fn differences_are_those_of_diff_base() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profile/tests/golden");
    for name in ["go-cpu", "go-heap"] {
        let folder = tempfile::tempdir().unwrap();
        for (side, file) in
            [("base", format!("diff/{name}.base.pb.gz")), ("new", format!("{name}.pb.gz"))]
        {
            let of_side = folder.path().join(format!("side={side}"));
            fs::create_dir(&of_side).unwrap();
            fs::copy(golden.join(file), of_side.join("profile.pb.gz")).unwrap();
        }
        let files = Files::open(folder.path()).unwrap();
        let session = Engine::builder().source("files", Arc::new(files)).build().unwrap().session();
        let text = fs::read_to_string(golden.join(format!("diff/{name}.tsv"))).unwrap();
        let mut expected: BTreeMap<&str, BTreeMap<String, (i64, i64)>> = BTreeMap::new();
        for line in text.lines() {
            let [kind, flat, cum, function] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let numbers: (i64, i64) = (flat.parse().unwrap(), cum.parse().unwrap());
            let of_kind = expected.entry(kind).or_default();
            // A function that cancels out has a row in some tables of pprof's.
            if numbers != (0, 0) {
                of_kind.insert(function.to_owned(), numbers);
            }
        }
        for (kind, expected) in expected {
            let which = format!("WHERE profile_type LIKE '%:{kind}:%:%:%'");
            let diff = |measure: &str| {
                format!(
                    "coalesce(sum({measure}) FILTER (WHERE side = 'new'), 0) - \
                     coalesce(sum({measure}) FILTER (WHERE side = 'base'), 0)"
                )
            };
            let (flat, cum) = (diff("self"), diff("total"));
            let one_pass = format!(
                "SELECT function, {flat}, {cum} FROM functions {which} GROUP BY function HAVING {flat} <> 0 OR {cum} <> 0"
            );
            assert_eq!(rows(&session, &one_pass).await, expected, "{name} {kind}");
            // Of the flame graph what the functions did themselves: in all their rows together.
            let graph = format!(
                "SELECT label, sum(comparison_self) - sum(baseline_self), 0 FROM (\
                   SELECT unnest(unnest(flamegraph_diff(stack, CASE WHEN side = 'base' THEN value END, \
                                                        CASE WHEN side = 'new' THEN value END))) FROM samples {which}\
                 ) AS f(level, baseline, baseline_self, comparison, comparison_self, label) \
                 WHERE level > 0 GROUP BY label HAVING sum(comparison_self) <> sum(baseline_self)"
            );
            let flat: BTreeMap<String, (i64, i64)> = expected
                .into_iter()
                .filter(|(_, (flat, _))| *flat != 0)
                .map(|(function, (flat, _))| (function, (flat, 0)))
                .collect();
            assert_eq!(rows(&session, &graph).await, flat, "{name} {kind}");
        }
    }
}
