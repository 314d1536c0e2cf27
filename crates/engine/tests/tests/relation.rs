//! The relation R written out: what the tables of a source mean, by a way that shares nothing with the engine's.
//!
//! Profiles are plain lists of stacks; rows are made by flooring the time, adding up equal keys in a map and dropping
//! zeros. They go into DataFusion's own in-memory tables, over which no rule of ours runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Array, ListBuilder, MapBuilder, MapFieldNames, RecordBatch,
        StringArray, StringBuilder, TimestampNanosecondArray,
    },
    datatypes::{Field, Float64Type, Schema},
    util::display::{ArrayFormatter, FormatOptions},
};
use flamesql_backend::{Capabilities, Memory};
use flamesql_engine::datafusion::{
    datasource::MemTable,
    prelude::{SessionConfig, SessionContext},
};
use flamesql_profile::{Labels, ProfileType, StackTreeBuilder, Timestamp};

use super::words;

/// A profile as the test knows it.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) profile_type: &'static str,
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) time: i64,
    pub(crate) stacks: Vec<(Vec<&'static str>, i64)>,
}

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
pub(crate) const HEAP: &str = "memory:inuse_space:bytes:space:bytes";

/// A small generator of numbers, the same for the same seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(crate) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Where most profiles are: 2023-11-14T22:13:20Z.
pub(crate) const START: i64 = 1_700_000_000_000_000_000;

/// Times at which days, weeks, months and years begin, and the first one of all clocks.
pub(crate) const EDGES: [i64; 5] = [
    1_700_438_400_000_000_000, // Monday, 2023-11-20
    1_701_388_800_000_000_000, // 2023-12-01
    1_704_067_200_000_000_000, // Monday, 2024-01-01
    1_700_006_400_000_000_000, // 2023-11-15
    0,
];

/// Profiles with missing labels, times around the edges of bins, recursion, empty stacks, and perhaps negative values.
pub(crate) fn profiles(seed: u64, n: usize, with_negative: bool) -> Vec<Truth> {
    let mut random = Random(seed);
    let functions = ["main", "serve", "parse", "gc mark", "größe", "a;b", "x/y\nz"];
    (0..n)
        .map(|_| {
            let mut labels = Vec::new();
            if random.below(8) > 0 {
                let pods = ["a", "b", "c-0", "x'y", "a\nb", "Ünï\"%_", "a.b|\\d", ""];
                labels.push(("pod", random.one(&pods)));
            }
            if random.below(3) > 0 {
                labels.push(("region", random.one(&["eu", "us", "eu", "us", ""])));
            }
            if random.below(4) == 0 {
                labels.push(("k8s.cluster", random.one(&["prod", "dev"])));
            }
            if random.below(5) == 0 {
                labels.push(("function", random.one(&["F", "main"])));
                labels.push(("total", "T"));
            }
            if random.below(6) == 0 {
                labels.push(("time", "a label called as a column"));
            }
            if random.below(6) == 0 {
                labels.push(("Pod", random.one(&["A", "a"])));
            }
            if random.below(10) == 0 {
                labels.push(("__hidden", random.one(&["1", "2"])));
            }
            let second = 1_000_000_000_i64;
            let about = match random.below(6) {
                0 => EDGES[random.below(EDGES.len())],
                _ => i64::try_from(random.below(180)).unwrap() * second + START,
            };
            let time = about + [0, 1, -1, 500_000_000, 999_999_999, 0][random.below(6)];
            let mut stacks: Vec<(Vec<&str>, i64)> = (0..1 + random.below(5))
                .map(|_| {
                    let stack = (0..random.below(5)).map(|_| random.one(&functions)).collect();
                    let value = match random.below(12) {
                        0 => 0,
                        1 if with_negative => -i64::try_from(random.below(20)).unwrap(),
                        2 => 9_007_199_254_740_993,
                        _ => i64::try_from(random.below(50)).unwrap(),
                    };
                    (stack, value)
                })
                .collect();
            if with_negative && random.below(3) == 0 {
                // What its callers come to is 0, and so they have no rows.
                let (mut stack, value) = stacks[0].clone();
                stack.push("parse");
                stacks.push((stack, -value));
            }
            let profile_type = if random.below(4) == 0 { HEAP } else { CPU };
            Truth { profile_type, labels, time, stacks }
        })
        .collect()
}

