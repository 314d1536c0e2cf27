//! Files that are not what they seem, and folders with traps: nothing is lost in silence, nothing hangs or panics.

use std::{fs, path::PathBuf};

use flamesql_backend::{
    Backend, Error, ErrorKind, Files, FilesOptions, Grouping, Memory, Notice, Report,
};
use flamesql_profile::{ProfileType, TimeRange, Timestamp, pprof};
use futures::StreamExt;
use tempfile::TempDir;

use crate::support::{self, CPU, select, total};

/// One good profile among others.
fn folder(bad: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "good.pb.gz", &support::cpu(5, 7));
    for (name, bytes) in bad {
        support::write(root.path(), name, bytes);
    }
    root
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("an error").kind()
}

/// Each file is skipped with a notice that names it and says this; strict, it is an error that does so.
async fn is_skipped(bad: &[(&str, &[u8], &str)]) {
    for (name, bytes, reason) in bad {
        let root = folder(&[(name, bytes)]);
        let files = Files::open(root.path()).unwrap();
        assert_eq!(total(&files, CPU).await.unwrap(), 7, "{name}");
        let notices = files.notices();
        let [Notice { subject, reason: said, is_missing: true }] = notices.as_slice() else {
            panic!("{name}: {notices:?}");
        };
        assert_eq!(subject, name);
        assert!(said.contains(reason) && !said.contains(name), "{name}: {said}");
        assert!(notices[0].to_string().starts_with(&format!("skipped {name}: ")));

        let files = Files::open_with(root.path(), support::strict()).unwrap();
        for _ in 0..2 {
            let error = total(&files, CPU).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
            assert!(error.to_string().starts_with(&format!("read {name}: ")), "{error}");
        }
        assert_eq!(kind(files.profile_types(TimeRange::ALL).await), ErrorKind::Unreadable);
        let stacks = support::stacks(&files, &select(CPU, "{}"), &Grouping::default()).await;
        assert_eq!(kind(stacks), ErrorKind::Unreadable);

        // Alone, it is an error in any case.
        let alone = Files::open(root.path().join(name)).unwrap();
        assert_eq!(kind(total(&alone, CPU).await), ErrorKind::Unreadable, "{name}");
    }
}

#[test]
fn a_path_without_profiles_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let missing = Files::open(root.path().join("no such folder")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().ends_with("no such folder: no such file or folder"), "{missing}");
    assert_eq!(kind(Files::open(root.path())), ErrorKind::NotFound);
    support::write(root.path(), "a/README.md", b"# nothing");
    let error = Files::open(root.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("1 other file"), "{error}");
}

