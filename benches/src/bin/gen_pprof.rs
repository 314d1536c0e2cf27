//! Writes a generated profile: `gen_pprof SAMPLES FILE [realistic]`; gzip if the file's name ends in `.gz`.
#![expect(clippy::print_stdout, reason = "the program says what it wrote")]

use anyhow::{Context as _, bail};
use flamesql_benches::{Shape, generate};
use flamesql_profile::pprof;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (n_samples, file, shape) = match args.as_slice() {
        [n, file] | [n, file, "synthetic"] => (n, file, Shape::Synthetic),
        [n, file, "realistic"] => (n, file, Shape::Realistic),
        _ => bail!("usage: gen_pprof SAMPLES FILE [realistic]"),
    };
    let n_samples: usize =
        n_samples.parse().with_context(|| format!("{n_samples:?} is not a number of samples"))?;
    let profile = generate(shape, n_samples);
    let bytes = match file.ends_with(".gz") {
        true => pprof::encode_gzip(&profile),
        false => pprof::encode(&profile),
    };
    std::fs::write(file, &bytes).with_context(|| format!("writing {file}"))?;
    println!("{file}: {n_samples} samples, {} bytes", bytes.len());
    Ok(())
}
