//! Merges pprof files into one and prints where the time went.
//!
//!     cargo run -p flamesql-profile --example merge_profiles -- OUT.pb.gz IN.pb.gz IN.pb.gz...
//!
//! The files must measure the same first thing; it is what the merged file holds.
#![expect(clippy::print_stdout, reason = "a program prints")]

use std::{env, error::Error, fs};

use flamesql_profile::{ProfileType, StackTreeBuilder, Timestamp, Unit, format_value, pprof};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(out), inputs) = (args.next(), args.collect::<Vec<_>>()) else {
        return Err("usage: merge_profiles OUT.pb.gz IN.pb.gz...".into());
    };
    let mut merged = StackTreeBuilder::new();
    let mut measured: Option<(String, String)> = None;
    let mut first_time = i64::MAX;
    for path in &inputs {
        let profile = pprof::decode(&fs::read(path)?).map_err(|e| format!("{path}: {e}"))?;
        let (kind, unit) = profile
            .sample_type_names()
            .next()
            .ok_or_else(|| format!("{path}: it measures nothing"))?;
        let (kind, unit) = (kind.to_owned(), unit.to_owned());
        match &measured {
            Some(other) if *other != (kind.clone(), unit.clone()) => {
                return Err(format!(
                    "{path}: it measures {kind} in {unit}, the files before {} in {}",
                    other.0, other.1
                )
                .into());
            }
            _ => measured = Some((kind, unit)),
        }
        first_time = first_time.min(profile.time_nanos);
        merged.merge(&profile.tree(0)?)?;
    }
    let (kind, unit) = measured.ok_or("no input given")?;
    let tree = merged.finish();

    let profile_type = ProfileType::from_parts("merged", &kind, &unit, "", "");
    let profile =
        pprof::Profile::from_tree(&profile_type, &tree, Timestamp::from_nanos(first_time), 0)?;
    fs::write(&out, pprof::encode_gzip(&profile))?;

    let unit = Unit::parse(&unit);
    let mut functions = tree.functions()?;
    functions.sort_by_key(|f| (std::cmp::Reverse(f.self_value), f.name));
    println!("{} of {kind} in {} files", format_value(tree.total()?, unit), inputs.len());
    for function in functions.iter().take(10) {
        let name = function.name.map_or("(no stack)", |name| tree.names().get(name));
        println!(
            "{:>12} {:>12}  {name}",
            format_value(function.self_value, unit),
            format_value(function.total, unit)
        );
    }
    Ok(())
}
