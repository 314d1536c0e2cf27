//! A profile's samples in columns, for programs that read tables and not pprof.
//!
//! The form is the leanest that both sides read without a library: the columns as they lie in memory, little-endian.
//! `peers/to_parquet.py` makes Parquet of it.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `FLAMEROW` |
//! | 4 × 8 | how many samples, frames, threads, functions |
//! | 8 a sample | the value of the last sample type |
//! | 4 a sample | the thread, counted from 0 |
//! | 4 a sample | where the stack begins among the frames; once more at the end |
//! | 4 a frame | the function, counted from 0, of each frame of each stack, leaf first |
//! | the rest | a line of UTF-8 for each thread, then for each function |

use flamesql_profile::pprof::Profile;

const MAGIC: &[u8; 8] = b"FLAMEROW";

/// The samples of a generated profile: one frame a location, one text label a sample.
///
/// # Panics
///
/// If a sample has no label, a location not one line with a function, or there are more frames than 31 bits count.
pub fn encode_rows(profile: &Profile) -> Vec<u8> {
    let mut values: Vec<i64> = Vec::new();
    let (mut threads, mut starts, mut frames) = (Vec::new(), vec![0_u32], Vec::new());
    let mut thread_texts = Vec::new();
    for sample in 0..profile.n_samples() {
        values.extend(profile.sample_values(sample).last());
        let text = profile.sample_labels(sample)[0].text;
        // There are few threads.
        let thread = thread_texts.iter().position(|known| *known == text).unwrap_or_else(|| {
            thread_texts.push(text);
            thread_texts.len() - 1
        });
        threads.push(count(thread));
        for location in profile.sample_locations(sample) {
            let [line] = profile.lines(*location as usize) else { panic!("a location is inlined") };
            frames.push(line.function.expect("a generated line has a function"));
        }
        starts.push(count(frames.len()));
    }

    let mut bytes = MAGIC.to_vec();
    for n in [values.len(), frames.len(), thread_texts.len(), profile.functions().len()] {
        bytes.extend((n as u64).to_le_bytes());
    }
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    for column in [threads, starts, frames] {
        bytes.extend(column.iter().flat_map(|number| number.to_le_bytes()));
    }
    let functions = profile.functions().iter().map(|function| function.name);
    for text in thread_texts.into_iter().chain(functions) {
        bytes.extend(profile.text(text).as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

fn count(n: usize) -> u32 {
    i32::try_from(n).expect("31 bits count it").unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shape, generate};

    #[test]
    fn rows_are_the_samples() {
        let profile = generate(Shape::Realistic, 200);
        let bytes = encode_rows(&profile);
        let (head, rest) = bytes.split_at(40);
        let counts: Vec<usize> = head[8..]
            .chunks_exact(8)
            .map(|n| u64::from_le_bytes(n.try_into().unwrap()) as usize)
            .collect();
        let [n_samples, n_frames, n_threads, n_functions] = counts[..] else {
            panic!("{counts:?}")
        };
        assert_eq!(
            (&head[..8], n_samples, n_threads, n_functions),
            (MAGIC.as_slice(), 200, 64, profile.functions().len())
        );

        let (values, rest) = rest.split_at(8 * n_samples);
        let sum: i64 =
            values.chunks_exact(8).map(|n| i64::from_le_bytes(n.try_into().unwrap())).sum();
        assert_eq!(sum, profile.tree(1).unwrap().total().unwrap());

        let (columns, texts) = rest.split_at(4 * (n_samples + n_samples + 1 + n_frames));
        let numbers: Vec<usize> = columns
            .chunks_exact(4)
            .map(|n| u32::from_le_bytes(n.try_into().unwrap()) as usize)
            .collect();
        let (threads, rest) = numbers.split_at(n_samples);
        let (starts, frames) = rest.split_at(n_samples + 1);
        let texts: Vec<&str> = std::str::from_utf8(texts).unwrap().lines().collect();
        let (thread_texts, function_texts) = texts.split_at(n_threads);
        assert_eq!(function_texts.len(), n_functions);
        for sample in 0..n_samples {
            let label = profile.sample_labels(sample)[0];
            assert_eq!(thread_texts[threads[sample]], profile.text(label.text));
            let stack =
                frames[starts[sample]..starts[sample + 1]].iter().map(|f| function_texts[*f]);
            let locations = profile.sample_locations(sample).iter().map(|location| {
                let function = profile.lines(*location as usize)[0].function.unwrap();
                profile.text(profile.functions()[function as usize].name)
            });
            assert!(stack.eq(locations), "sample {sample}");
        }
    }
}