/// Values that add up to just what 64 bits hold. They have no callers, so no sum of totals is larger.
pub(crate) fn large(time: i64) -> Vec<Truth> {
    let third = 2_900_000_000_000_000_000;
    [("a", vec!["main"]), ("a", Vec::new()), ("b", vec!["gc mark"])]
        .into_iter()
        .zip([0, 60, 61])
        .map(|((pod, stack), seconds)| Truth {
            profile_type: CPU,
            labels: vec![("pod", pod)],
            time: time + seconds * 1_000_000_000,
            stacks: vec![(stack, third)],
        })
        .collect()
}

/// The same profiles in a backend.
pub(crate) fn memory(profiles: &[Truth], capabilities: Capabilities) -> Memory {
    let memory = Memory::new().with_capabilities(capabilities);
    for profile in profiles {
        let mut builder = StackTreeBuilder::new();
        for (stack, value) in &profile.stacks {
            let ids: Vec<_> = stack.iter().map(|name| builder.intern(name)).collect();
            let node = builder.insert(&ids).unwrap();
            builder.add(node, *value).unwrap();
        }
        let labels: Labels = profile.labels.iter().copied().collect();
        let profile_type = ProfileType::parse(profile.profile_type).unwrap();
        memory
            .insert(
                &profile_type,
                &labels,
                Timestamp::from_nanos(profile.time),
                0,
                &builder.finish(),
            )
            .unwrap();
    }
    memory
}

type Key = (&'static str, Vec<(&'static str, &'static str)>, i64);

/// A session of DataFusion alone, with R's rows in its tables.
pub(crate) fn reference(profiles: &[Truth], grain: i64) -> SessionContext {
    let mut series: BTreeMap<Key, i64> = BTreeMap::new();
    let mut samples: BTreeMap<(Key, Vec<&'static str>), i64> = BTreeMap::new();
    for profile in profiles {
        let mut labels = profile.labels.clone();
        labels.retain(|(name, value)| !value.is_empty() && !name.starts_with("__"));
        labels.sort_unstable();
        let key: Key = (profile.profile_type, labels, profile.time.div_euclid(grain) * grain);
        for (stack, value) in &profile.stacks {
            *samples.entry((key.clone(), stack.clone())).or_default() += value;
        }
    }
    let mut functions: BTreeMap<(Key, Option<&'static str>), (i64, i64)> = BTreeMap::new();
    let mut edges: BTreeMap<(Key, &'static str, &'static str), i64> = BTreeMap::new();
    for ((key, stack), value) in &samples {
        let distinct: BTreeSet<[&str; 2]> = stack.windows(2).map(|p| [p[0], p[1]]).collect();
        for [caller, callee] in distinct {
            *edges.entry((key.clone(), caller, callee)).or_default() += value;
        }
        *series.entry(key.clone()).or_default() += value;
        functions.entry((key.clone(), stack.last().copied())).or_default().0 += value;
        let distinct: BTreeSet<Option<&str>> = match stack.as_slice() {
            [] => [None].into(),
            stack => stack.iter().map(|f| Some(*f)).collect(),
        };
        for function in distinct {
            functions.entry((key.clone(), function)).or_default().1 += value;
        }
    }
    series.retain(|_, value| *value != 0);
    samples.retain(|_, value| *value != 0);
    functions.retain(|_, (_, total)| *total != 0);
    edges.retain(|_, value| *value != 0);

    // Two things of DataFusion are wrong, and off in the engine too: it mixes up the branches of a UNION, and takes it for
    // a fault that an optimized key is known to be there where the written one might be NULL.
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .set_bool("datafusion.optimizer.enable_leaf_expression_pushdown", false)
        .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true);
    let context = SessionContext::new_with_config(config);
    words::register(&context);
    // A label is a column even if all rows that have it are 0.
    let names: BTreeSet<&str> = profiles
        .iter()
        .flat_map(|p| &p.labels)
        .filter(|(name, value)| !value.is_empty() && !name.starts_with("__"))
        .map(|(name, _)| *name)
        .collect();
    let int = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let is_label = |name: &str| names.contains(name) && name != "time";
    let add = |table: &str, keys: Vec<&Key>, own: Vec<(&str, ArrayRef)>| {
        let mut columns = dimensions(&keys, &names, &own);
        columns.extend(own.into_iter().map(|(name, array)| (name.to_owned(), array)));
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| {
                // What is never missing is known to be so, and the planner makes use of that.
                let is_nullable = array.is_nullable() || name == "function" || is_label(name);
                Field::new(name, array.data_type().clone(), is_nullable)
            })
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
        context
            .register_table(table, Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()))
            .unwrap();
    };
    add(
        "series",
        series.keys().collect(),
        vec![("value", int(series.values().copied().collect()))],
    );
    let mut stacks = ListBuilder::new(StringBuilder::new()).with_field(words::stack_item());
    for (_, stack) in samples.keys() {
        stack.iter().for_each(|name| stacks.values().append_value(name));
        stacks.append(true);
    }
    let leaves = StringArray::from_iter(samples.keys().map(|(_, stack)| stack.last().copied()));
    add(
        "samples",
        samples.keys().map(|(key, _)| key).collect(),
        vec![
            ("stack", Arc::new(stacks.finish())),
            ("function", Arc::new(leaves)),
            ("value", int(samples.values().copied().collect())),
        ],
    );
    let names_of = StringArray::from_iter(functions.keys().map(|(_, f)| *f));
    add(
        "functions",
        functions.keys().map(|(key, _)| key).collect(),
        vec![
            ("function", Arc::new(names_of)),
            ("self", int(functions.values().map(|(s, _)| *s).collect())),
            ("total", int(functions.values().map(|(_, t)| *t).collect())),
        ],
    );
    // One of which nothing is left is no profile.
    let has_values = |profile: &&Truth| {
        let mut stacks: BTreeMap<&[&str], i64> = BTreeMap::new();
        for (stack, value) in &profile.stacks {
            *stacks.entry(stack.as_slice()).or_default() += value;
        }
        stacks.values().any(|value| *value != 0)
    };
    let each: Vec<(Key, i64)> = profiles
        .iter()
        .filter(has_values)
        .map(|profile| {
            let mut labels = profile.labels.clone();
            labels.retain(|(name, value)| !value.is_empty() && !name.starts_with("__"));
            labels.sort_unstable();
            let time = profile.time.div_euclid(grain) * grain;
            let value = profile.stacks.iter().map(|(_, value)| value).sum();
            ((profile.profile_type, labels, time), value)
        })
        .collect();
    add(
        "profiles",
        each.iter().map(|(key, _)| key).collect(),
        vec![("value", int(each.iter().map(|(_, value)| *value).collect()))],
    );
    let column = |names: Vec<&'static str>| -> ArrayRef { Arc::new(StringArray::from(names)) };
    add(
        "call_edges",
        edges.keys().map(|(key, ..)| key).collect(),
        vec![
            ("caller", column(edges.keys().map(|(_, caller, _)| *caller).collect())),
            ("callee", column(edges.keys().map(|(.., callee)| *callee).collect())),
            ("value", int(edges.values().copied().collect())),
        ],
    );
    context
}

