//! Catalogue tables at a source that has all of them: what is asked for, what comes of it, and what is said of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flamesql_backend::{
    Annotation, Backend, Capabilities, Error, ErrorKind, Exemplar, Grouping, HeatmapCell, LabelSet,
    Memory, MetaQuery, Notice, ProfileRow, Report, Select, SeriesAnswer, StackStream,
};
use flamesql_engine::{Engine, ErrorKind as EngineErrorKind, Session, TypeChoice};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp, folded};

use super::relation::{CPU, HEAP, lines};

/// 2024-01-01T00:00:00Z.
const MIDNIGHT: i64 = 1_704_067_200;

/// Profiles in memory with the manners of a server, which writes down what it is asked.
#[derive(Debug)]
struct Fake {
    memory: Memory,
    /// The type for which it has no exemplars.
    refuses: Option<&'static str>,
    /// Whether it says that some are missing.
    is_torn: bool,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn new(capabilities: Capabilities) -> Self {
        let memory = Memory::new();
        for (profile_type, pod, seconds, text) in [
            (CPU, "a", 0, "main 4"),
            (CPU, "a", 30, "main 5"),
            (CPU, "b", 90, "main 6"),
            (HEAP, "a", 30, "main 100"),
        ] {
            let labels: Labels = [("pod", pod)].into_iter().collect();
            let time = Timestamp::from_nanos((MIDNIGHT + seconds) * 1_000_000_000);
            let tree = folded::decode(text.as_bytes()).unwrap().into_tree();
            let profile_type = ProfileType::parse(profile_type).unwrap();
            memory.insert(&profile_type, &labels, time, 0, &tree).unwrap();
        }
        Self {
            memory: memory.with_capabilities(capabilities),
            refuses: None,
            is_torn: false,
            asked: Mutex::default(),
        }
    }

    fn note(&self, what: &str, range: TimeRange) {
        let side = |at: Timestamp| match at {
            Timestamp::MIN | Timestamp::MAX => "..".to_owned(),
            at => at.to_string()[8..19].to_owned(),
        };
        let range = format!("{} to {}", side(range.start()), side(range.end()));
        self.asked.lock().unwrap().push(format!("{what} {range}"));
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn listed(
        &self,
        what: &str,
        select: &Select,
        report: &Report,
    ) -> Result<Vec<ProfileRow>, Error> {
        self.note(&format!("{what} {}", select.profile_type.name()), select.range);
        report.add_requests(1);
        if self.refuses.is_some_and(|refused| refused == select.profile_type.as_str()) {
            let what = format!("list {what} of {}: not kept", select.profile_type);
            return Err(Error::new(ErrorKind::Unsupported, what).with_hint("keep them"));
        }
        if self.is_torn {
            let (subject, reason) = (select.profile_type.to_string(), "3 of 7 missing".to_owned());
            report.add_notice(Notice { subject, reason, is_missing: true });
        }
        self.memory.profiles(select, report).await
    }
}

#[async_trait]
impl Backend for Fake {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.memory.profile_types(range).await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.note("labels", query.range);
        self.memory.label_sets(query).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.memory.series(select, grouping, report).await
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        self.memory.stacks(select, grouping, report)
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        self.listed("profiles", select, report).await
    }

    async fn exemplars(&self, select: &Select, report: &Report) -> Result<Vec<Exemplar>, Error> {
        let rows = self.listed("exemplars", select, report).await?.into_iter();
        Ok(rows
            .map(|row| Exemplar {
                time: row.time,
                labels: row.labels,
                profile_id: Some(row.id),
                span_id: None,
                trace_id: (row.value == 5).then(|| "ab".repeat(16)),
                value: row.value,
            })
            .collect())
    }

    async fn heatmap(
        &self,
        select: &Select,
        step: Step,
        report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        let rows = self.listed(&format!("heatmap by {step}"), select, report).await?.into_iter();
        Ok(rows
            .map(|row| HeatmapCell {
                time: row.time.floor(step, select.range.start()),
                labels: row.labels,
                value_min: row.value as f64 - 0.5,
                count: 1,
            })
            .collect())
    }

