//! CPU profiles of a made-up program of 20,000 functions.

use flamesql_profile::pprof::{Function, Line, Location, Profile, SampleLabel, ValueType};

use crate::Random;

/// How the samples of a profile lie on its stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each sample has a stack of its own, which is the worst case for all that interns.
    Synthetic,
    /// Twenty samples a distinct stack on average, a few stacks having most of them, as profiles have.
    Realistic,
}

const N_FUNCTIONS: usize = 20_000;
const N_FILES: usize = 400;
const N_THREADS: usize = 64;
/// A stack that is deeper is not grown any further.
const MAX_GROWN_DEPTH: usize = 60;
/// Most stacks grow out of one of so many before them, so that what is near in the file shares its start.
const WINDOW: usize = 20_000;
const SAMPLES_PER_STACK: usize = 20;
const PERIOD_NANOS: i64 = 10_000_000;

/// A profile of `n_samples` samples with the label `thread`, the same one for the same arguments.
///
/// Sample types are `samples`/`count` and `cpu`/`nanoseconds`.
pub fn generate(shape: Shape, n_samples: usize) -> Profile {
    let mut profile = Profile::default();
    profile.time_nanos = 1_700_000_000_000_000_000;
    profile.duration_nanos = 60_000_000_000;
    profile.period = PERIOD_NANOS;
    let samples = value_type(&mut profile, "samples", "count");
    let cpu = value_type(&mut profile, "cpu", "nanoseconds");
    profile.sample_types = vec![samples, cpu];
    profile.period_type = cpu;
    push_program(&mut profile);

    let mut random = Random::new(7);
    let n_stacks = match shape {
        Shape::Synthetic => n_samples,
        Shape::Realistic => n_samples.div_ceil(SAMPLES_PER_STACK),
    };
    let stacks = Stacks::grow(n_stacks, &mut random);
    let by_heat = shuffled(n_stacks, &mut random);

    let key = profile.intern("thread");
    let threads: Vec<SampleLabel> = (0..N_THREADS)
        .map(|n| {
            let text = profile.intern(&format!("t{n}"));
            SampleLabel { key, text, ..SampleLabel::default() }
        })
        .collect();
    let mut locations = Vec::new();
    for sample in 0..n_samples {
        let stack = match shape {
            Shape::Synthetic => sample,
            // Each stack occurs once for sure; which one the others hit is skewed.
            Shape::Realistic if sample % SAMPLES_PER_STACK == 0 => sample / SAMPLES_PER_STACK,
            Shape::Realistic => by_heat[zipf(n_stacks, &mut random)],
        };
        stacks.locations(stack, &mut locations);
        let count = 1 + random.below(20) as i64;
        profile.push_sample(
            &locations,
            &[count, count * PERIOD_NANOS],
            &[threads[sample % N_THREADS]],
        );
    }
    profile
}

fn value_type(profile: &mut Profile, kind: &str, unit: &str) -> ValueType {
    ValueType { kind: profile.intern(kind), unit: profile.intern(unit) }
}

/// The functions, one location each.
fn push_program(profile: &mut Profile) {
    let files: Vec<_> =
        (0..N_FILES).map(|n| profile.intern(&format!("src/pkg{}/file{n}.go", n % 97))).collect();
    for n in 0..N_FUNCTIONS {
        let name =
            profile.intern(&format!("pkg{}/mod{}.(*Type{}).Method{n}", n % 97, n % 31, n % 53));
        // Ids count from 1, and file, line and address go by the id.
        let id = n + 1;
        let function = profile.push_function(Function {
            name,
            system_name: name,
            filename: files[id % N_FILES],
            ..Function::default()
        });
        let line = Line { function: Some(function), line: (id % 900 + 1) as i64 };
        let address = 0x40_0000 + id as u64 * 16;
        profile.push_location(Location { address, ..Location::default() }, &[line]);
    }
}

/// A tree of stacks: each is that of its parent and one location more.
struct Stacks {
    parents: Vec<usize>,
    locations: Vec<u32>,
}

impl Stacks {
    fn grow(n_stacks: usize, random: &mut Random) -> Self {
        let mut stacks = Self { parents: vec![0], locations: vec![0] };
        let mut depths = vec![1_usize];
        for stack in 1..n_stacks {
            let start = if random.unit() < 0.8 { stack.saturating_sub(WINDOW) } else { 0 };
            let mut parent = start + random.below(stack - start);
            while depths[parent] > MAX_GROWN_DEPTH {
                parent = stacks.parents[parent];
            }
            // The square makes some functions much more frequent than others.
            let skewed = random.unit().powi(2);
            stacks.parents.push(parent);
            stacks.locations.push((N_FUNCTIONS as f64 * skewed) as u32);
            depths.push(depths[parent] + 1);
        }
        stacks
    }

    /// The locations of a stack, leaf first.
    fn locations(&self, mut stack: usize, into: &mut Vec<u32>) {
        into.clear();
        while stack != 0 {
            into.push(self.locations[stack]);
            stack = self.parents[stack];
        }
        into.push(self.locations[0]);
    }
}

fn shuffled(n: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for idx in (1..n).rev() {
        order.swap(idx, random.below(idx + 1));
    }
    order
}

/// A rank below `n`, the k-th about 1/k as often as the first.
fn zipf(n: usize, random: &mut Random) -> usize {
    let rank = ((n + 1) as f64).powf(random.unit()) as usize;
    rank.saturating_sub(1).min(n - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use flamesql_profile::pprof;

    use super::*;

    fn n_by_stack(profile: &Profile) -> HashMap<&[u32], usize> {
        let mut counts = HashMap::new();
        for sample in 0..profile.n_samples() {
            *counts.entry(profile.sample_locations(sample)).or_default() += 1;
        }
        counts
    }

    #[test]
    fn shapes_are_what_they_say() {
        let synthetic = generate(Shape::Synthetic, 2000);
        assert_eq!((synthetic.n_samples(), synthetic.functions().len()), (2000, N_FUNCTIONS));
        assert!(n_by_stack(&synthetic).len() > 1990);

        let realistic = generate(Shape::Realistic, 2000);
        let counts = n_by_stack(&realistic);
        assert!((95..=100).contains(&counts.len()), "{} stacks", counts.len());
        assert!(counts.values().max() > Some(&200));
    }

    #[test]
    fn values_are_samples_of_the_period() {
        let profile = generate(Shape::Realistic, 500);
        let names: Vec<_> = profile.sample_type_names().collect();
        assert_eq!(names, [("samples", "count"), ("cpu", "nanoseconds")]);
        let samples = profile.tree(0).unwrap().total().unwrap();
        assert_eq!(profile.tree(1).unwrap().total().unwrap(), samples * PERIOD_NANOS);
        assert!((500..=10_000).contains(&samples));
    }

    #[test]
    fn the_same_arguments_give_the_same_profile() {
        let bytes = pprof::encode(&generate(Shape::Synthetic, 300));
        assert_eq!(bytes, pprof::encode(&generate(Shape::Synthetic, 300)));
        assert_eq!(pprof::decode(&bytes).unwrap(), generate(Shape::Synthetic, 300));
        assert_eq!(generate(Shape::Realistic, 0).n_samples(), 0);
    }
}