#[tokio::test]
async fn what_is_no_profile_is_skipped_and_named() {
    let good = support::cpu(5, 7);
    let plain = pprof::encode(&support::profile(&[("cpu", "ns")], 5, &[(&["f"], &[1], &[])]));
    let no_type = support::pprof(&[], 5, &[]);
    is_skipped(&[
        (
            "text.pb.gz",
            b"hello, world\nthis is no profile\n",
            "text and no pprof; it begins \"hello, world\"",
        ),
        ("page.pb", "<html lang=\"es\"><title>sesi\u{f3}n</title>".as_bytes(), "it begins \"<html"),
        ("empty.pb", b"", "empty"),
        ("cut.pb.gz", &good[..good.len() / 2], "of the inflated input"),
        ("flipped.pb.gz", &[&good[..good.len() - 6], &[1, 2, 3, 4, 5, 6]].concat(), "gzip"),
        ("cut.pprof", &plain[..plain.len() - 3], ""),
        ("no-type.pb.gz", &no_type, "no sample type"),
        ("prose.folded", b"main;work 3\nto be continued\n", "line 2"),
    ])
    .await;
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let mut profile = support::profile(&[("cpu", "ns")], 5, &[(&["f"], &[1], &[])]);
    profile.push_comment(&"x".repeat(65 << 20));
    let bomb = pprof::encode_gzip(&profile);
    assert!(bomb.len() < 1 << 20);
    let root = folder(&[("bomb.pb.gz", &bomb)]);
    let files = Files::open(root.path()).unwrap();
    assert_eq!(total(&files, CPU).await.unwrap(), 7);
    assert!(files.notices()[0].reason.contains("inflates to more than"), "{:?}", files.notices());
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_not_read() {
    let root = folder(&[("huge.pb", b"")]);
    // Without blocks on the disk, but reading it would take the memory.
    fs::File::options()
        .write(true)
        .open(root.path().join("huge.pb"))
        .unwrap()
        .set_len(5 << 30)
        .unwrap();
    let files = Files::open(root.path()).unwrap();
    assert_eq!(total(&files, CPU).await.unwrap(), 7);
    assert!(files.notices()[0].reason.contains("the limit is"), "{:?}", files.notices());
}

#[tokio::test]
async fn nothing_but_damage_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb.gz", b"damage");
    support::write(root.path(), "2.pb.gz", b"");
    let error = total(&Files::open(root.path()).unwrap(), CPU).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(error.to_string().contains("none of its 2 files is a profile"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_lead_in_circles_or_nowhere_are_named() {
    use std::os::unix::fs::symlink;

    let root = folder(&[("sub/also.pb.gz", &support::cpu(6, 8))]);
    symlink("..", root.path().join("sub/up")).unwrap();
    symlink("circle.pb", root.path().join("circle.pb")).unwrap();
    symlink("nowhere.pb", root.path().join("gone.pb")).unwrap();
    // A link to a file is that file.
    symlink("../good.pb.gz", root.path().join("sub/again.pb.gz")).unwrap();
    let files = Files::open(root.path()).unwrap();
    assert_eq!(total(&files, CPU).await.unwrap(), 7 + 8 + 7);
    let mut subjects: Vec<String> = files.notices().into_iter().map(|n| n.subject).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["circle.pb", "gone.pb", "sub/up"]);
    assert!(files.notices().iter().all(|n| n.is_missing && !n.reason.is_empty()));

    // Strict: an answer without them is not the whole answer.
    let files = Files::open_with(root.path(), support::strict()).unwrap();
    assert_eq!(kind(total(&files, CPU).await), ErrorKind::Unreadable);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_not_read() {
    let root = folder(&[]);
    let made = std::process::Command::new("mkfifo").arg(root.path().join("pipe.pb")).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let files = Files::open_with(root.path(), support::strict()).unwrap();
    assert_eq!((files.n_files(), total(&files, CPU).await.unwrap()), (1, 7));
}

#[tokio::test]
async fn a_file_that_changes_between_two_reads_is_an_error() {
    for gone in [false, true] {
        let root = folder(&[]);
        let mut options = FilesOptions::default();
        options.cache_bytes = 0;
        let files = Files::open_with(root.path(), options).unwrap();
        assert_eq!(total(&files, CPU).await.unwrap(), 7);
        match gone {
            true => fs::remove_file(root.path().join("good.pb.gz")).unwrap(),
            false => {
                support::write(root.path(), "good.pb.gz", &support::cpu(5, 8));
                support::touch(&root.path().join("good.pb.gz"), 1_000_000_000);
            }
        }
        let error = total(&files, CPU).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert!(error.to_string().starts_with("read good.pb.gz: "), "{error}");
        let groups = support::stacks(&files, &select(CPU, "{}"), &Grouping::default()).await;
        assert_eq!(kind(groups), ErrorKind::Changed);
    }
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_an_error_and_not_a_file_less() {
    let types = [("cpu", "nanoseconds"), ("samples", "count")];
    let max = i64::MAX;
    for (samples, stacks_fit) in [
        // Two stacks that fit, whose sum does not; and one stack that does not.
        ([(&["a"][..], &[max, 1][..], &[][..]), (&["b"], &[1, 1], &[])], true),
        ([(&["a"][..], &[max, 1][..], &[][..]), (&["a"], &[1, 1], &[])], false),
    ] {
        let bytes = support::pprof(&types, 5, &samples);
        let root = tempfile::tempdir().unwrap();
        support::write(root.path(), "1.pb.gz", &bytes);
        let files = Files::open(root.path()).unwrap();
        assert_eq!(kind(total(&files, CPU).await), ErrorKind::Overflow);
        assert_eq!(
            kind(files.profiles(&select(CPU, "{}"), &Report::new()).await),
            ErrorKind::Overflow
        );
        let groups = support::stacks(&files, &select(CPU, "{}"), &Grouping::default()).await;
        match stacks_fit {
            true => assert_eq!(groups.unwrap()[0].tree.stacks().count(), 2),
            false => assert_eq!(kind(groups), ErrorKind::Overflow),
        }
        // The other type has nothing to do with it.
        assert_eq!(total(&files, "process_cpu:samples:count::").await.unwrap(), 2);
        assert_eq!(files.notices(), []);
        // Memory takes no such profile in the first place.
        let inserted = Memory::new().insert_file("1.pb.gz", &bytes, Timestamp::from_nanos(0));
        assert_eq!(kind(inserted), ErrorKind::Overflow);
    }
    // Over several profiles it is no different.
    let root = tempfile::tempdir().unwrap();
    support::write(root.path(), "1.pb.gz", &support::cpu(5, max));
    support::write(root.path(), "2.pb.gz", &support::cpu(5, 1));
    let files = Files::open(root.path()).unwrap();
    assert_eq!(kind(total(&files, CPU).await), ErrorKind::Overflow);
    let groups = support::stacks(&files, &select(CPU, "{}"), &Grouping::default()).await;
    assert_eq!(kind(groups), ErrorKind::Overflow);
    let apart = support::stacks(&files, &select(CPU, "{}"), &support::by(&["file"])).await;
    assert_eq!(apart.unwrap().len(), 2);
}

#[tokio::test]
async fn texts_that_are_not_utf8_are_shown_and_told() {
    let root = folder(&[("latin1.folded", b"gr\xf6\xdfe 3\n")]);
    let files = Files::open_with(root.path(), support::strict()).unwrap();
    assert_eq!(total(&files, "latin:samples:count::").await.unwrap(), 3);
    let [notice] = <[Notice; 1]>::try_from(files.notices()).unwrap();
    assert_eq!((notice.subject.as_str(), notice.is_missing), ("latin1.folded", false));
}

#[tokio::test]
async fn many_label_sets_take_no_square_of_time() {
    // Each label set used to be compared with all before it: minutes for a file of some megabytes.
    let mut profile = support::profile(&[("cpu", "nanoseconds")], 5, &[]);
    let key = profile.intern("thread");
    for n in 0..60_000 {
        let text = profile.intern(&n.to_string());
        let label = pprof::SampleLabel { key, text, ..Default::default() };
        profile.push_sample(&[], &[1], &[label]);
    }
    let memory = Memory::new();
    memory.insert_file("1.pb", &pprof::encode(&profile), Timestamp::from_nanos(0)).unwrap();
    let answer =
        memory.series(&select(CPU, "{}"), &support::by(&["thread"]), &Report::new()).await.unwrap();
    assert_eq!(answer.series.len(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_the_reading() {
    let root = tempfile::tempdir().unwrap();
    let n_files = 2000;
    for n in 0..n_files {
        // Each of them leaves a notice when it is read.
        support::write(root.path(), &format!("{n}.folded"), b"gr\xf6\xdfe 3\n");
    }
    let files = Files::open(root.path()).unwrap();
    let mut stream =
        files.stacks(select("profile:samples:count::", "{}"), Grouping::default(), Report::new());
    assert!(futures::FutureExt::now_or_never(stream.next()).is_none());
    drop(stream);
    // The work ends when the last handle on the source does; until then there is nothing to see but the notices.
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
}

/// The hostile files of the profile crate, where they are at hand: an answer or an error, but no panic.
#[tokio::test]
async fn hostile_files_do_no_harm() {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "profile", "tests", "hostile"].iter().collect();
    let Ok(files) = Files::open(&folder) else { return };
    let types = files.profile_types(TimeRange::ALL).await.unwrap_or_default();
    for profile_type in types.iter().map(ProfileType::as_str) {
        let _ = total(&files, profile_type).await;
        let _ = support::stacks(&files, &select(profile_type, "{}"), &Grouping::default()).await;
    }
    for notice in files.notices() {
        assert!(!notice.reason.is_empty());
    }
}
