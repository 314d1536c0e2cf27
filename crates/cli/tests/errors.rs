//! What is refused: which words, which exit code, and nothing left behind.

use std::fs;

use crate::run::{CPU, Place, demo};

#[track_caller]
fn check(place: &Place, args: &[&str], code: i32, stderr: &str) {
    let run = place.run(args);
    assert_eq!(run.code, Some(code), "{args:?}: {}", run.stderr);
    assert!(run.stderr.contains(stderr), "{args:?}: {}", run.stderr);
    assert!(run.stderr.starts_with("error: "), "{args:?}: {}", run.stderr);
    assert!(run.bytes.is_empty(), "{args:?}: {}", run.text());
}

#[test]
fn what_is_typed_wrong() {
    let place = Place::with_profiles();
    for (args, stderr) in [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'"),
        (&["profil"], "similar subcommand exists: 'profile'"),
        (
            &["./profiles"],
            "error: which command is to ask \"./profiles\"?\nhint: try: flamesql types ./profiles\n",
        ),
        (
            &["types", "nowhere"],
            "error: no source \"nowhere\": there is no such file or folder\nhint: a source is a URL, a file or a folder of profiles, or 'demo'\n",
        ),
        (&["types", "no/such/path.pb.gz"], "no source \"no/such/path.pb.gz\""),
        (&["query", "nowhere", "SELECT 1"], "no source \"nowhere\""),
        (
            &["query", "profiles"],
            "error: no statement: \"profiles\" is a source\nhint: try: flamesql query profiles \"SHOW TABLES\"",
        ),
        (&["query", "demo", "SELECT 1", "extra"], "unexpected argument 'extra'"),
        (&["query", "profiles", "SELECT 1", "-f", "top.sql"], "cannot be used with"),
        (&["query", "-f", "nowhere.sql"], "cannot read nowhere.sql: "),
        (&["query", " "], "the statement is empty"),
        (
            &["query", "SELECT 1", "--source", "profiles"],
            "--source \"profiles\" is not NAME=SOURCE",
        ),
        (&["query", "SELECT 1", "--source", "a=nowhere"], "no source \"nowhere\""),
        (
            &["query", "demo", "SELECT 1", "--source", "demo=monday"],
            "two sources are called \"demo\"",
        ),
        (
            &["query", "SELECT 1", "--format", "xml"],
            "[possible values: table, json, jsonl, csv, markdown, arrow, frame]",
        ),
        (
            &["query", "SELECT 1", "--from", "yesterday"],
            "error: time \"yesterday\": expected now, now-1h",
        ),
        (&["types", "--from", "2026-11-11", "--to", "2026-11-10"], "the start is after the end"),
        (&["series", "--type", CPU, "--step", "5"], "error: duration \"5\": expected a unit"),
        (&["series", "--type", CPU, "--step", "0"], "--step \"0\" is not above zero"),
        (
            &["series", "--type", CPU, "--group-by", "pood"],
            "error: no label \"pood\" at demo (inside the program)\nhint: the labels are endpoint, file, pod, region, service_name, tenant, version\n",
        ),
        (
            &["labels", "pood"],
            "no label \"pood\" at demo (inside the program), and no file or folder of that name",
        ),
        (&["labels", "nowhere", "pod"], "no source \"nowhere\""),
        (
            &["profile", "--type", "process_cpu:cpu:nanoseconds:cpu"],
            "error: profile type \"process_cpu:cpu:nanoseconds:cpu\": must be <name>:<sample type>:<sample unit>:<period type>:<period unit>, got 4 parts\n",
        ),
        (&["query", "SELECT 1", "--type", "a:b"], "got 2 parts"),
        (
            &["profile", "--type", CPU, "--min-percent", "101"],
            "--min-percent 101 is not between 0 and 100",
        ),
        (
            &["profile", "--type", CPU, "--min-percent", "1", "--format", "json"],
            "--min-percent is for the tree and the table",
        ),
        (&["profile", "--type", CPU, "--max-nodes", "0"], "0 is not in 1.."),
        (&["types", "-o", "profiles"], "cannot write to profiles: it is a folder"),
        (&["types", "-o", "no/folder/a.csv"], "cannot write to no/folder/a.csv: "),
    ] {
        check(&place, args, 2, stderr);
    }
}

