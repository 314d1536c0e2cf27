//! What `Files` makes of paths, names, sample labels and times.

use std::fs;

use flamesql_backend::{Backend, Error, Files, Grouping, Memory, MetaQuery};
use flamesql_profile::{ProfileType, TimeRange, Timestamp};
use flamesql_selector::Selector;

use crate::support::{self, CPU, by, select, series, total};

#[tokio::test]
async fn path_parts_are_labels_with_escapes_decoded() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    let name = "plain/team%20a=x%2Fy%3Dz/name=gr%C3%B6%C3%9Fe/odd=%zz%/empty=/1.pb.gz";
    support::write(root.path(), name, &support::cpu(5, 7));
    let files = Files::open(root.path())?;
    let grouping = by(&["team a", "name", "odd", "empty", "plain"]);
    let rows = series(&files, &select(CPU, r#"{"team a"="x/y=z"}"#), &grouping).await?;
    assert_eq!(rows, [r#"{name="größe", odd="%zz%", team a="x/y=z"} 7"#]);
    // The label `file` is the path as it stands.
    let rows = series(&files, &select(CPU, "{}"), &by(&["file"])).await?;
    assert_eq!(rows, [format!("{{file={name:?}}} 7")]);
    Ok(())
}

#[tokio::test]
async fn the_way_to_the_folder_counts_as_well() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "region=eu/pod=a/1.pb.gz", &support::cpu(5, 7));
    for path in ["region=eu", "region=eu/pod=a", "region=eu/pod=a/1.pb.gz"] {
        let files = Files::open(root.path().join(path))?;
        let rows = series(&files, &select(CPU, "{}"), &by(&["region", "pod"])).await?;
        assert_eq!(rows, [r#"{pod="a", region="eu"} 7"#], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_label_gives_the_profile_its_name() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "__name__=wall%20clock/__secret__=1/1.pb.gz", &support::cpu(5, 7));
    support::write(root.path(), "__name__=off/2.folded", b"main 3\n");
    support::write(root.path(), "017-cpu-03.folded.gz", b"main 4\n");
    let files = Files::open_with(root.path(), support::strict())?;
    let types = files.profile_types(TimeRange::ALL).await?;
    let types: Vec<&str> = types.iter().map(ProfileType::as_str).collect();
    assert_eq!(
        types,
        ["cpu:samples:count::", "off:samples:count::", "wall clock:cpu:nanoseconds::"]
    );
    // Names that begin with `__` are no labels, but a selector may use what the type says.
    let sql = r#"{__name__="wall clock",__type__="cpu",__secret__=""}"#;
    let rows =
        series(&files, &select("wall clock:cpu:nanoseconds::", sql), &by(&["__name__"])).await?;
    assert_eq!(rows, ["{} 7"]);
    let query = MetaQuery { profile_type: None, selector: Selector::all(), range: TimeRange::ALL };
    assert_eq!(files.label_names(&query).await?, ["file"]);
    Ok(())
}

#[tokio::test]
async fn sample_labels_split_a_profile_and_win_over_the_path() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    let bytes = support::pprof(
        &[("cpu", "nanoseconds")],
        5,
        &[
            (&["main"], &[1], &[("thread", "a"), ("pod", "of the sample")]),
            (&["main"], &[2], &[("thread", "b")]),
            // The same labels in another order, and one twice, of which the last counts.
            (&["main", "f"], &[4], &[("pod", "of the sample"), ("thread", "b"), ("thread", "a")]),
            (&["main"], &[8], &[]),
            (&["main"], &[16], &[("thread", "")]),
            (&["main"], &[32], &[("__hidden__", "x")]),
        ],
    );
    support::write(root.path(), "pod=of%20the%20path/1.pb.gz", &bytes);
    let files = Files::open(root.path())?;
    let rows = series(&files, &select(CPU, "{}"), &by(&["thread", "pod"])).await?;
    assert_eq!(
        rows,
        [
            r#"{pod="of the path"} 56"#,
            r#"{pod="of the path", thread="b"} 2"#,
            r#"{pod="of the sample", thread="a"} 5"#,
        ]
    );
    let rows = series(&files, &select(CPU, r#"{thread=""}"#), &Grouping::default()).await?;
    assert_eq!(rows, ["{} 56"]);
    assert_eq!(
        files.profiles(&select(CPU, "{}"), &flamesql_backend::Report::new()).await?.len(),
        3
    );
    Ok(())
}

#[tokio::test]
async fn span_trace_and_profile_ids_do_not_split() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    let bytes = support::pprof(
        &[("cpu", "nanoseconds")],
        5,
        &[
            (&["main"], &[1], &[("span_id", "1"), ("trace_id", "1"), ("profile_id", "1")]),
            (&["main"], &[2], &[("span_id", "2"), ("trace_id", "1")]),
            (&["main"], &[4], &[("span_name", "GET")]),
        ],
    );
    support::write(root.path(), "1.pb.gz", &bytes);
    let files = Files::open(root.path())?;
    let query = MetaQuery { profile_type: None, selector: Selector::all(), range: TimeRange::ALL };
    assert_eq!(files.label_names(&query).await?, ["file", "span_name"]);
    let groups =
        support::stacks(&files, &select(CPU, r#"{span_name=""}"#), &by(&["span_id"])).await?;
    let stacks: Vec<i64> = groups[0].tree.stacks().map(|(_, value)| value).collect();
    assert_eq!((groups.len(), stacks), (1, vec![3]));
    Ok(())
}

#[tokio::test]
async fn a_profile_without_a_time_has_that_of_its_file() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    let time = 1_795_366_200_000_000_000;
    for (name, bytes) in [("1.pb.gz", support::cpu(0, 7)), ("2.folded", b"main 3\n".to_vec())] {
        support::write(root.path(), name, &bytes);
        support::touch(&root.path().join(name), time);
    }
    let files = Files::open(root.path())?;
    for id in [CPU, "profile:samples:count::"] {
        let rows = files.profiles(&select(id, "{}"), &flamesql_backend::Report::new()).await?;
        assert_eq!(rows.iter().map(|row| row.time.nanos()).collect::<Vec<_>>(), [time], "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn the_same_profile_twice_adds_up() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    for name in ["1.pb.gz", "2.pb.gz", "deep/er/3.pprof"] {
        support::write(root.path(), name, &support::cpu(5, 7));
    }
    let files = Files::open(root.path())?;
    assert_eq!(total(&files, CPU).await?, 21);
    let groups = support::stacks(&files, &select(CPU, "{}"), &Grouping::default()).await?;
    assert_eq!(groups[0].tree.stacks().map(|(_, v)| v).collect::<Vec<_>>(), [21]);
    assert_eq!(groups[0].time, Timestamp::from_nanos(5));
    Ok(())
}

#[tokio::test]
async fn sample_types_that_end_up_with_one_id_add_up() -> Result<(), Error> {
    // A `:` cannot be in an id and becomes `_`.
    let types = [("a:b", "count"), ("samples", "count"), ("a_b", "count")];
    let samples: [support::Sample<'_>; 2] = [(&["f"], &[1, 2, 4], &[]), (&["g"], &[8, 0, 0], &[])];
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "x.pb.gz", &support::pprof(&types, 5, &samples));
    let files = Files::open(root.path())?;
    assert_eq!(total(&files, "x:a_b:count::").await?, 13);
    assert_eq!(total(&files, "x:samples:count::").await?, 2);
    let default = files.default_profile_type().await?.unwrap();
    assert_eq!(default.as_str(), "x:a_b:count::");
    Ok(())
}

#[tokio::test]
async fn types_without_a_value_do_not_exist() -> Result<(), Error> {
    let types = [("alloc_space", "bytes"), ("inuse_space", "bytes")];
    let bytes = support::pprof(&types, 5, &[(&["main"], &[3, 0], &[])]);
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb.gz", &bytes);
    let files = Files::open(root.path())?;
    let listed = files.profile_types(TimeRange::ALL).await?;
    assert_eq!(
        listed.iter().map(ProfileType::as_str).collect::<Vec<_>>(),
        ["memory:alloc_space:bytes::"]
    );
    let memory = Memory::new();
    memory.insert_file("1.pb.gz", &bytes, Timestamp::from_nanos(0))?;
    assert_eq!(memory.profile_types(TimeRange::ALL).await?, listed);
    Ok(())
}

#[tokio::test]
async fn text_files_are_read_if_each_line_is_a_stack() -> Result<(), Error> {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "stacks.txt", b"main;work 3\n\nmain 4\n");
    support::write(root.path(), "notes.txt", b"main;work 3\nnot a stack\n");
    support::write(root.path(), "numbers.txt", b"7\n8\n");
    support::write(root.path(), "latin1.txt", b"gr\xf6\xdfe 3\n");
    support::write(root.path(), "README.md", b"main 3\n");
    let files = Files::open_with(root.path(), support::strict())?;
    assert_eq!(files.n_files(), 1);
    assert_eq!(total(&files, "stacks:samples:count::").await?, 7);
    // What is named itself may be called anything, but has to be a profile.
    let alone = Files::open(root.path().join("README.md"))?;
    assert_eq!(total(&alone, "README.md:samples:count::").await?, 3);
    // `main;work 3` as gzip.
    let zipped = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x4d\xcc\xcc\xb3\x2e\xcf\x2f\xca\x56\x30\xe6\x02\x00\x9f\x82\x2d\xae\x0c\x00\x00\x00";
    support::write(root.path(), "zipped", zipped);
    let alone = Files::open(root.path().join("zipped"))?;
    assert_eq!(total(&alone, "zipped:samples:count::").await?, 3);
    let error = total(&Files::open(root.path().join("notes.txt"))?, CPU).await.unwrap_err();
    assert!(error.to_string().starts_with("read notes.txt: "), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_file_shows_the_type_first_that_it_names() -> Result<(), Error> {
    let mut profile = support::profile(
        &[("samples", "count"), ("cpu", "nanoseconds")],
        5,
        &[(&["f"], &[1, 2], &[])],
    );
    profile.default_sample_type = profile.intern("samples");
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb", &flamesql_profile::pprof::encode(&profile));
    let files = Files::open(root.path())?;
    let shown = files.default_profile_type().await?.unwrap();
    assert_eq!(shown.as_str(), "process_cpu:samples:count::");
    fs::copy(root.path().join("1.pb"), root.path().join("2.pb")).unwrap();
    assert_eq!(Files::open(root.path())?.default_profile_type().await?, None);
    Ok(())
}
