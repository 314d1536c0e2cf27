//! What works: each command in each format, on the demo and on files.

use std::{fs, process::Stdio};

use arrow::ipc::reader::StreamReader;
use flamesql_profile::{folded, pprof};

use crate::run::{CPU, Place, demo};

const ROW_FORMATS: [&str; 5] = ["table", "json", "jsonl", "csv", "markdown"];

/// Runs a command that answers in rows in all formats, and makes sure that they agree on their number.
#[track_caller]
fn check_rows(args: &[&str], n_rows: usize, first_columns: &[&str]) {
    let place = Place::new();
    for format in ROW_FORMATS {
        let run = place.run(&[args, &["--format", format]].concat());
        let text = run.ok();
        let n_lines = text.lines().count();
        let header = match format {
            "json" => {
                let rows: Vec<serde_json::Map<String, serde_json::Value>> =
                    serde_json::from_str(text).unwrap();
                assert_eq!(rows.len(), n_rows);
                String::new()
            }
            "jsonl" => {
                assert_eq!(n_lines, n_rows);
                String::new()
            }
            "csv" => {
                assert_eq!(n_lines, n_rows + 1, "{text}");
                text.lines().next().unwrap().replace(',', " ")
            }
            _ => {
                assert_eq!(n_lines, n_rows + 2, "{text}");
                let header = text.lines().next().unwrap().replace(['|', '\\'], " ");
                header.split_whitespace().collect::<Vec<_>>().join(" ")
            }
        };
        if !header.is_empty() {
            assert!(header.starts_with(&first_columns.join(" ")), "{format}: {header}");
        }
        assert!(run.stderr.contains("source: demo (inside the program)\n"), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("rows: {n_rows}\n")), "{}", run.stderr);
    }
    let run = place.run(&[args, &["--format", "arrow", "--quiet"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let reader = StreamReader::try_new(run.bytes.as_slice(), None).unwrap();
    let schema = reader.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..first_columns.len()], *first_columns);
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), n_rows);
}

#[test]
fn alone_it_says_what_to_type_next() {
    let place = Place::new();
    let run = place.run(&[]);
    let text = run.ok();
    assert!(text.lines().count() < 12 && run.stderr.is_empty(), "{text}");
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let run = place.shell(command);
        assert!(run.ok().lines().count() > 5, "{command}: {}", run.text());
    }
}

#[test]
fn types() {
    check_rows(&["types"], 17, &["profile_type", "short", "unit"]);
}

#[test]
fn labels() {
    check_rows(&["labels"], 8, &["name", "values"]);
    check_rows(&["labels", "--type", "wall"], 6, &["name", "values"]);
    let place = Place::new();
    let csv = |args: &[&str]| {
        let run = place.run(&[&["labels", "--format", "csv", "-q"], args].concat());
        run.ok().to_owned()
    };
    assert_eq!(csv(&["region", "--type", "wall"]), "value,series\neu,4\n");
    assert_eq!(csv(&["demo", "region", "--type", "wall"]), "value,series\neu,4\n");
    let selector = r#"{pod="reports-0", file=~".*folded"}"#;
    assert_eq!(csv(&["version", "--selector", selector]), "value,series\n0.9.0,1\n");
}

#[test]
fn series() {
    check_rows(&["series", "--type", CPU, "--step", "1s"], 8, &["time", "value"]);
    let grouped = ["series", "--type", CPU, "--step", "1m", "--group-by", "service_name,region"];
    check_rows(&grouped, 5, &["time", "service_name", "region", "value"]);
    let place = Place::new();
    let run = place.run(&[&grouped[..], &["--format", "csv"]].concat());
    assert_eq!(
        run.ok(),
        "time,service_name,region,value\n\
         2026-11-10T09:00:00.000000000Z,checkout,eu,3620000000\n\
         2026-11-10T09:00:00.000000000Z,checkout,us,3690000000\n\
         2026-11-10T09:00:00.000000000Z,reports,us,4980000000\n\
         2026-11-10T09:01:00.000000000Z,checkout,eu,5330000000\n\
         2026-11-10T09:01:00.000000000Z,checkout,us,2600000000\n"
    );
    assert_eq!(
        run.stderr,
        format!(
            "source: demo (inside the program)\ntype: {CPU}\ntime: all, in bins of 1m\n\
             total: 20.22s in 3 series\nrows: 5\n"
        )
    );
    let range = ["--from", "2026-11-10T09:00:05Z", "--to", "2026-11-10T09:00:20Z"];
    let run = place.run(&[&["series", "--type", CPU, "--format", "jsonl"], &range[..]].concat());
    // The bin of the first profile begins before the range, as in SQL.
    assert_eq!(run.ok(), "{\"time\":\"2026-11-10T09:00:00.000000000Z\",\"value\":1800000000}\n");
    let asked = "time: from 2026-11-10T09:00:05Z to before 2026-11-10T09:00:20Z, in bins of 15s\n";
    assert!(run.stderr.contains(asked), "{}", run.stderr);
}

