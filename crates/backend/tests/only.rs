//! Choices by span, trace and profile, and what reading files came to.

use std::fs;

use flamesql_backend::{
    Backend, Error, ErrorKind, Files, FilesOptions, GroupBy, Grouping, Memory, MetaQuery, Only,
    Report, Select,
};
use flamesql_profile::{ProfileType, TimeRange, Timestamp};
use flamesql_selector::Selector;
use futures::{FutureExt, StreamExt};

use crate::support::{self, CPU, select};

fn only(only: Only) -> Select {
    Select { only, ..select(CPU, "{}") }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn chosen(backend: &dyn Backend, choice: Only) -> Result<Vec<String>, Error> {
    let by = Grouping { labels: GroupBy::Labels(vec!["pod".into()]), ..Grouping::default() };
    let groups = support::stacks(backend, &only(choice), &by).await?;
    let line = |group: &flamesql_backend::StackGroup| {
        let stacks = group.tree.stacks();
        let stacks = stacks.map(|(node, v)| format!("{} {v}", group.tree.path(node).join(";")));
        format!("{} {}", group.labels, stacks.collect::<Vec<_>>().join(", "))
    };
    Ok(groups.iter().map(line).collect())
}

/// Two spans in one stack, one of them in two series, and a stack whose spans cancel out.
fn with_spans() -> Vec<u8> {
    support::pprof(
        &[("cpu", "nanoseconds")],
        5,
        &[
            (&["main"], &[1], &[("span_id", "A1"), ("trace_id", "b1"), ("profile_id", "c1")]),
            (&["main"], &[2], &[("profile_id", "a2"), ("trace_id", "B1")]),
            (&["main", "f"], &[4], &[("pod", "x"), ("span_id", "a1")]),
            (&["main", "f"], &[8], &[("pod", "x")]),
            (&["g"], &[5], &[("pod", "y"), ("span_id", "a3")]),
            (&["g"], &[-5], &[("pod", "y"), ("span_id", "a4")]),
            (&["main"], &[16], &[("span_id", "")]),
        ],
    )
}

#[tokio::test]
async fn samples_are_chosen_by_span_and_trace() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb.gz", &with_spans());
    support::write(root.path(), "2.folded", b"main 3\n");
    let memory = Memory::new();
    memory.insert_file("1.pb.gz", &with_spans(), Timestamp::from_nanos(0))?;
    let files = Files::open(root.path())?;
    for backend in [&files as &dyn Backend, &memory] {
        for (choice, right) in [
            (Only::Spans(ids(&["a1"])), vec!["{} main 1", r#"{pod="x"} main;f 4"#]),
            // The first label counts, and older clients write a span's id under another name.
            (Only::Spans(ids(&["a2", "c1"])), vec!["{} main 2"]),
            (Only::Spans(ids(&["A2", "a1"])), vec!["{} main 3", r#"{pod="x"} main;f 4"#]),
            (Only::Spans(ids(&["a3"])), vec![r#"{pod="y"} g 5"#]),
            (Only::Traces(ids(&["b1"])), vec!["{} main 3"]),
            (Only::Traces(ids(&["a1"])), vec![]),
            (Only::Spans(ids(&[""])), vec![]),
            (Only::Spans(vec![]), vec![]),
        ] {
            assert_eq!(chosen(backend, choice.clone()).await?, right, "{choice:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn profiles_are_chosen_by_the_ids_they_are_listed_with() -> Result<(), Error> {
    let memory = Memory::new();
    for time in [5, 6] {
        memory.insert_file("1.pb.gz", &support::cpu(time, time), Timestamp::from_nanos(0))?;
    }
    memory.insert_file("2.pb.gz", &with_spans(), Timestamp::from_nanos(0))?;
    let rows = memory.profiles(&select(CPU, "{}"), &Report::new()).await?;
    let listed: Vec<(&str, i64)> = rows.iter().map(|row| (row.id.as_str(), row.value)).collect();
    // A path that was put in twice has two ids.
    let right = [("1.pb.gz", 5), ("2.pb.gz#0", 19), ("2.pb.gz#1", 12), ("1.pb.gz@1", 6)];
    assert_eq!(listed, right);
    for (id, value) in right {
        let select = only(Only::Profiles(ids(&[id])));
        let groups = support::stacks(&memory, &select, &Grouping::default()).await?;
        assert_eq!(groups[0].tree.total().unwrap(), value, "{id}");
    }
    assert!(chosen(&memory, Only::Profiles(ids(&["2.pb.gz"]))).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn files_count_what_they_read_and_what_they_had() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    let mut n_bytes = 0;
    for (n, name) in ["a.pb.gz", "b.pb.gz", "c.pb.gz"].into_iter().enumerate() {
        let bytes = support::cpu(i64::try_from(n).unwrap() * 10 + 5, 7);
        n_bytes += bytes.len() as u64;
        support::write(root.path(), name, &bytes);
    }
    support::write(root.path(), "torn.pb.gz", b"\x1f\x8b torn");
    let counts = |report: &Report| (report.requests(), report.bytes(), report.cache_hits());
    let all = select(CPU, "{}");
    let files = Files::open(root.path())?;
    let report = Report::new();
    files.series(&all, &Grouping::default(), &report).await?;
    // What this question has read is no hit.
    assert_eq!(counts(&report), (1, n_bytes + 7, 0));
    let report = Report::new();
    let groups = files.stacks(all.clone(), Grouping::default(), report.clone());
    assert_eq!((report.requests(), groups.count().await), (0, 1));
    assert_eq!(counts(&report), (1, 0, 3));

    // Without room each question reads what it needs, and no more.
    let mut options = FilesOptions::default();
    options.cache_bytes = 0;
    let files = Files::open_with(root.path(), options)?;
    files.profile_types(TimeRange::ALL).await?;
    let one = fs::metadata(root.path().join("b.pb.gz")).unwrap().len();
    for (select, bytes) in [
        (only(Only::Profiles(ids(&["b.pb.gz", "nobody"]))), one),
        (only(Only::Spans(ids(&["a1"]))), 0),
        (
            Select {
                range: TimeRange::new(Timestamp::from_nanos(10), Timestamp::from_nanos(20))
                    .unwrap(),
                ..all
            },
            one,
        ),
    ] {
        let report = Report::new();
        files.stacks(select, Grouping::default(), report.clone()).count().await;
        assert_eq!(counts(&report), (1, bytes, 0));
    }
    let memory = support::memory(&[]);
    let report = Report::new();
    memory.series(&select(CPU, "{}"), &Grouping::default(), &report).await?;
    let groups = memory.stacks(select(CPU, "{}"), Grouping::default(), report.clone());
    assert_eq!((report.requests(), groups.count().await, counts(&report)), (1, 0, (2, 0, 0)));
    Ok(())
}

#[tokio::test]
async fn whoever_gives_up_a_question_ends_the_reading() {
    let root = tempfile::tempdir().unwrap();
    let n_files = 2000;
    for n in 0..n_files {
        // Each of them leaves a notice when it is read.
        support::write(root.path(), &format!("{n}.folded"), b"gr\xf6\xdfe 3\n");
    }
    let files = Files::open(root.path()).unwrap();
    let question = select("profile:samples:count::", "{}");
    let (by, report) = (Grouping::default(), Report::new());
    assert!(files.series(&question, &by, &report).now_or_never().is_none());
    assert!(files.profiles(&question, &Report::new()).now_or_never().is_none());
    assert!(files.profile_types(TimeRange::ALL).now_or_never().is_none());
    let mut n_read = files.notices().len();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = files.notices().len();
        if now == n_read {
            break;
        }
        n_read = now;
    }
    assert!(n_read < n_files, "all files were read for nobody");
    // And nothing is broken by it.
    let answer = files.series(&question, &by, &report).await.unwrap();
    assert_eq!(answer.series[0].points[0].value, 3 * i64::try_from(n_files).unwrap());
}

#[tokio::test]
async fn files_have_no_apps() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb.gz", &support::cpu(5, 7));
    let files = Files::open(root.path())?;
    let (selector, range) = (Selector::all(), TimeRange::ALL);
    let app = Select::new(ProfileType::app("checkout.cpu"), selector.clone(), range);
    let profile_type = Some(app.profile_type.clone());
    for error in [
        files.series(&app, &Grouping::default(), &Report::new()).await.err(),
        support::stacks(&files, &app, &Grouping::default()).await.err(),
        files.profiles(&app, &Report::new()).await.err(),
        files.label_sets(&MetaQuery { profile_type, selector, range }).await.err(),
    ] {
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        assert!(error.to_string().contains(r#""checkout.cpu""#), "{error}");
    }
    Ok(())
}
