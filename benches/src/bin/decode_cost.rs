//! What it costs to read one profile: inflating it, decoding it, and making the tree of its stacks, each by itself.
//!
//!     cargo run --release -p flamesql-benches --bin decode_cost -- big.pb.gz
//!
//! The processor time of this thread is measured and not the clock, which other programs share.
#![expect(clippy::print_stdout, reason = "a program prints")]

use std::{env, fs, io::Read, time::Duration};

use anyhow::{Context, Result, ensure};
use flamesql_profile::pprof;
use flate2::read::MultiGzDecoder;

/// How often each step is run; the quickest run counts.
const N_RUNS: usize = 5;

fn main() -> Result<()> {
    let path = env::args().nth(1).context("usage: decode_cost FILE.pb.gz")?;
    let gzip = fs::read(&path).with_context(|| format!("read {path}"))?;
    ensure!(gzip.starts_with(&[0x1f, 0x8b]), "{path} is not gzip");

    let (inflating, plain) = quickest(|| {
        let mut plain = Vec::new();
        MultiGzDecoder::new(gzip.as_slice()).read_to_end(&mut plain).map(|_| plain)
    })?;
    let (decoding, profile) = quickest(|| pprof::decode(&gzip))?;
    let (growing, tree) = quickest(|| profile.tree(profile.sample_types.len() - 1))?;
    let (listing, functions) = quickest(|| tree.functions())?;

    println!("{} samples, {} bytes, {} inflated", profile.n_samples(), gzip.len(), plain.len());
    println!("inflate alone       {inflating:>8.0?}");
    println!("decode, inflated    {decoding:>8.0?}");
    println!("tree of {} stacks {growing:>8.0?}", tree.len());
    println!("{} functions      {listing:>8.0?}", functions.len());
    println!(
        "gzip to tree, beyond gzip itself: {:.0?}",
        (decoding + growing).saturating_sub(inflating)
    );
    Ok(())
}

/// The least time that a step took, and what it made.
fn quickest<T, E>(step: impl Fn() -> Result<T, E>) -> Result<(Duration, T)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..N_RUNS {
        let before = processor_time()?;
        let made = step()?;
        let took = processor_time()?.saturating_sub(before);
        if best.as_ref().is_none_or(|(least, _)| took < *least) {
            best = Some((took, made));
        }
    }
    best.context("a step runs at least once")
}

/// How long this thread has had a processor.
fn processor_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("this needs Linux")?;
    let nanos = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}
