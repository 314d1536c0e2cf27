//! Writes a generated profile: `gen_pprof SAMPLES FILE [realistic] [--rows FILE]`; gzip if the file's name ends in
//! `.gz`, and with `--rows` the same samples in columns, of which `peers/to_parquet.py` makes Parquet.
#![expect(clippy::print_stdout, reason = "the program says what it wrote")]

use anyhow::{Context as _, bail};
use flamesql_benches::{Shape, encode_rows, generate};
use flamesql_profile::pprof;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (args, rows) = match args.as_slice() {
        [args @ .., "--rows", rows] => (args, Some(*rows)),
        args => (args, None),
    };
    let (n_samples, file, shape) = match args {
        [n, file] | [n, file, "synthetic"] => (*n, *file, Shape::Synthetic),
        [n, file, "realistic"] => (*n, *file, Shape::Realistic),
        _ => bail!("usage: gen_pprof SAMPLES FILE [realistic] [--rows FILE]"),
    };
    let n_samples: usize =
        n_samples.parse().with_context(|| format!("{n_samples:?} is not a number of samples"))?;
    let profile = generate(shape, n_samples);
    let bytes = match file.ends_with(".gz") {
        true => pprof::encode_gzip(&profile),
        false => pprof::encode(&profile),
    };
    write(file, &bytes, n_samples)?;
    match rows {
        Some(rows) => write(rows, &encode_rows(&profile), n_samples),
        None => Ok(()),
    }
}

fn write(file: &str, bytes: &[u8], n_samples: usize) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("writing {file}"))?;
    println!("{file}: {n_samples} samples, {} bytes", bytes.len());
    Ok(())
}
