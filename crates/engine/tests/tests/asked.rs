//! How much a source is asked: by a source that counts, behind slices, and with labels of many values.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use flamesql_backend::{
    Backend, Capabilities, Error, Grouping, LabelSet, Memory, MetaQuery, Question, Report, Select,
    SeriesAnswer, Split, StackStream,
};
use flamesql_engine::{Engine, ErrorKind, Session};
use flamesql_profile::{Labels, ProfileType, Step, TimeRange, Timestamp, folded};

use super::relation::{CPU, lines};

const DAY: i64 = 86_400_000_000_000;

/// Counts what it is asked. Stacks are two requests each, as at a server that has to be asked for what lies on the end.
#[derive(Debug)]
struct Counting {
    memory: Memory,
    counts: Arc<Counts>,
    /// Whether it lists its types; a server that has the newest in its lists has none of older ones.
    lists_types: bool,
}

#[derive(Debug, Default)]
struct Counts {
    types: AtomicUsize,
    names: AtomicUsize,
    values: AtomicUsize,
    data: AtomicUsize,
    selectors: Mutex<Vec<String>>,
}

impl Counts {
    /// Types, names and data so far; then it begins anew.
    fn take(&self) -> (usize, usize, usize) {
        (self.types.swap(0, Relaxed), self.names.swap(0, Relaxed), self.data.swap(0, Relaxed))
    }

    fn selectors(&self) -> Vec<String> {
        std::mem::take(&mut self.selectors.lock().unwrap())
    }

    fn note(&self, select: &Select, n: usize, report: &Report) {
        self.data.fetch_add(n, Relaxed);
        report.add_requests(n as u64);
        self.selectors.lock().unwrap().push(select.selector.to_string());
    }
}

#[async_trait]
impl Backend for Counting {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn n_requests(&self, question: Question, _range: TimeRange) -> u64 {
        if matches!(question, Question::Stacks(_)) { 2 } else { 1 }
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.counts.types.fetch_add(1, Relaxed);
        match self.lists_types {
            true => self.memory.profile_types(range).await,
            false => Ok(Vec::new()),
        }
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.memory.label_sets(query).await
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        self.counts.names.fetch_add(1, Relaxed);
        self.memory.label_names(query).await
    }

    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        self.counts.values.fetch_add(1, Relaxed);
        self.memory.label_values(name, query).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.counts.note(select, 1, report);
        self.memory.series(select, grouping, &Report::new()).await
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        self.counts.note(&select, 2, &report);
        self.memory.stacks(select, grouping, Report::new())
    }
}

/// Two profiles, of two pods, on the first and the fifth of ten days; a day at a time.
fn ten_days(one_by_one: bool) -> (Session, Arc<Counts>) {
    let capabilities = Capabilities::local("counting").endless();
    let capabilities = capabilities.with_max_range(Step::from_nanos(DAY).unwrap());
    let capabilities = if one_by_one { capabilities.without_groups() } else { capabilities };
    let memory = Memory::new().with_capabilities(capabilities);
    for (pod, day) in [("a", 0), ("b", 4)] {
        let labels: Labels = [("pod", pod)].into_iter().collect();
        let time = Timestamp::from_nanos(day * DAY + 1);
        let tree = folded::decode(b"main;work 1\nmain 2\n").unwrap().into_tree();
        memory.insert(&ProfileType::parse(CPU).unwrap(), &labels, time, 0, &tree).unwrap();
    }
    let counts = Arc::new(Counts::default());
    let source = Counting { memory, counts: Arc::clone(&counts), lists_types: true };
    let split = Split::new(Arc::new(source));
    let engine = Engine::builder().source("m", Arc::new(split)).build().unwrap();
    (engine.session(), counts)
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let answer = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
    lines(&answer.collect().await.unwrap_or_else(|e| panic!("{sql}\n{e}")), true)
}

const TEN_DAYS: &str = "time >= TIMESTAMP '1970-01-01' AND time < TIMESTAMP '1970-01-11'";

