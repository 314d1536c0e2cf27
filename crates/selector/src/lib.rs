//! Label selectors of Prometheus, Phlare and Pyroscope: `{service_name="shop",region=~"eu-.*"}`.
//!
//! # Brief overview
//!
//! [`Selector::parse`] reads the text exactly as the servers do and gives plain data: a list of
//! [`Matcher`]s, each a label name, a [`MatchOp`] and a value. A selector prints itself in one
//! canonical form, so that parsing what was printed gives the same selector again. A text that is
//! refused gives an [`Error`] that knows the place and can draw it ([`Error::report`]).
//!
//! The legacy Pyroscope server has a language of its own: module [`flameql`] reads and writes it.
//!
//! To match label sets, compile the selector into a [`Filter`] (feature `match`, on by default).
//! The servers' regexes are RE2; module [`re2`] translates them to the `regex` crate. Without the
//! feature the crate has no dependency at all and leaves regexes unchecked.
//!
//! # Example
//!
//! ```
//! use flamesql_selector::{Matcher, Selector};
//!
//! let selector = Selector::parse(r#"process_cpu{region=~"eu-.*", "k8s.pod"!="shop-1"}"#)?;
//! assert_eq!(selector.matchers[0], Matcher::regex("region", "eu-.*"));
//! assert_eq!(
//!     selector.to_string(),
//!     r#"{region=~"eu-.*","k8s.pod"!="shop-1",__name__="process_cpu"}"#
//! );
//!
//! let error = Selector::parse("{region=eu}").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"selector "{region=eu}": expected a quoted string after "=" (at 8..10)"#
//! );
//! # Ok::<(), flamesql_selector::Error>(())
//! ```
//!
//! # Where this differs from Prometheus
//!
//! Everything the `ParseMetricSelector` function of Prometheus accepts is accepted, and nothing
//! else, except that
//!
//! - `\xff` and other byte escapes must add up to valid UTF-8 (a Go string holds any bytes);
//! - a metric name in front of the braces together with one inside them (`up{"up"}`,
//!   `up{__name__="up"}`) is an error, as in a PromQL expression; inside the braces several are fine;
//! - text longer than [`MAX_LEN`] is an error;
//! - unquoted UTF-8 names, which are behind a switch in Prometheus, are an error.
//!
//! How regexes differ is written in module [`re2`].

mod selector;

mod matcher;

mod lexer;

mod parser;

mod display;

mod error;

pub mod flameql;

#[cfg(feature = "match")]
pub mod re2;

#[cfg(feature = "match")]
pub mod filter;

#[cfg(feature = "match")]
pub use filter::{Filter, LabelMatcher, RegexBudget};
pub use {
    display::is_label_name,
    error::{Error, ErrorKind, excerpt},
    matcher::{MatchOp, Matcher, escape_regex},
    parser::MAX_LEN,
    selector::Selector,
};

/// The README's code runs.
#[cfg(all(doctest, feature = "match"))]
#[doc = include_str!("../README.md")]
struct Readme;
