//! Prints the label sets that a selector matches, or draws what is wrong with it.
//!
//! ```text
//! cargo run --example match_labels -- '{region=~"eu-.*",canary!="yes"}'
//! ```

use std::{collections::BTreeMap, io::Write, process::ExitCode};

use flamesql_selector::{Error, Filter, Selector};

fn main() -> ExitCode {
    let text = std::env::args().nth(1).unwrap_or_else(|| r#"{region=~"eu-.*"}"#.to_owned());
    let mut out = std::io::stdout().lock();
    let result = match matching(&text, &series()) {
        Ok(lines) => out.write_all(lines.concat().as_bytes()).map(|()| ExitCode::SUCCESS),
        Err(error) => {
            std::io::stderr().write_all(error.report().as_bytes()).map(|()| ExitCode::FAILURE)
        }
    };
    result.unwrap_or(ExitCode::FAILURE)
}

type Labels = BTreeMap<&'static str, &'static str>;

fn series() -> [Labels; 3] {
    [
        BTreeMap::from([("service_name", "shop"), ("region", "eu-west"), ("canary", "yes")]),
        BTreeMap::from([("service_name", "shop"), ("region", "eu-north")]),
        BTreeMap::from([("service_name", "mail"), ("region", "us-east")]),
    ]
}

/// A line for each label set the selector matches.
fn matching(text: &str, series: &[Labels]) -> Result<Vec<String>, Error> {
    let selector = Selector::parse(text)?;
    let filter = Filter::new(&selector)?;
    let matching = series.iter().filter(|labels| filter.matches(|name| labels.get(name).copied()));
    Ok(matching.map(|labels| format!("{labels:?}\n")).collect())
}