    async fn annotations(
        &self,
        select: &Select,
        report: &Report,
    ) -> Result<Vec<Annotation>, Error> {
        let rows = self.listed("annotations", select, report).await?.into_iter();
        Ok(rows
            .map(|row| Annotation {
                time: row.time,
                labels: row.labels,
                key: "note".to_owned(),
                value: format!("of {}", row.id),
            })
            .collect())
    }
}

fn session(fake: &Arc<Fake>) -> Session {
    let backend = Arc::clone(fake) as Arc<dyn Backend>;
    Engine::builder().source("m", backend).build().unwrap().session()
}

fn local() -> Arc<Fake> {
    Arc::new(Fake::new(Capabilities::local("fake")))
}

/// A server that has only the last hour where nobody says, and takes three days at most.
fn endless() -> Arc<Fake> {
    let three_days = Step::from_nanos(3 * 86_400_000_000_000).unwrap();
    Arc::new(Fake::new(Capabilities::local("fake").endless().with_max_range(three_days)))
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")), true)
}

async fn error(session: &Session, sql: &str) -> flamesql_engine::Error {
    match session.query(sql).await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err(sql),
    }
}

const DAY: &str = "time >= TIMESTAMP '2024-01-01' AND time < TIMESTAMP '2024-01-02'";

#[tokio::test]
async fn each_table_is_filled() {
    let s = session(&local());
    let sql = "SELECT time, split_part(profile_type, ':', 1), labels, pod, profile_id, span_id, trace_id, value FROM exemplars";
    let trace = "ab".repeat(16);
    assert_eq!(
        rows(&s, sql).await,
        [
            "2024-01-01T00:00:00 | process_cpu | {pod: a} | a | 0 | NULL | NULL | 4".to_owned(),
            "2024-01-01T00:00:30 | memory | {pod: a} | a | 3 | NULL | NULL | 100".to_owned(),
            format!("2024-01-01T00:00:30 | process_cpu | {{pod: a}} | a | 1 | NULL | {trace} | 5"),
            "2024-01-01T00:01:30 | process_cpu | {pod: b} | b | 2 | NULL | NULL | 6".to_owned(),
        ]
    );
    let sql = "SELECT pod, key, value FROM annotations WHERE value <> 'of 1'";
    assert_eq!(rows(&s, sql).await, ["a | note | of 0", "a | note | of 3", "b | note | of 2"]);
    // Of two minutes a picture has columns of a second.
    let sql = "SELECT time, pod, value_min, count FROM heatmap WHERE profile_type LIKE 'process%' AND \
               time >= TIMESTAMP '2024-01-01T00:00:00.5' AND time < TIMESTAMP '2024-01-01T00:02:00'";
    assert_eq!(
        rows(&s, sql).await,
        ["2024-01-01T00:00:29.500 | a | 4.5 | 1", "2024-01-01T00:01:29.500 | b | 5.5 | 1"]
    );
    assert_eq!(rows(&s, "SELECT count(*) FROM heatmap").await, ["4"]);
    assert_eq!(rows(&s, "SELECT value FROM exemplars LIMIT 2").await.len(), 2);
}

