//! All integration tests, so that there is one program to link.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

// What the page of coverage says is tested.
mod coverage;
// What is wrong with a data source, told apart.
mod health;
// Files of data sources.
mod provisioning;
// What is asked, and the frames that come back.
mod queries;
// What editors ask for.
mod resources;
// What Grafana says of a data source.
mod settings;

mod support;
