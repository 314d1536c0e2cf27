//! Drives each target on stable: with its corpus, with any bytes, with damaged copies of the corpus, and with bytes that
//! look like its format.

use std::{fs, path::PathBuf};

use flamesql_fuzz::{TARGETS, Target};
use flamesql_profile::pprof::{
    self, Function, Line, Location, Mapping, Profile, SampleLabel, ValueType,
};
use flamesql_selector::{MatchOp, Matcher, Selector};
use proptest::prelude::*;

/// The inputs of a target, sorted by name; of compressed profiles also what they hold, where damage goes deeper.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    let mut inputs: Vec<_> =
        files.iter().map(|file| fs::read(file).expect("its files, too")).collect();
    if target == "pprof" {
        let plain: Vec<_> = inputs
            .iter()
            .filter_map(|bytes| Some(pprof::encode(&pprof::decode(bytes).ok()?)))
            .collect();
        inputs.extend(plain);
    }
    inputs
}

/// One change to an input; places are taken modulo its length.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Set(usize, u8),
    Insert(usize, u8),
    Cut(usize),
    /// Takes away up to so many bytes.
    Remove(usize, usize),
    /// Writes up to so many bytes once more behind themselves.
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>();
    // Small numbers, and those around which formats turn.
    let byte = prop_oneof![any::<u8>(), 0_u8..24, Just(0x7f), Just(0x80), Just(0xff)];
    prop_oneof![
        6 => (at, byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (at, byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => at.prop_map(Damage::Cut),
        2 => (at, 1_usize..64).prop_map(|(at, len)| Damage::Remove(at, len)),
        2 => (at, 1_usize..64).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let n = bytes.len();
        match *damage {
            Damage::Set(at, byte) => bytes[at % n] = byte,
            Damage::Insert(at, byte) => bytes.insert(at % n, byte),
            Damage::Cut(at) => bytes.truncate(at % n),
            Damage::Remove(at, len) => drop(bytes.drain(at % n..n.min(at % n + len))),
            Damage::Repeat(at, len) => {
                let piece = bytes[at % n..n.min(at % n + len)].to_vec();
                bytes.splice(at % n..at % n, piece);
            }
        }
    }
    bytes
}

fn config() -> ProptestConfig {
    // A failure is minimal and printed: it becomes a file of the corpus, not a seed.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn the_corpus_holds() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name}");
        corpus.iter().for_each(|bytes| target(bytes));
    }
}

/// A profile whose fields are drawn from `numbers`, one after another and from the start again.
fn made_up(numbers: &[u16]) -> Profile {
    let mut numbers = numbers.iter().copied().cycle();
    let mut draw = |end: u16| usize::from(numbers.next().unwrap_or(0) % end.max(1));
    let mut profile = Profile::default();
    let texts: Vec<_> = ["", "a", "b;c", "é\n", "count"].map(|text| profile.intern(text)).to_vec();
    for idx in 0..1 + draw(3) {
        // No two of them are the same.
        profile.sample_types.push(ValueType { kind: texts[idx], unit: texts[draw(5)] });
    }
    for _ in 0..draw(3) {
        profile.push_mapping(Mapping {
            start: draw(900) as u64,
            limit: draw(900) as u64,
            file_offset: draw(9) as u64,
            filename: texts[draw(5)],
            build_id: texts[draw(5)],
            has_functions: draw(2) == 1,
            has_filenames: draw(2) == 1,
            has_line_numbers: draw(2) == 1,
            has_inline_frames: draw(2) == 1,
        });
    }
    for _ in 0..draw(4) {
        profile.push_function(Function {
            name: texts[draw(5)],
            system_name: texts[draw(5)],
            filename: texts[draw(5)],
            start_line: draw(300) as i64 - 9,
        });
    }
    let n_mappings = profile.mappings().len();
    let n_functions = profile.functions().len();
    // An index of what is there, or none.
    fn one_of(drawn: usize) -> Option<u32> {
        u32::try_from(drawn).ok()?.checked_sub(1)
    }
    let n_locations = draw(5);
    for _ in 0..n_locations {
        let location = Location {
            mapping: one_of(draw(n_mappings as u16 + 1)),
            address: draw(u16::MAX) as u64,
            is_folded: draw(2) == 1,
        };
        let lines: Vec<Line> = (0..draw(4))
            .map(|_| Line {
                function: one_of(draw(n_functions as u16 + 1)),
                line: draw(300) as i64 - 9,
            })
            .collect();
        profile.push_location(location, &lines);
    }
    for _ in 0..draw(9) {
        let n = if n_locations == 0 { 0 } else { draw(6) };
        let stack: Vec<u32> = (0..n).map(|_| draw(n_locations as u16) as u32).collect();
        let values: Vec<i64> = profile.sample_types.iter().map(|_| draw(300) as i64 - 20).collect();
        let labels: Vec<SampleLabel> = (0..draw(3))
            .map(|_| SampleLabel {
                key: texts[draw(5)],
                text: texts[draw(5)],
                number: draw(300) as i64 - 9,
                unit: texts[draw(5)],
            })
            .collect();
        profile.push_sample(&stack, &values, &labels);
    }
    for _ in 0..draw(3) {
        profile.push_comment(["", "a", "new"][draw(3)]);
    }
    profile.drop_frames = texts[draw(5)];
    profile.keep_frames = texts[draw(5)];
    profile.time_nanos = draw(900) as i64 - 9;
    profile.duration_nanos = draw(900) as i64 - 9;
    profile.period_type = ValueType { kind: texts[draw(5)], unit: texts[draw(5)] };
    profile.period = draw(900) as i64 - 9;
    profile.default_sample_type = texts[draw(5)];
    profile
}

