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

/// How much memory the regexes of one question may take, compiled. It is used up by each that is compiled within it.
///
/// ```
/// use flamesql_selector::{Filter, RegexBudget, Selector};
///
/// let selector = Selector::parse(r#"{a=~"(b|c)+",d!~"e[0-9]"}"#)?;
/// let mut budget = RegexBudget::default();
/// Filter::within(&selector, &mut budget)?;
/// assert!(Filter::within(&selector, &mut RegexBudget::new(1000)).is_err());
/// # Ok::<(), flamesql_selector::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegexBudget {
    bytes: usize,
    left: usize,
}

impl RegexBudget {
    /// What a budget has unless it is made otherwise, in bytes. Servers have no such limit.
    pub const DEFAULT: usize = 64 << 20;

    /// A budget of so many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self { bytes, left: bytes }
    }
}

impl Default for RegexBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

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
    /// have; [`ErrorKind::RegexTooLarge`] for regexes that together compile to more than
    /// [`RegexBudget::DEFAULT`].
    pub fn new(selector: &Selector) -> Result<Self, Error> {
        Self::within(selector, &mut RegexBudget::default())
    }

    /// As [`Filter::new`], within a budget that others share.
    ///
    /// # Errors
    ///
    /// As [`Filter::new`], with this budget.
    pub fn within(selector: &Selector, budget: &mut RegexBudget) -> Result<Self, Error> {
        let matchers =
            selector.matchers.iter().map(|matcher| LabelMatcher::within(matcher, budget));
        Ok(Self { matchers: matchers.collect::<Result<_, _>>()? })
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
        Self::within(matcher, &mut RegexBudget::default())
    }

    /// As [`LabelMatcher::new`], within a budget that others share.
    ///
    /// # Errors
    ///
    /// As [`Filter::within`].
    pub fn within(matcher: &Matcher, budget: &mut RegexBudget) -> Result<Self, Error> {
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => Test::regex(&matcher.value, budget)?,
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
    fn regex(regex: &str, budget: &mut RegexBudget) -> Result<Self, Error> {
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
        budget.compile(regex).map(Self::Regex)
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

/// A regex is compiled into two automata, one for each direction.
const DIRECTIONS: usize = 2;
/// The least that a regex is counted as, in one direction.
const LEAST: usize = 32 << 10;
/// What reading a regex takes for a while: its syntax tree by byte, and the ranges of a class such as `\pL`.
const BYTE: usize = 160;
const CLASS: usize = 16 << 10;

impl RegexBudget {
    fn compile(&mut self, regex: &str) -> Result<Regex, Error> {
        let translated = re2::translate(regex)?;
        let n_classes = translated.matches("\\p").count() + translated.matches("\\P").count();
        let to_read = translated.len().saturating_mul(BYTE).saturating_add(n_classes * CLASS);
        if to_read > self.left {
            return Err(self.exceeded(regex));
        }
        let translated = format!(r"\A(?s:{translated})\z");
        // The engine does not tell how large a regex has become, only whether it stays below a limit: so that is raised
        // step by step, and what it had to be is what is used up.
        let mut limit = LEAST;
        while limit <= self.left / DIRECTIONS {
            match RegexBuilder::new(&translated).size_limit(limit).build() {
                Ok(regex) => {
                    self.left -= limit * DIRECTIONS;
                    return Ok(regex);
                }
                Err(regex::Error::CompiledTooBig(_)) => limit *= 2,
                Err(_) => break,
            }
        }
        Err(self.exceeded(regex))
    }

    fn exceeded(&self, regex: &str) -> Error {
        let Self { bytes, left } = self;
        let message = match left == bytes {
            true => format!("compiled it takes more than the budget of {bytes} bytes"),
            false => format!(
                "compiled it takes more than what other regexes leave of the budget of {bytes} bytes"
            ),
        };
        Error::new(ErrorKind::RegexTooLarge, Subject::Regex, regex, 0..regex.len())
            .with_message(message)
    }
}