#[test]
fn query() {
    let sql =
        "SELECT function, sum(self) AS self FROM functions GROUP BY 1 ORDER BY 2 DESC LIMIT 5";
    check_rows(&["query", sql, "--type", CPU], 5, &["function", "self"]);
    let empty = "SELECT time, stack, labels, value FROM samples WHERE region = 'nowhere'";
    check_rows(&["query", empty, "--type", CPU], 0, &["time", "stack", "labels", "value"]);
}

#[test]
fn query_says_what_it_took() {
    let place = Place::with_profiles();
    let run = place.run(&["query", "cpu.pb.gz", "SELECT sum(value) AS v FROM series"]);
    assert_eq!(run.ok(), "          v\n------------\n 1790000000\n");
    let first = format!("source: cpu.pb.gz\ntable: cpu.series of {CPU} (the default), time all");
    assert!(run.stderr.starts_with(&first), "{}", run.stderr);
    assert!(run.stderr.ends_with("rows: 1\n"), "{}", run.stderr);
}

#[test]
fn memory_is_limited_by_an_option() {
    let place = Place::with_profiles();
    let sql = "SHOW datafusion.execution.batch_size";
    for (size, is_size) in [
        ("512M", true),
        ("64mb", true),
        ("1G", true),
        ("70000000", true),
        ("0", false),
        ("12X", false),
        ("M", false),
    ] {
        let run = place.run(&["query", "profiles", sql, "--memory-limit", size, "--format", "csv"]);
        match is_size {
            true => assert!(run.ok().ends_with(",1024\n"), "{size}: {}", run.ok()),
            false => {
                assert_eq!(run.code, Some(2), "{size}");
                assert!(
                    run.stderr.contains("a size such as 512M or 2G is expected"),
                    "{}",
                    run.stderr
                );
            }
        }
    }
}

#[test]
fn a_statement_comes_from_anywhere() {
    let place = Place::with_profiles();
    place.write(
        "one.sql",
        "SET flamesql.strict = true; -- one\nSELECT count(*) AS n FROM label_sets;",
    );
    let sql = "SELECT count(*) AS n FROM label_sets";
    let of_folder = place.run(&["query", "profiles", sql, "--format", "csv"]);
    let answer = of_folder.ok();
    assert!(answer.starts_with("n\n") && answer.len() > 3);
    for args in
        [&["query", "profiles", "-f", "one.sql"][..], &["query", "./profiles/", "-f", "one.sql"]]
    {
        assert_eq!(place.run(&[args, &["--format", "csv"]].concat()).ok(), answer);
    }
    let stdin = place.run_with(&["query", "profiles", "-f", "-", "--format", "csv"], sql);
    assert_eq!(stdin.ok(), answer);
    let mut by_variable = place.command(env!("CARGO_BIN_EXE_flamesql"));
    let output = by_variable
        .env("FLAMESQL_SOURCE", "profiles")
        .args(["query", sql, "--format", "csv"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), answer);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("source: profiles (from FLAMESQL_SOURCE)\n"), "{stderr}");
    // The demo's own, and from stdin.
    let of_demo = place.run_with(&["query", "--format", "csv"], sql);
    assert_ne!(of_demo.ok(), answer);
}

#[test]
fn each_of_several_statements_answers() {
    let place = Place::with_profiles();
    let sql = "SELECT 1 AS a; SET flamesql.strict = true; SELECT 2 AS b, 'x' AS c; SET flamesql.strict = false";
    let query = |args: &[&str]| place.run(&[&["query", "profiles", sql], args].concat());
    assert_eq!(query(&[]).ok(), " a\n---\n 1\n\n b | c\n---+---\n 2 | x\n");
    assert!(query(&[]).stderr.ends_with("rows: 1, 1\n"), "{}", query(&[]).stderr);
    assert_eq!(query(&["--format", "csv"]).ok(), "a\n1\nb,c\n2,x\n");
    assert_eq!(query(&["--format", "jsonl"]).ok(), "{\"a\":1}\n{\"b\":2,\"c\":\"x\"}\n");
    query(&["-o", "both.csv"]).ok();
    assert_eq!(fs::read_to_string(place.path("both.csv")).unwrap(), "a\n1\nb,c\n2,x\n");
    let arrow = query(&["-o", "both.arrow"]);
    assert_eq!(arrow.code, Some(2));
    assert!(arrow.stderr.contains("an Arrow stream holds one answer"), "{}", arrow.stderr);
    assert!(!place.path("both.arrow").exists());
    // What goes wrong later leaves no file.
    let sql = "SELECT 1 AS a; SELECT nope FROM label_sets";
    let run = place.run(&["query", "profiles", sql, "-o", "a.csv"]);
    assert_eq!(run.code, Some(1));
    assert!(!place.path("a.csv").exists());
    // Nothing runs if one does not parse.
    let run = place.run(&["query", "profiles", "SELECT 1; SELEC 2"]);
    assert_eq!((run.code, run.bytes.len()), (Some(1), 0));
}