#[tokio::test]
async fn conditions_narrow_what_is_asked_and_change_no_answer() {
    let fake = local();
    let s = session(&fake);
    let cpu = format!("profile_type = '{CPU}'");
    for (condition, asked) in [
        ("pod = 'a'", vec!["memory .. to ..", "process_cpu .. to .."]),
        (cpu.as_str(), vec!["process_cpu .. to .."]),
        ("profile_type LIKE 'mem%' AND pod = 'a'", vec!["memory .. to .."]),
        ("profile_type = 'nosuch'", vec![]),
        (
            "time > TIMESTAMP '2024-01-01T00:00:29' AND profile_type LIKE 'process%'",
            vec!["process_cpu 01T00:00:29 to .."],
        ),
        (
            "profile_type LIKE 'process%' AND (time < TIMESTAMP '2024-01-01T00:00:20' OR time >= TIMESTAMP '2024-01-01T00:01:00')",
            vec!["process_cpu .. to 01T00:00:20", "process_cpu 01T00:01:00 to .."],
        ),
        ("time = TIMESTAMP '2024-01-01' AND time > TIMESTAMP '2024-01-02'", vec![]),
        // What is not about one thing alone is judged above, as everything is.
        (
            "time > TIMESTAMP '2024-01-01' OR pod = 'b'",
            vec!["memory .. to ..", "process_cpu .. to .."],
        ),
        ("date_part('second', time) = 30", vec!["memory .. to ..", "process_cpu .. to .."]),
    ] {
        for table in ["profiles", "exemplars", "annotations"] {
            let id = match table {
                "profiles" => "id",
                "exemplars" => "profile_id",
                _ => "value",
            };
            let columns = format!("SELECT {id}, pod, time, profile_type FROM");
            fake.asked();
            let narrow = rows(&s, &format!("{columns} {table} WHERE {condition}")).await;
            let seen: Vec<String> =
                fake.asked().into_iter().filter(|asked| !asked.starts_with("labels")).collect();
            let expected: Vec<String> =
                asked.iter().map(|asked| format!("{table} {asked}")).collect();
            assert_eq!(seen, expected, "{table} {condition}");
            // A limit keeps conditions above it.
            let sql = format!("{columns} (SELECT * FROM {table} LIMIT 1000) WHERE {condition}");
            assert_eq!(narrow, rows(&s, &sql).await, "{table} {condition}");
        }
    }
}

#[tokio::test]
async fn the_session_names_a_type() {
    let fake = local();
    let s = session(&fake);
    let sql = "SELECT profile_id FROM exemplars";
    rows(&s, "SET flamesql.profile_type = 'inuse_space'; SELECT 1").await;
    assert_eq!(rows(&s, sql).await, ["3"]);
    let answer = s.query(sql).await.unwrap();
    let facts = &answer.facts()[0];
    assert_eq!((facts.table.as_str(), facts.type_choice), ("exemplars", TypeChoice::Session));
    assert_eq!(facts.profile_types[0].as_str(), HEAP);
    // What the statement says stands against it.
    let named = format!("{sql} WHERE profile_type = '{CPU}' AND value = 4");
    assert_eq!(rows(&s, &named).await, ["0"]);
    let e = error(&s, &format!("SET flamesql.profile_type = 'wall'; {sql}")).await;
    assert!(e.to_string().contains("there is no profile type \"wall\""), "{e}");
}

