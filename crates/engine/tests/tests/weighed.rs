//! Sums over some stacks that need no tree: asked of a source that has none to give.

use std::sync::Arc;

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Capabilities, Error, ErrorKind, Grouping, LabelSet, Memory, MetaQuery, Report, Select,
    SeriesAnswer, StackStream, Weigh,
};
use flamesql_engine::{Engine, Session};
use flamesql_profile::{Labels, ProfileType, TimeRange, Timestamp, folded};
use futures::{StreamExt, stream};

use super::relation::{CPU, lines};

#[derive(Debug)]
struct NoTrees(Memory);

#[async_trait]
impl Backend for NoTrees {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.0.profile_types(range).await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.0.label_sets(query).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.0.series(select, grouping, report).await
    }

    fn stacks(&self, _select: Select, _grouping: Grouping, _report: Report) -> StackStream {
        let error = Error::new(ErrorKind::Unsupported, "there are no trees");
        stream::iter([Err(error)]).boxed()
    }

    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        self.0.weighed(select, grouping, weigh, report).await
    }
}

fn session(profiles: &[(&str, &str)]) -> Session {
    let memory = Memory::new();
    for (pod, text) in profiles {
        let cpu = ProfileType::parse(CPU).unwrap();
        let labels: Labels = [("pod", *pod)].into_iter().collect();
        let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(0), 0, &tree).unwrap();
    }
    Engine::builder().source("m", Arc::new(NoTrees(memory))).build().unwrap().session()
}

async fn rows(session: &Session, sql: &str) -> Result<Vec<String>, flamesql_engine::Error> {
    Ok(lines(&session.query(sql).await?.collect().await?, false))
}

#[tokio::test]
async fn sums_of_some_stacks_need_no_trees() {
    let s = session(&[("a", "main;f;g;f 5\nmain;g 2\n"), ("b", "main;f 1\nother 9\n")]);
    for (sql, expected) in [
        ("SELECT pod, sum(total) FROM functions WHERE function = 'f' GROUP BY 1", "a | 5, b | 1"),
        ("SELECT pod, sum(self) FROM functions WHERE function = 'g' GROUP BY 1", "a | 2"),
        // What has no self is there all the same.
        ("SELECT pod, sum(self) FROM functions WHERE function = 'main' GROUP BY 1", "a | 0, b | 0"),
        (
            "SELECT pod, sum(self), sum(total) FROM functions WHERE function IN ('f', 'g', 'main') GROUP BY 1",
            "a | 7 | 19, b | 1 | 2",
        ),
        ("SELECT sum(total) FROM functions WHERE function ~ '^(f|g)$'", "13"),
        ("SELECT sum(total) FROM functions WHERE function = 'nowhere'", "NULL"),
        ("SELECT DISTINCT pod FROM functions WHERE function = 'other'", "b"),
        (
            "SELECT pod, sum(value) FROM samples WHERE stack_contains(stack, 'g') GROUP BY 1",
            "a | 7",
        ),
        (
            "SELECT sum(value) FROM samples WHERE stack_matches(stack, 'main;f;**') AND stack_depth(stack) < 4",
            "1",
        ),
        (
            "SELECT sum(value) FILTER (WHERE pod = 'b') FROM samples WHERE function IN ('f', 'other')",
            "10",
        ),
    ] {
        assert_eq!(rows(&s, sql).await.unwrap().join(", "), expected, "{sql}");
    }
    for sql in [
        "SELECT function, sum(total) FROM functions GROUP BY 1",
        "SELECT pod, sum(value) FROM samples WHERE stack_slice(stack, 1, 1) = ['main'] GROUP BY 1",
        // A cast that fails for some name is judged by the rows that there are.
        "SELECT sum(total) FROM functions WHERE CAST(function AS BIGINT) > 1",
        // Two scans read one answer.
        "SELECT (SELECT sum(value) FROM samples WHERE stack_contains(stack, 'g')), (SELECT sum(value) FROM samples WHERE stack_contains(stack, 'f'))",
    ] {
        assert!(rows(&s, sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn parts_that_cancel_out_need_them() {
    let s = session(&[("a", "main;f 5\nmain;g -5\n"), ("b", "main;f 1\n")]);
    for sql in [
        "SELECT pod, sum(total) FROM functions WHERE function = 'main' GROUP BY 1",
        "SELECT pod, sum(value) FROM samples WHERE stack_contains(stack, 'g') GROUP BY 1",
    ] {
        assert!(rows(&s, sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn sums_that_do_not_fit_are_errors() {
    let max = format!("main;f {}\nmain;g 1\n", i64::MAX - 1);
    let s = session(&[("a", &max), ("b", "main;g 1\n")]);
    let by_pod = "SELECT pod, sum(total) FROM functions WHERE function = 'main' GROUP BY 1";
    assert_eq!(rows(&s, by_pod).await.unwrap(), [format!("a | {}", i64::MAX), "b | 1".to_owned()]);
    for sql in [
        "SELECT sum(total) FROM functions WHERE function = 'main'",
        "SELECT sum(total) FROM functions WHERE function IN ('main', 'g') AND pod = 'a'",
        "SELECT sum(value) FROM samples WHERE stack_contains(stack, 'main')",
    ] {
        let error = rows(&s, sql).await.unwrap_err().to_string();
        assert!(error.contains("no trees") || error.contains("does not fit"), "{sql}: {error}");
    }
    let small = "SELECT sum(total) FROM functions WHERE function = 'g'";
    assert_eq!(rows(&s, small).await.unwrap(), ["2"]);
}