#[test]
fn a_frame_is_one_that_grafana_reads() {
    let place = Place::with_profiles();
    let sql =
        "SELECT function, sum(self) AS self FROM functions GROUP BY 1 ORDER BY 2 DESC LIMIT 2";
    let run = place.run(&["query", "cpu.pb.gz", sql, "--format", "frame"]);
    let frame = r#"{"schema":{"fields":[{"name":"function","type":"string","typeInfo":{"frame":"string","nullable":true},"config":"#;
    assert!(run.ok().starts_with(frame), "{}", run.ok());
    assert!(run.ok().contains(r#""config":{"unit":"ns"}"#), "{}", run.ok());
    assert!(run.ok().ends_with("]]}}\n") && run.ok().lines().count() == 1, "{}", run.ok());
    assert!(run.stderr.ends_with("rows: 2\n"), "{}", run.stderr);
}

#[test]
fn an_ending_that_means_another_format_is_refused() {
    let place = Place::with_profiles();
    let run = place.run(&["query", "SELECT 1", "-o", "a.parquet"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("a.parquet would not be what its ending says"), "{}", run.stderr);
    assert!(!place.path("a.parquet").exists());
    place.run(&["query", "SELECT 1 AS a", "-o", "a.parquet", "--format", "csv"]).ok();
    assert_eq!(fs::read_to_string(place.path("a.parquet")).unwrap(), "a\n1\n");
}

#[test]
fn sources_are_schemas() {
    let place = Place::with_profiles();
    let run = place.run(&[
        "query",
        "--source",
        "old=monday",
        "--source",
        "new=./friday",
        "-f",
        "compare.sql",
    ]);
    assert!(run.ok().contains("main.validCoupon"), "{}", run.text());
    assert!(
        run.stderr.starts_with("source: old is monday\nsource: new is ./friday\n"),
        "{}",
        run.stderr
    );
    // Nobody asked for the demo, so a table without a prefix is of the first source that was named.
    let sql = "SELECT sum(value) AS v FROM series";
    let one = place.run(&["query", "--type", CPU, "monday", sql, "--format", "csv"]);
    let attached =
        place.run(&["query", "--type", CPU, "--source", "x=monday", sql, "--format", "csv"]);
    assert_eq!(attached.ok(), one.ok());
    let sql = "SELECT count(DISTINCT pod) AS pods FROM profiles.label_sets";
    assert_eq!(place.run(&["query", "profiles", sql, "--format", "csv"]).ok(), "pods\n2\n");
}

#[test]
fn a_command_wins_over_a_path() {
    let place = Place::new();
    let file =
        demo().join("service_name=reports/region=us/pod=reports-0/version=0.9.0/000-cpu.pb.gz");
    place.write("types", fs::read(&file).unwrap());
    let here = place.run(&["types"]);
    assert!(here.stderr.starts_with("source: demo"), "{}", here.stderr);
    let there = place.run(&["types", "./types", "--format", "csv"]);
    assert_eq!(
        there.ok(),
        format!(
            "profile_type,short,unit\n{CPU},cpu,nanoseconds\nprocess_cpu:samples:count:cpu:nanoseconds,samples,count\n"
        )
    );
}

#[test]
fn a_flame_graph_is_the_same_in_every_format() {
    let place = Place::new();
    let select = ["--type", CPU, "--selector", r#"{service_name="checkout"}"#];
    let run = |args: &[&str]| place.run(&[&["profile"], &select[..], args].concat());
    let json: serde_json::Value = serde_json::from_str(run(&["--format", "json"]).ok()).unwrap();
    assert_eq!(json["profile_type"], CPU);
    assert_eq!(json["name"], "total");
    let total = json["total"].as_i64().unwrap();
    assert_eq!(total, 15_240_000_000);

    let text = run(&["--format", "folded"]);
    let tree = folded::decode(text.ok().as_bytes()).unwrap().into_tree();
    assert_eq!(tree.total().unwrap(), total);

    place.run(&[&["profile"], &select[..], &["-o", "out.pb.gz"]].concat()).ok();
    let bytes = fs::read(place.path("out.pb.gz")).unwrap();
    assert_eq!(bytes, run(&["--format", "pprof"]).bytes);
    let profile = pprof::decode(&bytes).unwrap();
    assert_eq!(profile.tree(0).unwrap(), tree);
    assert_eq!(profile.time_nanos, 1_794_301_200_000_000_000);

    let sql = format!(
        "SELECT sum(value) AS v FROM series WHERE profile_type = '{CPU}' AND service_name = 'checkout'"
    );
    assert_eq!(place.run(&["query", &sql, "--format", "csv"]).ok(), format!("v\n{total}\n"));

    let shown = run(&[]);
    let mut lines = shown.ok().lines();
    assert_eq!(lines.next(), Some("percent   total   self  function"));
    assert_eq!(lines.next(), Some("100.00%  15.24s      0  (total)"));
    assert!(shown.stderr.contains("total: 15.24s in 7 files\n"), "{}", shown.stderr);
    let top = run(&["--format", "table"]);
    let top = top.ok();
    assert!(top.starts_with(" self   self%   total  total%  function\n"), "{top}");
    assert!(top.lines().last().unwrap().ends_with(" below 0.5%)"), "{top}");
    let whole = run(&["--format", "table", "--min-percent", "0"]);
    assert!(whole.ok().lines().count() > top.lines().count() && !whole.text().contains("below"));

    let cut = run(&["--format", "folded", "--max-nodes", "10"]);
    let small = folded::decode(cut.ok().as_bytes()).unwrap().into_tree();
    assert!(small.len() < 30 && small.total().unwrap() == total);
    assert!(
        cut.stderr.contains("by --max-nodes, shown as functions called other\n"),
        "{}",
        cut.stderr
    );
}

#[test]
fn a_single_file_needs_no_type() {
    let place = Place::with_profiles();
    let run = place.run(&["profile", "cpu.pb.gz", "--format", "table"]);
    assert!(run.ok().contains("main.signReceipt"));
    assert_eq!(
        run.stderr,
        format!(
            "source: cpu.pb.gz\ntype: {CPU} (the default)\n\
             time: 2026-11-10T09:00:00Z, 4.00s of profiling\ntotal: 1.79s in 1 file\n"
        )
    );
}

#[test]
fn nothing_found_is_an_empty_answer() {
    let place = Place::new();
    let args = ["profile", "--type", CPU, "--selector", r#"{pod="nowhere"}"#];
    let run = place.run(&args);
    assert_eq!(run.ok(), "percent  total  self  function\n      -      0     0  (total)\n");
    assert!(run.stderr.contains("hint: no profile matches"), "{}", run.stderr);
    assert_eq!(place.run(&[&args[..], &["--format", "folded"]].concat()).ok(), "");
}

#[test]
fn a_file_is_written_whole_and_named_by_its_ending() {
    let place = Place::new();
    let run = place.run(&["query", "SELECT 1 AS one", "-o", "out.json"]);
    assert_eq!(run.ok(), "");
    assert_eq!(fs::read_to_string(place.path("out.json")).unwrap(), "[{\"one\":1}]\n");
    place.run(&["query", "SELECT 2 AS two", "-o", "out.json", "--format", "csv"]).ok();
    assert_eq!(fs::read_to_string(place.path("out.json")).unwrap(), "two\n2\n");
    assert_eq!(place.names(), ["out.json"]);
    assert_eq!(
        place.run(&["query", "SELECT 3 AS three", "-o", "-", "-q", "--format", "csv"]).ok(),
        "three\n3\n"
    );
}

#[test]
fn a_reader_may_stop_early() {
    let place = Place::new();
    for args in [
        &["query", "SELECT * FROM samples", "--type", "wall"][..],
        &[
            "query",
            "SELECT * FROM samples, generate_series(1, 100)",
            "--type",
            "wall",
            "--format",
            "json",
        ],
        &["types"],
        &["profile", "--type", CPU, "--min-percent", "0"],
        &[],
    ] {
        let mut command = place.command(env!("CARGO_BIN_EXE_flamesql"));
        let command = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_statement_may_begin_with_a_comment() {
    let place = Place::new();
    let sql = "-- what there is\nSELECT 1 AS one";
    assert_eq!(place.run(&["query", "--format", "csv", sql]).ok(), "one\n1\n");
    assert_eq!(place.run(&["query", "demo", "--format", "csv", sql]).ok(), "one\n1\n");
}