#[tokio::test]
async fn a_type_without_an_answer_is_an_error() {
    let mut fake = Fake::new(Capabilities::local("fake"));
    fake.refuses = Some(HEAP);
    let s = session(&Arc::new(fake));
    let e = error(&s, "SELECT count(*) FROM exemplars").await;
    assert_eq!(e.kind(), EngineErrorKind::Query);
    let text = format!("m.exemplars of a fake source: list exemplars of {HEAP}: not kept");
    assert_eq!((e.to_string(), e.hint()), (text, Some("keep them")));
    let other = "SELECT count(*) FROM exemplars WHERE profile_type LIKE 'process%'";
    assert_eq!(rows(&s, other).await, ["3"]);
    let e = error(&s, "SET flamesql.max_requests = 1; SELECT * FROM annotations").await;
    assert!(e.to_string().starts_with("m.annotations would need 2 requests"), "{e}");
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let mut fake = Fake::new(Capabilities::local("fake"));
    fake.is_torn = true;
    let s = session(&Arc::new(fake));
    // However little of it is looked at.
    let sql = "SELECT sum(s.value), count(DISTINCT e.profile_id) FROM exemplars e JOIN series s ON e.time = s.time \
               WHERE s.profile_type LIKE 'process%'";
    let answer = s.query(sql).await.unwrap();
    let facts = answer.facts().to_vec();
    let tables: Vec<&str> = facts.iter().map(|facts| facts.table.as_str()).collect();
    assert_eq!(tables, ["series", "exemplars"]);
    let unit = answer.schema().field(0).metadata().get("unit").cloned();
    assert_eq!(unit.as_deref(), Some("nanoseconds"));
    assert_eq!(lines(&answer.collect().await.unwrap(), true), ["20 | 4"]);
    let (exemplars, series) = (&facts[1], &facts[0]);
    assert_eq!((exemplars.type_choice, exemplars.n_requests), (TypeChoice::All, Some(2)));
    assert_eq!(exemplars.report.requests(), 2);
    assert!(series.report.is_complete() && !exemplars.report.is_complete());
    let notices: Vec<String> = exemplars.report.notices().iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [format!("skipped {HEAP}: 3 of 7 missing"), format!("skipped {CPU}: 3 of 7 missing")]
    );
    let e = error(&s, &format!("SET flamesql.strict = true; {sql}")).await;
    assert_eq!(e.kind(), EngineErrorKind::Partial);
    assert_eq!(e.to_string(), format!("skipped {HEAP}: 3 of 7 missing; and 1 more"));
    // Names of all of time go without saying.
    assert!(s.query("SELECT * FROM labels").await.unwrap().facts().is_empty());
}

#[tokio::test]
async fn a_server_is_asked_for_a_bounded_range() {
    let fake = endless();
    let s = session(&fake);
    assert_eq!(rows(&s, "SELECT count(*) FROM profiles").await, ["0"], "nothing in the last hour");
    let named = format!("SELECT count(*) FROM profiles WHERE {DAY}");
    assert_eq!(rows(&s, &named).await, ["4"]);
    // As long before a named end as the last hour is before now.
    fake.asked();
    let until = "SELECT count(*) FROM annotations WHERE time < TIMESTAMP '2024-01-01T00:01:00' AND profile_type LIKE 'process%'";
    assert_eq!(rows(&s, until).await, ["2"]);
    let asked = fake.asked();
    assert_eq!(asked.last().unwrap(), "annotations process_cpu 31T23:01:00 to 01T00:01:00");
    let e = error(&s, "SELECT * FROM exemplars WHERE date_part('hour', time) = 0").await;
    assert!(e.to_string().contains("gives no bound"), "{e}");
    rows(&s, "SET flamesql.from = '2024-01-01'; SET flamesql.to = '2024-01-02'; SELECT 1").await;
    let hour = "SELECT count(*) FROM exemplars WHERE date_part('hour', time) = 0";
    assert_eq!(rows(&s, hour).await, ["4"]);
    let answer = s.query("SELECT * FROM labels").await.unwrap();
    assert!(answer.facts()[0].is_range_chosen);
}