fn dimensions(
    keys: &[&Key],
    names: &BTreeSet<&str>,
    own: &[(&str, ArrayRef)],
) -> Vec<(String, ArrayRef)> {
    let entry_names =
        MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
    let mut map = MapBuilder::new(Some(entry_names), StringBuilder::new(), StringBuilder::new());
    for (_, labels, _) in keys {
        for (name, value) in labels {
            map.keys().append_value(name);
            map.values().append_value(value);
        }
        map.append(true).unwrap();
    }
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (
            "time".into(),
            Arc::new(TimestampNanosecondArray::from_iter_values(keys.iter().map(|k| k.2))),
        ),
        ("profile_type".into(), Arc::new(StringArray::from_iter_values(keys.iter().map(|k| k.0)))),
        ("labels".into(), Arc::new(map.finish())),
    ];
    for name in names {
        let is_taken = columns.iter().any(|(n, _)| n == name) || own.iter().any(|(n, _)| n == name);
        if !is_taken {
            let values = keys.iter().map(|k| k.1.iter().find(|(n, _)| n == name).map(|(_, v)| *v));
            columns.push(((*name).to_owned(), Arc::new(StringArray::from_iter(values))));
        }
    }
    columns
}

/// The rows of an answer as text, in whatever order they are to be compared.
///
/// Of doubles ten digits count: what is added up in another order differs behind them.
pub(crate) fn lines(batches: &[RecordBatch], is_ordered: bool) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(batch.columns()).map(|(text, array)| match array
                .as_primitive_opt::<Float64Type>(
            ) {
                Some(doubles) if doubles.is_valid(row) => {
                    let ten_digits = format!("{:.9e}", doubles.value(row));
                    format!("{:?}", ten_digits.parse::<f64>().unwrap())
                }
                _ => text.value(row).to_string(),
            });
            lines.push(cells.collect::<Vec<_>>().join(" | "));
        }
    }
    if !is_ordered {
        lines.sort_unstable();
    }
    lines
}
