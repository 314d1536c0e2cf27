//! Memory is bounded by the size of the input, however the input was made up.
//!
//! The allocator counts for the whole process, so this is a test binary of its own with a single test.

use flamesql_profile::{ErrorKind, folded, pprof, pyroscope_tree};
use flamesql_selector::{Filter, Selector};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// About the size of each input.
const INPUT_BYTES: usize = 1 << 17;

/// What reading may take for each byte of the input, at the moment when a column is copied to a larger place.
///
/// The smallest message has two bytes and becomes a place of 24 until all is known, and a row of up to 24.
const DECODE_PER_BYTE: usize = 48;
const DECODE_FREE: usize = 1 << 16;

/// What the tree may take beyond that: a million nodes are free to any profile.
const TREE_PER_BYTE: usize = 256;
const TREE_FREE: usize = 256 << 20;

/// What folded text may take: two bytes are a stack.
const FOLDED_PER_BYTE: usize = 160;

/// What a tree of a server's may take: three bytes are a node, and a node whose siblings share its name is looked up.
const SERVER_TREE_PER_BYTE: usize = 100;

/// What parsing a selector may take. Compiling is bounded by 64 MiB for each of its regexes.
const SELECTOR_PER_BYTE: usize = 100;

/// What gzip may inflate to if it is small, and that once more while it grows.
const INFLATE_FREE: usize = (64 << 20) * 3;