#[tokio::test]
async fn labels_are_those_of_the_time_that_a_statement_speaks_of() {
    let fake = endless();
    let s = session(&fake);
    let sql = format!(
        "SELECT pod, sum(value) FROM series WHERE profile_type = '{CPU}' AND {DAY} GROUP BY pod ORDER BY pod"
    );
    assert_eq!(rows(&s, &sql).await, ["a | 9", "b | 6"]);
    let all = format!(
        "SELECT * FROM series WHERE profile_type = '{CPU}' AND time = TIMESTAMP '2024-01-01'"
    );
    assert_eq!(
        s.query(&all).await.unwrap().schema().fields().len(),
        5,
        "pod is one of the columns"
    );
    let labels: Vec<String> =
        fake.asked().into_iter().filter(|asked| asked.starts_with("labels")).collect();
    assert_eq!(labels[0], "labels 01T00:00:00 to 02T00:00:01");
    assert!(labels.contains(&"labels 31T00:00:00 to 02T00:00:00".to_owned()), "{labels:?}");
    assert!(!labels.iter().any(|asked| asked.contains("..")), "{labels:?}");
    // What the session says is where columns are looked for; a name that it lacks is looked for in the statement's time.
    let s = session(&fake);
    rows(&s, "SET flamesql.from = '2023-06-03'; SET flamesql.to = '2023-06-04'; SELECT 1").await;
    assert_eq!(s.query(&all).await.unwrap().schema().fields().len(), 4);
    fake.asked();
    assert_eq!(rows(&s, &sql).await, ["a | 9", "b | 6"]);
    assert_eq!(fake.asked()[0], "labels 01T00:00:00 to 02T00:00:01");
    // Elsewhere there is still the map.
    let s = session(&endless());
    let map = "SELECT sum(value) FROM series WHERE labels['pod'] = 'b' AND time > now() - INTERVAL '1 hour'";
    assert_eq!(rows(&s, map).await, ["NULL"]);
    assert!(error(&s, "SELECT pod FROM series").await.to_string().contains("pod"));
}

#[tokio::test]
async fn columns_say_what_they_are() {
    let s = session(&local());
    for table in
        ["profile_types", "labels", "label_sets", "profiles", "exemplars", "heatmap", "annotations"]
    {
        let answer = s.query(&format!("SELECT * FROM {table} LIMIT 0")).await.unwrap();
        for field in answer.schema().fields() {
            let comment = field.metadata().get("comment").map_or("", String::as_str);
            assert!(comment.len() > 8, "{table}.{}: {comment:?}", field.name());
        }
    }
    let answer = s.query("SELECT duration AS d FROM profiles").await.unwrap();
    assert_eq!(answer.schema().field(0).metadata()["unit"], "nanoseconds");
}

#[tokio::test]
async fn rows_come_in_batches_of_bounded_size() {
    let cpu = ProfileType::parse(CPU).unwrap();
    let tree = folded::decode(b"main 1").unwrap().into_tree();
    let memory = Memory::new();
    // 60 MB of text, and the labels of each row twice.
    for n in 0..600 {
        let labels: Labels = [("note", format!("{n:06}").repeat(16_667))].into_iter().collect();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(n), 0, &tree).unwrap();
    }
    for n in 600..20_000 {
        let labels: Labels = [("note", n.to_string())].into_iter().collect();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(n), 0, &tree).unwrap();
    }
    let s = Engine::builder().source("m", Arc::new(memory)).build().unwrap().session();
    for table in ["labels", "label_sets", "profiles"] {
        let answer = s.query(&format!("SELECT * FROM {table}")).await.unwrap();
        let batches = answer.collect().await.unwrap();
        assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 20_000, "{table}");
        assert!(batches.len() >= 4, "{table}");
        for batch in batches {
            assert!(batch.num_rows() <= 8192, "{table}");
            assert!(batch.get_array_memory_size() < 100 << 20, "{table}");
        }
    }
    let ordered = "SELECT right(note, 5) FROM profiles ORDER BY time DESC LIMIT 2";
    assert_eq!(rows(&s, ordered).await, ["19999", "19998"]);
    for n in [0, 1, 8192, 8193, 30_000] {
        let limited = rows(&s, &format!("SELECT id FROM profiles LIMIT {n}")).await;
        assert_eq!(limited.len(), n.min(20_000));
    }
}

#[tokio::test]
async fn a_limit_stops_asking() {
    let fake = local();
    let s = session(&fake);
    assert_eq!(rows(&s, "SELECT profile_type FROM exemplars LIMIT 1").await.len(), 1);
    assert_eq!(fake.asked().iter().filter(|asked| asked.starts_with("exemplars")).count(), 1);
    assert_eq!(rows(&s, "SELECT profile_type FROM exemplars LIMIT 4").await.len(), 4);
    assert_eq!(fake.asked().iter().filter(|asked| asked.starts_with("exemplars")).count(), 2);
}
