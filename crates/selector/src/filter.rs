//! A selector compiled to match label sets. It is apart from [`Selector`] so that selectors stay
//! plain data, and so that a program which only sends them to a server needs no regex engine.

use std::collections::HashSet;

use regex::{Regex, RegexBuilder};

use crate::{Error, ErrorKind, MatchOp, Matcher, Selector, error::Subject, re2};

/// A compiled selector.
///
/// It answers as Prometheus does: a missing label counts as the empty value, a regex has to match
/// the whole value and its `.` also matches newlines.
///
/// ```
/// use std::collections::HashMap;
///
/// use flamesql_selector::{Filter, Selector};
///
/// let filter = Filter::new(&Selector::parse(r#"{service_name=~"shop.*",canary!="yes"}"#)?)?;
/// let labels = HashMap::from([("service_name", "shop-eu")]);
/// assert!(filter.matches(|name| labels.get(name).copied()));
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Filter {
    matchers: Vec<LabelMatcher>,
}

/// The compiled condition on one label.
///
/// ```
/// use flamesql_selector::{LabelMatcher, Matcher};
///
/// let matcher = LabelMatcher::new(&Matcher::one_of("region", ["eu", "us"]))?;
/// assert_eq!(matcher.name(), "region");
/// assert!(matcher.matches_value("eu"));
/// assert!(!matcher.matches_value("eu-west"));
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LabelMatcher {
    name: String,
    is_negated: bool,
    test: Test,
}

/// What a value is tested for: the cheapest way that is right.
#[derive(Clone, Debug)]
enum Test {
    Anything,
    NotEmpty,
    Equal(String),
    OneOf(HashSet<String>),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(Regex),
}

/// The most memory a compiled regex may take, in bytes. Servers have no such limit.
const MAX_REGEX_SIZE: usize = 64 << 20;

impl Filter {
    /// Compiles a selector.
    ///
    /// ```
    /// use flamesql_selector::{Filter, Selector};
    ///
    /// let filter = Filter::new(&Selector::all())?;
    /// assert!(filter.matches(|_| None));
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadRegex`] for a regex RE2 does not read, which a parsed selector does not
    /// have; [`ErrorKind::RegexTooLarge`] for one that compiles to more than 64 MiB.
    pub fn new(selector: &Selector) -> Result<Self, Error> {
        let matchers = selector.matchers.iter().map(LabelMatcher::new).collect::<Result<_, _>>()?;
        Ok(Self { matchers })
    }

    /// Whether the label set that `get` looks up meets all conditions. `get` gives the value of a
    /// label, or `None` if the set does not have it.
    ///
    /// ```
    /// use flamesql_selector::{Filter, Selector};
    ///
    /// let filter = Filter::new(&Selector::parse(r#"{region=""}"#)?)?;
    /// assert!(filter.matches(|_| None));
    /// assert!(!filter.matches(|name| (name == "region").then_some("eu")));
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    pub fn matches<'v>(&self, mut get: impl FnMut(&str) -> Option<&'v str>) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.matches_value(get(matcher.name()).unwrap_or_default()))
    }

    /// The conditions in the order of the selector, for callers which keep their labels in columns.
    ///
    /// ```
    /// use flamesql_selector::{Filter, Selector};
    ///
    /// let filter = Filter::new(&Selector::parse(r#"{a="b",c="d"}"#)?)?;
    /// assert_eq!(filter.matchers()[1].name(), "c");
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    pub fn matchers(&self) -> &[LabelMatcher] {
        &self.matchers
    }
}

impl LabelMatcher {
    /// Compiles one condition.
    ///
    /// ```
    /// use flamesql_selector::{LabelMatcher, Matcher};
    ///
    /// assert!(LabelMatcher::new(&Matcher::regex("a", "(")).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Filter::new`].
    pub fn new(matcher: &Matcher) -> Result<Self, Error> {
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => Test::regex(&matcher.value)?,
        };
        Ok(Self { name: matcher.name.clone(), is_negated: matcher.op.is_negated(), test })
    }

    /// The label's name.
    ///
    /// ```
    /// use flamesql_selector::{LabelMatcher, Matcher};
    ///
    /// assert_eq!(LabelMatcher::new(&Matcher::equal("a", "b"))?.name(), "a");
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the condition holds for a value; the value of a missing label is `""`.
    ///
    /// ```
    /// use flamesql_selector::{LabelMatcher, Matcher};
    ///
    /// let matcher = LabelMatcher::new(&Matcher::not_regex("a", "b.*"))?;
    /// assert!(matcher.matches_value(""));
    /// assert!(!matcher.matches_value("bc"));
    /// # Ok::<(), flamesql_selector::Error>(())
    /// ```
    pub fn matches_value(&self, value: &str) -> bool {
        self.test.holds(value) != self.is_negated
    }
}

impl Test {
    fn regex(regex: &str) -> Result<Self, Error> {
        if let Some(mut values) = re2::literals(regex) {
            return Ok(match (values.pop(), values.is_empty()) {
                (Some(value), true) => Self::Equal(value),
                (last, _) => Self::OneOf(values.into_iter().chain(last).collect()),
            });
        }
        match regex {
            ".*" => return Ok(Self::Anything),
            ".+" => return Ok(Self::NotEmpty),
            _ => {}
        }
        // A text with `.*` at one end or both; `\.*` is none, and `literals` refuses what is left.
        let (start, middle) = match regex.strip_prefix(".*") {
            Some(middle) => (true, middle),
            None => (false, regex),
        };
        let (end, middle) = match middle.strip_suffix(".*") {
            Some(middle) => (true, middle),
            None => (false, middle),
        };
        let mut texts = re2::literals(middle).unwrap_or_default();
        if let (Some(text), true) = (texts.pop(), texts.is_empty()) {
            match (start, end) {
                (true, true) => return Ok(Self::Contains(text)),
                (true, false) => return Ok(Self::EndsWith(text)),
                (false, true) => return Ok(Self::StartsWith(text)),
                (false, false) => {}
            }
        }
        compile(regex).map(Self::Regex)
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::NotEmpty => !value.is_empty(),
            Self::Equal(text) => value == text,
            Self::OneOf(values) => values.contains(value),
            Self::StartsWith(text) => value.starts_with(text.as_str()),
            Self::EndsWith(text) => value.ends_with(text.as_str()),
            Self::Contains(text) => value.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

fn compile(regex: &str) -> Result<Regex, Error> {
    let translated = re2::translate(regex)?;
    RegexBuilder::new(&format!(r"\A(?s:{translated})\z"))
        .size_limit(MAX_REGEX_SIZE)
        .build()
        .map_err(|_| {
            Error::new(ErrorKind::RegexTooLarge, Subject::Regex, regex, 0..regex.len())
                .with_message(format!("compiled it takes more than {MAX_REGEX_SIZE} bytes"))
        })
}