#[test]
fn memory_is_bounded_by_the_input() {
    let mut failures = Vec::new();
    let mut check = |what: String, limit: usize, run: &mut dyn FnMut()| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        run();
        let used = MEMORY.peak_usage() - before;
        if used > limit {
            failures.push(format!("{what}: {used} bytes, more than {limit}"));
        }
    };

    for (name, bytes) in hostile_profiles() {
        let n = bytes.len();
        let mut profile = None;
        check(format!("decode {name}"), DECODE_FREE + n * DECODE_PER_BYTE, &mut || {
            profile = pprof::decode(&bytes).ok();
        });
        if let Some(profile) = profile.filter(|profile| !profile.sample_types.is_empty()) {
            check(format!("tree {name}"), TREE_FREE + n * TREE_PER_BYTE, &mut || {
                drop(profile.tree(0));
            });
        }
    }

    let bomb = bomb();
    check("decode bomb".to_owned(), INFLATE_FREE, &mut || {
        let error = pprof::decode(&bomb).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    });

    for (name, text) in [
        ("deep stack", format!("{} 1\n", "a;".repeat(INPUT_BYTES / 2))),
        ("many stacks", (0..INPUT_BYTES / 8).map(|n| format!("{n:x} 1\n")).collect()),
        ("many empty stacks", "1\n".repeat(INPUT_BYTES / 2)),
        ("bad bytes", "\u{1}".repeat(INPUT_BYTES)),
    ] {
        check(format!("folded {name}"), DECODE_FREE + text.len() * FOLDED_PER_BYTE, &mut || {
            drop(folded::decode(text.as_bytes()));
        });
    }

    for (name, n_children, node, n) in [
        ("many children", INPUT_BYTES / 4, &b"\x01a\0\0"[..], INPUT_BYTES / 4),
        ("a deep stack", 1, b"\x01a\0\x01", INPUT_BYTES / 4),
        ("announced children", 1 << 40, b"\x01a\0\0", INPUT_BYTES / 4),
        ("bad text", INPUT_BYTES / 32, b"\x1d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", INPUT_BYTES / 32),
    ] {
        let bytes = [vec![0, 0], varint(n_children as u64), node.repeat(n), b"\0\0\0".to_vec()].concat();
        let limit = DECODE_FREE + bytes.len() * SERVER_TREE_PER_BYTE;
        check(format!("server's tree {name}"), limit, &mut || {
            drop(pyroscope_tree::decode(&bytes));
        });
    }

    for (name, inner) in [
        ("open groups", "a=~\"".to_owned() + &"(".repeat(INPUT_BYTES)),
        (
            "groups",
            format!("a=~\"{}{}\"", "(".repeat(INPUT_BYTES / 2), ")".repeat(INPUT_BYTES / 2)),
        ),
        ("alternatives", format!("a=~\"{}\"", "a|".repeat(INPUT_BYTES / 2))),
        ("repetitions", "a=~\"(((x{99}){99}){99}){99}\",".repeat(INPUT_BYTES / 32)),
        ("matchers", "a=\"\",".repeat(INPUT_BYTES / 5)),
    ] {
        let text = format!("{{{inner}}}");
        let mut selector = None;
        check(
            format!("selector {name}"),
            DECODE_FREE + text.len() * SELECTOR_PER_BYTE,
            &mut || {
                selector = Selector::parse(&text).ok();
            },
        );
        if let Some(selector) = selector.filter(|selector| selector.matchers.len() < 10) {
            check(format!("filter {name}"), 256 << 20, &mut || drop(Filter::new(&selector)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Profiles whose smallest parts are many, each after what is expensive about it.
fn hostile_profiles() -> Vec<(&'static str, Vec<u8>)> {
    let n = INPUT_BYTES;
    let sample_type = message(1, &[]);
    let sample = message(2, &[0x12, 1, 1]);
    // No two of them are the same: pairs of 128 texts.
    let sample_types = |n: u8| -> Vec<u8> {
        let texts = (0..128_u8)
            .flat_map(|text| message(6, if text == 0 { vec![] } else { vec![text] }.as_slice()));
        let pairs = (0..n).flat_map(|kind| (0..128).map(move |unit| [8, kind, 16, unit]));
        texts.chain(pairs.flat_map(|pair| message(1, &pair))).collect()
    };
    let ids = |number, each: usize| -> Vec<u8> {
        (1..n / each).flat_map(|id| message(number, &varint_field(1, id))).collect()
    };
    // One location that is a chain of inlined calls.
    let chain = |n_lines: usize| {
        message(4, &[varint_field(1, 1), message(4, &[]).repeat(n_lines)].concat())
    };
    let sample_of =
        |locations: &[u8]| message(2, &[message(1, locations), vec![0x12, 1, 1]].concat());
    vec![
        ("equal sample types", sample_type.repeat(n / 2)),
        ("sample types", sample_types(16)),
        ("sample types and samples", [sample_types(16), message(2, &[]).repeat(n / 4)].concat()),
        ("samples", [sample_type.clone(), sample.repeat(n / 5)].concat()),
        ("packed comments", message(13, &vec![0; n])),
        ("comments", varint_field(13, 0).repeat(n / 2)),
        ("texts", message(6, &[]).repeat(n / 2)),
        ("bad texts", [message(6, &[]), message(6, &vec![0xff; n])].concat()),
        ("mappings", ids(3, 6)),
        ("functions", ids(5, 6)),
        ("locations", ids(4, 6)),
        ("lines", chain(n / 2)),
        (
            "labels",
            [
                sample_type.clone(),
                message(2, &[message(3, &[]).repeat(n / 2), vec![0x12, 1, 1]].concat()),
            ]
            .concat(),
        ),
        ("values", [sample_types(16), message(2, &message(2, &[1; 16 * 128]))].concat()),
        ("a deep stack", [sample_type.clone(), chain(1), sample_of(&vec![1; n])].concat()),
        (
            "inlined chains in a stack",
            [sample_type.clone(), chain(n / 4), sample_of(&vec![1; n / 256])].concat(),
        ),
        ("unknown fields", message(99, &[]).repeat(n / 3)),
    ]
}

/// A hundred members of gzip, a mebibyte each, in about a hundred kilobytes.
fn bomb() -> Vec<u8> {
    let mut profile = pprof::Profile::default();
    profile.push_comment(&"a".repeat(1 << 20));
    pprof::encode_gzip(&profile).repeat(100)
}

fn message(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

fn varint_field(number: u64, value: usize) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