#[test]
fn a_selector_is_drawn_with_its_mistake() {
    let place = Place::new();
    for command in ["profile", "series", "labels"] {
        check(
            &place,
            &[command, "--selector", r#"{service_name="checkout""#],
            2,
            "\n  |\n1 | {service_name=\"checkout\"\n  |                         ^\nhint: add \"}\"\n",
        );
    }
    check(
        &place,
        &["profile", "--selector", r#"{pod=~"("}"#],
        2,
        "\n1 | {pod=~\"(\"}\n  |        ^\n",
    );
}

#[test]
fn servers_are_named_without_their_secrets() {
    let place = Place::new();
    let url = "https://me:secret@host:4040/a?token=secret";
    let message = "error: cannot take as the address of a server: it has a part behind ? or #\n";
    let attached = format!("a={url}");
    for (args, message) in [
        (&["types", url][..], message),
        (&["query", url, "SELECT 1"], message),
        (&["query", url], "error: no statement: \"https://host:4040/a?...\" is a source\n"),
        (&["query", "SELECT 1", "--source", &attached], message),
        (&["labels", url], message),
        (&["labels", url, "pod"], message),
        (&["profile", url], message),
        (&["series", url], message),
        (&["check", url], message),
        (&[url], "error: which command is to ask \"https://host:4040/a?...\"?\n"),
    ] {
        check(&place, args, 2, message);
        assert!(!place.run(args).stderr.contains("secret"), "{args:?}");
    }
    let mut command = place.command(env!("CARGO_BIN_EXE_flamesql"));
    let output = command.env("FLAMESQL_SOURCE", url).args(["types"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().starts_with(message));
}

#[test]
fn files_that_are_no_profiles() {
    let place = Place::new();
    place.write("text.pb.gz", "this is no profile\n");
    let whole = fs::read(
        demo().join("service_name=reports/region=us/pod=reports-0/version=0.9.0/000-cpu.pb.gz"),
    )
    .unwrap();
    place.write("cut.pb.gz", &whole[..whole.len() / 2]);
    place.write("notes/readme.md", "# nothing\n");
    place.write("empty.pb.gz", "");
    check(&place, &["types", "text.pb.gz"], 1, "read text.pb.gz: ");
    check(&place, &["profile", "cut.pb.gz"], 1, "read cut.pb.gz: ");
    check(&place, &["query", "cut.pb.gz", "SELECT * FROM functions"], 1, "read cut.pb.gz: ");
    check(&place, &["types", "empty.pb.gz"], 1, "read empty.pb.gz: ");
    check(&place, &["types", "notes"], 2, "open notes: no profiles in this folder");
}

#[test]
fn statements_that_have_no_answer() {
    let place = Place::new();
    for (sql, stderr) in [
        ("SELEC 1", "SELEC"),
        ("SELECT functio FROM functions", "Did you mean 'functions.function'?"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT function FROM functions WHERE profile_type = 'x' AND", "error: "),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE is refused: a session only reads"),
        ("SELECT sum(value) FROM series WHERE profile_type LIKE '%cpu%'", "process_cpu:"),
    ] {
        check(&place, &["query", sql], 1, stderr);
    }
}

#[test]
fn without_a_profile_type_the_source_is_asked_for_those_it_has() {
    let place = Place::with_profiles();
    check(&place, &["query", "profiles", "SELECT function FROM functions"], 1, CPU);
    for command in ["profile", "series"] {
        check(&place, &[command, "profiles"], 1, CPU);
        for (hint, list) in [("nonsense", CPU), ("delay", "block:delay:")] {
            let quoted = format!("{hint:?}");
            check(&place, &[command, "profiles", "--type", hint], 1, &quoted);
            check(&place, &[command, "profiles", "--type", hint], 1, list);
        }
    }
}

#[test]
fn an_error_leaves_no_file() {
    let place = Place::new();
    place.write("old.csv", "old");
    for out in ["new.csv", "old.csv"] {
        for args in [
            &["query", "SELECT nonsense FROM functions"][..],
            // An error that comes with the rows.
            &["query", "SELECT 1 / (2 - value) AS x FROM generate_series(1, 100000) AS t(value)"],
            &["profile", "--type", "nonsense", "--format", "folded"],
            &["labels", "nonsense"],
            &["series", "--type", "nonsense"],
            &["types", "nowhere"],
        ] {
            let run = place.run(&[args, &["-o", out]].concat());
            assert!(matches!(run.code, Some(1 | 2)), "{args:?}: {}", run.stderr);
            assert_eq!(place.names(), ["old.csv"], "{args:?}");
        }
    }
    assert_eq!(fs::read_to_string(place.path("old.csv")).unwrap(), "old");
}

#[test]
fn strict_means_nothing_is_missing() {
    let place = Place::with_profiles();
    place.write("profiles/damaged.pb.gz", "this is no profile\n");
    let type_and_out = ["--type", CPU, "-o", "out.txt"];
    for args in [
        &["query", "profiles", "SELECT sum(value) FROM series"][..],
        &["series", "profiles"],
        &["profile", "profiles"],
    ] {
        let args = [args, &type_and_out].concat();
        let run = place.run(&args);
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.stderr);
        assert!(
            run.stderr.contains("\nnotice: skipped damaged.pb.gz: "),
            "{args:?}: {}",
            run.stderr
        );
        fs::remove_file(place.path("out.txt")).unwrap();
        let run = place.run(&[&args[..], &["--strict"]].concat());
        assert_eq!(run.code, Some(4), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains("damaged.pb.gz"), "{args:?}: {}", run.stderr);
        assert!(!place.path("out.txt").exists(), "{args:?}");
    }
    for command in ["types", "labels"] {
        assert_eq!(place.run(&[command, "profiles"]).code, Some(0));
        check(&place, &[command, "profiles", "--strict"], 4, "damaged.pb.gz");
        assert_eq!(place.run(&[command, "monday", "--strict"]).code, Some(0));
    }
}

#[test]
fn no_control_characters_reach_a_terminal() {
    let place = Place::new();
    place.write("evil\u{1b}[31m.folded", "main;\u{1b}[2Jwork 3\n");
    for format in ["tree", "table"] {
        let run = place.run(&["profile", ".", "--format", format]);
        assert!(run.ok().contains("\\u{1b}[2Jwork") && !run.text().contains('\u{1b}'));
        assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
    }
    let run = place.run(&["query", ".", "SELECT stack, file FROM samples"]);
    assert!(run.ok().contains("main;\\u{1b}[2Jwork") && !run.text().contains('\u{1b}'));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let place = Place::new();
    for format in ["table", "json", "arrow"] {
        check(&place, &["types", "--format", format, "-o", "/dev/full"], 1, "write the answer");
    }
    for format in ["tree", "json", "folded", "pprof"] {
        let args = ["profile", "--type", CPU, "--format", format, "-o", "/dev/full"];
        check(&place, &args, 1, "write the answer");
    }
}

#[test]
fn credentials_are_not_repeated() {
    let place = Place::new();
    for args in [
        vec!["check", "http://a", "http://user:hunter2secret@host"],
        vec!["query", "--backend-type", "http://u:hunter2secret@h", "SELECT 1"],
        vec!["types", "u:hunter2secret@127.0.0.1:7703"],
        vec!["query", "u:hunter2secret@127.0.0.1:7703", "SELECT 1"],
    ] {
        let run = place.run(&args);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
    let run = place.run(&["check", "127.0.0.1:4041"]);
    assert!(run.stderr.contains("begins with http://"), "{}", run.stderr);
}