#[tokio::test]
async fn slices_and_borders_are_counted_as_requests() {
    for (one_by_one, sql, expected, n) in [
        (false, "SELECT function, sum(self) FROM functions WHERE {} GROUP BY 1", "20", 20),
        (true, "SELECT function, sum(self) FROM functions WHERE {} GROUP BY 1", "20", 20),
        (false, "SELECT sum(value) FROM series WHERE {}", "10", 10),
        // Whole weeks do not fit into a day; days do.
        (
            true,
            "SELECT date_bin(INTERVAL '1 day', time), sum(value) FROM series WHERE {} GROUP BY 1",
            "10",
            10,
        ),
        // Ten to find two pods, then twenty for each.
        (true, "SELECT pod, function, sum(self) FROM functions WHERE {} GROUP BY 1, 2", "50", 50),
        // Each bin is within one day.
        (
            true,
            "SELECT date_bin(INTERVAL '1 hour', time), function, sum(self) FROM functions WHERE {} GROUP BY 1, 2",
            "14",
            14,
        ),
    ] {
        let (session, counts) = ten_days(one_by_one);
        let sql = sql.replace("{}", TEN_DAYS);
        let explained = rows(&session, &format!("EXPLAIN FORMAT INDENT {sql}")).await.join("\n");
        assert!(explained.contains(&format!(" requests={expected};")), "{sql}\n{explained}");
        counts.take();

        let answer = session.query(&sql).await.unwrap();
        let report = answer.facts()[0].report.clone();
        assert!(!answer.collect().await.unwrap().is_empty(), "{sql}");
        assert_eq!((counts.take().2, report.requests()), (n, n as u64), "{sql}");

        // One fewer than needed is none.
        let guarded = format!("SET flamesql.max_requests = {}; {sql}", n - 1);
        let e = match session.query(&guarded).await {
            Err(e) => e,
            Ok(answer) => answer.collect().await.unwrap_err(),
        };
        assert_eq!(e.kind(), ErrorKind::Query);
        assert!(e.to_string().contains(&format!("would need {n} requests")), "{sql}: {e}");
        assert!(counts.take().2 <= 10, "{sql}");
        let allowed = format!("SET flamesql.max_requests = {n}; {sql}");
        assert!(!rows(&session, &allowed).await.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn names_are_asked_for_where_they_are_needed() {
    for (one_by_one, sql, explained, run) in [
        // For the columns, up to a second after the times that the statement names.
        (false, "SELECT function, sum(self) FROM functions WHERE {} GROUP BY 1", 11, 11),
        (true, "SELECT pod, function, sum(self) FROM functions WHERE {} GROUP BY 1, 2", 11, 11),
        // Whole label sets are told from larger ones by what they lack, once they are asked for.
        (true, "SELECT labels, function, sum(self) FROM functions WHERE {} GROUP BY 1, 2", 11, 21),
        (true, "SELECT * FROM functions WHERE {}", 11, 21),
        (false, "SELECT labels, function, sum(self) FROM functions WHERE {} GROUP BY 1, 2", 11, 11),
    ] {
        let sql = sql.replace("{}", TEN_DAYS);
        let (session, counts) = ten_days(one_by_one);
        rows(&session, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
        let (types, names, _) = counts.take();
        assert_eq!((types, names), (10, explained), "EXPLAIN {sql}");

        let (session, counts) = ten_days(one_by_one);
        rows(&session, &sql).await;
        let (types, names, _) = counts.take();
        assert_eq!((types, names), (10, run), "{sql}");
    }
}

/// One profile for each of so many pods, of which each third has no `inst`.
fn many(n: i64, is_finite: bool) -> (Session, Arc<Counts>) {
    let capabilities = Capabilities::local("counting");
    let capabilities = if is_finite { capabilities } else { capabilities.endless() };
    let memory = Memory::new().with_capabilities(capabilities);
    let cpu = ProfileType::parse(CPU).unwrap();
    let tree = folded::decode(b"main 1\n").unwrap().into_tree();
    for i in 0..n {
        let (pod, inst, zone) = (format!("pod-{i}"), format!("i{}", i % 5000), format!("z.{i}"));
        let mut labels = vec![("pod", pod.as_str()), ("zone", zone.as_str())];
        if i % 3 > 0 {
            labels.push(("inst", inst.as_str()));
        }
        let labels: Labels = labels.into_iter().collect();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(i), 0, &tree).unwrap();
    }
    let counts = Arc::new(Counts::default());
    let source = Counting { memory, counts: Arc::clone(&counts), lists_types: true };
    let engine = Engine::builder().source("m", Arc::new(source)).build().unwrap();
    (engine.session(), counts)
}

#[tokio::test]
async fn labels_of_many_values_make_few_requests() {
    const N: i64 = 70_000;
    let with_inst = (0..N).filter(|i| i % 3 > 0).count() as i64;
    let seventh = (0..N).filter(|i| i % 3 > 0 && i % 5000 == 7).count() as i64;
    for is_finite in [true, false] {
        let (session, counts) = many(N, is_finite);
        for (condition, sum, selectors, longest) in [
            ("pod <> 'pod-1'", N - 1, 1, 40),
            ("pod NOT IN ('pod-1', 'pod-2', 'nothing')", N - 2, 1, 60),
            // A missing label fulfils neither.
            ("inst <> 'i7'", with_inst - seventh, 1, 40),
            (
                "pod <> 'pod-1' AND inst <> 'i7' AND zone <> 'z.2' AND zone <> 'z.3'",
                with_inst - seventh - 2,
                1,
                90,
            ),
            ("pod <> ''", N, 1, 12),
            ("pod NOT LIKE 'pod-1234'", N - 1, 1, 40),
            ("pod !~ '^pod-(1|22)$' AND zone NOT IN ('z.3')", N - 3, 1, 60),
            // A missing one fulfils this.
            ("inst IS DISTINCT FROM 'i7'", N - seventh, 1, 20),
            ("pod <> 'pod-1' AND length(pod) < 9", 9_999, if is_finite { 1 } else { 10 }, 200_000),
        ] {
            let sql = format!("SELECT sum(value) FROM series WHERE ({condition}) AND {TEN_DAYS}");
            let answer = session.query(&sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
            let found = lines(&answer.collect().await.unwrap(), true);
            assert_eq!(found, [sum.to_string()], "{sql}");
            let asked = counts.selectors();
            assert_eq!(asked.len(), selectors, "{sql}: {:?}", asked.first().map(String::len));
            let chars = asked.iter().map(String::len).max().unwrap();
            assert!(chars <= longest, "{sql}: {chars} characters");
        }
        // What names both sides needs no look at the values.
        counts.values.store(0, Relaxed);
        rows(
            &session,
            &format!("SELECT 1 FROM series WHERE pod = 'pod-1' AND zone <> 'z.9' AND {TEN_DAYS}"),
        )
        .await;
        assert_eq!(counts.values.load(Relaxed), 0);
        let explained = rows(&session, &format!("EXPLAIN FORMAT INDENT SELECT sum(value) FROM series WHERE pod LIKE '%1%' AND {TEN_DAYS}")).await;
        assert!(explained.join("\n").len() < 80_000, "{}", explained.join("\n").len());
    }
}

#[tokio::test]
async fn many_values_of_several_labels_are_counted_before_they_are_built() {
    let (session, counts) = many(70_000, false);
    // Half of the values each: some 35, 35 and 3 lists of a thousand, of which no product is built.
    let halves = "right(pod, 1) IN ('1', '3', '5', '7', '9') AND right(zone, 1) IN ('1', '3', '5', '7', '9') \
                  AND right(inst, 1) IN ('1', '3', '5', '7', '9')";
    let sql = format!("SELECT sum(value) FROM series WHERE {halves} AND {TEN_DAYS}");
    let e = session.query(&sql).await.unwrap_err();
    assert!(e.to_string().contains("requests, more than flamesql.max_requests = 500"), "{e}");
    assert_eq!(counts.selectors().len(), 0);
    // A source at hand looks all of them up at once.
    let (session, counts) = many(70_000, true);
    let expected = (0..70_000).filter(|i| i % 3 > 0 && i % 2 == 1).count();
    let sql = format!("SELECT sum(value) FROM series WHERE {halves}");
    assert_eq!(rows(&session, &sql).await, [expected.to_string()]);
    assert_eq!(counts.selectors().len(), 1);
}

#[tokio::test]
async fn a_type_that_is_named_in_full_is_asked_for_where_lists_are_not_complete() {
    let tree = folded::decode(b"main;work 1\nmain 2\n").unwrap().into_tree();
    let local = Capabilities::local("old");
    for (capabilities, n) in [(local, "NULL"), (local.without_lists(), "3"), (local.endless(), "3")]
    {
        let lists_all = capabilities.lists_all;
        let memory = Memory::new().with_capabilities(capabilities);
        let labels: Labels = [("pod", "a")].into_iter().collect();
        let cpu = ProfileType::parse(CPU).unwrap();
        memory.insert(&cpu, &labels, Timestamp::from_nanos(1), 0, &tree).unwrap();
        let source = Counting { memory, counts: Arc::default(), lists_types: false };
        let engine = Engine::builder().source("m", Arc::new(source)).build().unwrap();
        let session = engine.session();
        for sql in [
            format!("SELECT sum(value) FROM samples WHERE profile_type = '{CPU}'"),
            format!(
                "SELECT sum(value) FROM series WHERE profile_type IN ('{CPU}', 'a:b:nanoseconds:d:e')"
            ),
            format!("SET flamesql.profile_type = '{CPU}'; SELECT sum(value) FROM samples"),
        ] {
            let sql = format!("SET flamesql.from = '1970-01-01'; {sql}");
            assert_eq!(rows(&session, &sql).await, [n], "{sql}");
            let answer = session.query(&sql).await.unwrap();
            let mut told = answer.facts()[0].notices.iter();
            let is_told = told.any(|notice| notice.reason.contains("it lists no profile type"));
            assert_eq!(is_told, n == "3", "{sql}");
        }
        let answer = session.query("SELECT * FROM series").await.unwrap();
        let told = answer.facts()[0].notices.iter();
        let is_told = told.clone().any(|notice| notice.reason.contains("labels of what came last"));
        assert_eq!(is_told, !lists_all, "{:?}", told.collect::<Vec<_>>());
    }
}