/// The corpora that damage is done to: what a target does not read as it is, it may after a change.
fn inputs_of_all() -> Vec<(Target, Vec<u8>)> {
    TARGETS
        .iter()
        .flat_map(|(name, target)| corpus(name).into_iter().map(|bytes| (*target, bytes)))
        .collect()
}

#[test]
fn damaged_corpus_holds() {
    let inputs = inputs_of_all();
    let config = ProptestConfig { cases: config().cases * 8, ..config() };
    proptest!(config, |(which in 0..inputs.len(), damages in proptest::collection::vec(damage(), 1..6))| {
        let (target, bytes) = &inputs[which];
        target(&damaged(bytes.clone(), &damages));
    });
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn small_messages_hold(fields in proptest::collection::vec(
        (1_u8..16, prop_oneof![Just(0_u8), Just(2)], proptest::collection::vec(0_u8..20, 0..12)), 0..40)
    ) {
        let mut bytes = Vec::new();
        for (number, wire, inner) in fields {
            bytes.push(number << 3 | wire);
            bytes.push(inner.len() as u8);
            if wire == 2 {
                bytes.extend(inner);
            }
        }
        flamesql_fuzz::pprof(&bytes);
    }

    #[test]
    fn made_up_profiles_hold(
        numbers in proptest::collection::vec(any::<u16>(), 1..200),
        damages in proptest::collection::vec(damage(), 0..3),
    ) {
        let profile = made_up(&numbers);
        let bytes = pprof::encode(&profile);
        prop_assert_eq!(pprof::decode(&bytes).unwrap(), profile);
        flamesql_fuzz::pprof(&bytes);
        flamesql_fuzz::pprof(&damaged(bytes, &damages));
    }

    #[test]
    fn stacks_hold(text in "([ab;\t\r ]{0,8} -?[0-9]{1,3}\r?\n){0,8}") {
        flamesql_fuzz::folded(text.as_bytes());
        flamesql_fuzz::flamebearer(text.as_bytes());
    }

    /// Few names and small numbers, so that siblings share a name and the counts of children come out.
    #[test]
    fn trees_hold(
        nodes in proptest::collection::vec((0_usize..4, 0_u8..4, 0_u8..3), 0..12),
        damages in proptest::collection::vec(damage(), 0..2),
    ) {
        let mut bytes = Vec::new();
        // How many nodes are to come, so that a good part of the trees is whole.
        let mut n_due = 1;
        for (idx, (name, value, n_children)) in nodes.iter().enumerate() {
            let name = if idx == 0 { "" } else { ["a", "b", "other", ""][*name] };
            let n_children = if n_due > 1 { *n_children } else { (*n_children).max(1) };
            n_due += i32::from(n_children) - 1;
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend([*value, n_children]);
        }
        bytes.extend(b"\x01a\x01\0".repeat(n_due as usize));
        if !nodes.is_empty() {
            prop_assert!(flamesql_profile::pyroscope_tree::decode(&bytes).is_ok());
        }
        flamesql_fuzz::pyroscope_tree(&damaged(bytes, &damages));
    }

    #[test]
    fn levels_hold(bytes in proptest::collection::vec(prop_oneof![0_u8..6, Just(0xff_u8), Just(0x80), Just(0xfe)], 0..60)) {
        flamesql_fuzz::flamebearer(&bytes);
    }

    /// Levels as a tree has them, then damaged: random ones hardly ever have a second level.
    #[test]
    fn damaged_levels_hold(
        text in "([ab];){0,4}[abc] [0-9]{1,2}\n(([ab];){0,4}[abc] [0-9]{1,2}\n){0,6}",
        damages in proptest::collection::vec(damage(), 0..4),
    ) {
        let tree = flamesql_profile::folded::decode(text.as_bytes()).unwrap().into_tree();
        let graph = flamesql_profile::flamebearer::Levels::encode(&tree, 0).unwrap();
        let mut bytes = Vec::new();
        for (depth, level) in graph.levels.iter().enumerate() {
            if depth > 0 {
                bytes.push(0xff);
            }
            for number in level {
                bytes.push(0x80);
                bytes.extend(number.to_le_bytes());
            }
        }
        flamesql_fuzz::flamebearer(&damaged(bytes, &damages));
    }

    #[test]
    fn selectors_hold(text in r#"[a_{}\[\]()=!~",`'.*+?|\\^$#:\- \n0xuUé]{0,40}"#) {
        flamesql_fuzz::selector(text.as_bytes());
    }

    #[test]
    fn legacy_queries_hold(
        app in "[a-z.]{0,3}",
        matchers in proptest::collection::vec((r#"[ab_]{0,2}( |")?"#, "=|!=|=~|!~|!|==|", r#"("?)([ab,}.*|^$()\[\]\\ ]|\(\?s:){0,6}"?"#), 0..4),
        end in "[},]{0,2}",
    ) {
        let matchers: Vec<String> =
            matchers.into_iter().map(|(name, op, value)| format!("{name}{op}{value}")).collect();
        flamesql_fuzz::flameql(format!("{app}{{{}{end}", matchers.join(",")).as_bytes());
        flamesql_fuzz::flameql(format!("{app}a{{{}}}", matchers.join(",")).as_bytes());
    }

    /// Any text can be a value, and any but the empty one a name.
    #[test]
    fn made_up_selectors_hold(
        matchers in proptest::collection::vec(
            (r"[\x00-\x7f]{1,4}|(?s:.{1,4})", any::<bool>(), r"[\x00-\x7f]{0,6}|(?s:.{0,6})"),
            0..4,
        ),
    ) {
        let selector: Selector = matchers
            .into_iter()
            .map(|(name, equal, value)| {
                Matcher::new(name, if equal { MatchOp::Equal } else { MatchOp::NotEqual }, value)
            })
            .collect();
        let text = selector.to_string();
        prop_assert_eq!(Selector::parse(&text), Ok(selector), "{}", text);
        flamesql_fuzz::selector(text.as_bytes());
    }

    #[test]
    fn matchers_hold(
        matchers in proptest::collection::vec((r#"[a-z_]{1,4}|"[a.é\\]{0,4}""#, "=|!=|=~|!~", r#""([a-c.*+|^$\-]|\(|\)|\[|\]|\\\\[a-zA-Z.]|\\n|\\x4[0-9a-f]|\{2\}){0,10}""#), 0..4),
        comma in ",?",
    ) {
        let matchers: Vec<String> =
            matchers.into_iter().map(|(name, op, value)| format!("{name}{op}{value}")).collect();
        flamesql_fuzz::selector(format!("{{{}{comma}}}", matchers.join(",")).as_bytes());
    }

    #[test]
    fn times_hold(text in r"(now)?[+-]?([0-9]{1,20}(\.[0-9]{1,3})?(ns|us|µs|ms|s|m|h|d|w|y)?){0,3}(/[smhdw])?", now in any::<i64>()) {
        flamesql_fuzz::time(text.as_bytes());
        flamesql_fuzz::time(&[&now.to_le_bytes(), text.as_bytes()].concat());
    }

    #[test]
    fn dates_hold(text in r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\.[0-9]{1,10})?)?(Z|[+-][0-2][0-9]:[0-6][0-9])?)?") {
        flamesql_fuzz::time(text.as_bytes());
    }
}
