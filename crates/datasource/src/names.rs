//! What there is to ask about: profile types, labels and their values, as editors of queries list them.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use flamesql_backend::MetaQuery;
use flamesql_profile::{ProfileType, TimeRange, Timestamp};
use flamesql_selector::{MatchOp, Matcher, Selector};
use serde::Serialize;

use crate::{DataSource, Error, Opened};

const HOUR: i64 = 3_600_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// The label that stands for the profile type.
const PROFILE_TYPE: &str = "__profile_type__";
/// Before the braces a selector names a profile type in older queries, which is this label to Prometheus.
const NAME: &str = "__name__";

/// A profile type to be chosen from a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProfileTypeItem {
    /// Its id, or the name of the app.
    pub id: String,
    /// What is shown for it.
    pub label: String,
}

impl From<&ProfileType> for ProfileTypeItem {
    fn from(profile_type: &ProfileType) -> Self {
        let label = match profile_type.is_app() {
            true => profile_type.name().to_owned(),
            false => format!("{} - {}", profile_type.name(), profile_type.sample_type()),
        };
        Self { id: profile_type.as_str().to_owned(), label }
    }
}

/// Which labels are asked for, as an editor says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaText<'a> {
    /// A selector. The profile type may be in it as `__profile_type__`, or stand before the braces; blank is `{}`.
    pub query: &'a str,
    /// When, in milliseconds; without both the last hour is meant, or all of what is finite.
    pub start: Option<i64>,
    /// Until when, this millisecond included.
    pub end: Option<i64>,
}

impl DataSource {
    /// The profile types of a range in milliseconds; without both ends of the last hour, or all of what is finite.
    ///
    /// # Errors
    ///
    /// If the start is after the end, or the source gives no answer.
    pub async fn profile_types(
        &self,
        start: Option<i64>,
        end: Option<i64>,
    ) -> Result<Vec<ProfileTypeItem>, Error> {
        let opened = self.opened().await?;
        let types = opened.backend().profile_types(range(opened, start, end)?).await?;
        Ok(types.iter().map(ProfileTypeItem::from).collect())
    }

    /// The names of labels, but for those that the selector speaks of already.
    ///
    /// ```
    /// use flamesql_datasource::{Allow, DataSource, InstanceSettings, MetaText, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("cpu.folded"), "main;work 3\n")?;
    /// # let url = format!("file://{}", folder.path().display());
    /// # let instance = InstanceSettings { url, ..InstanceSettings::default() };
    /// # let source = DataSource::new(Settings::read(&instance, Allow::Files)?);
    /// let all = source.label_names(MetaText::default()).await?;
    /// let others = source.label_names(MetaText { query: r#"{file!=""}"#, ..MetaText::default() }).await?;
    /// assert!(all.contains(&"file".to_owned()) && !others.contains(&"file".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the selector is none, the start is after the end, or the source gives no answer.
    pub async fn label_names(&self, text: MetaText<'_>) -> Result<Vec<String>, Error> {
        let opened = self.opened().await?;
        let query = meta_query(opened, text)?;
        let used: BTreeSet<&str> =
            query.selector.matchers.iter().map(|matcher| matcher.name.as_str()).collect();
        let mut names = opened.backend().label_names(&with_type(opened, query.clone())).await?;
        names.retain(|name| !name.starts_with("__") && !used.contains(name.as_str()));
        Ok(names)
    }

    /// The values of a label; of `__profile_type__` the profile types.
    ///
    /// # Errors
    ///
    /// As [`DataSource::label_names`].
    pub async fn label_values(
        &self,
        label: &str,
        text: MetaText<'_>,
    ) -> Result<Vec<String>, Error> {
        let opened = self.opened().await?;
        let query = meta_query(opened, text)?;
        if label == PROFILE_TYPE {
            let types = opened.backend().profile_types(query.range).await?;
            return Ok(types.iter().map(|id| id.as_str().to_owned()).collect());
        }
        Ok(opened.backend().label_values(label, &with_type(opened, query)).await?)
    }
}

/// Which range is meant.
pub(crate) fn range(
    opened: &Opened,
    start: Option<i64>,
    end: Option<i64>,
) -> Result<TimeRange, Error> {
    let (Some(start), Some(end)) = (start, end) else {
        if opened.backend().capabilities().is_finite {
            return Ok(TimeRange::ALL);
        }
        let now = now();
        return between(now.saturating_add(-HOUR), now.saturating_add(HOUR));
    };
    if start > end {
        return Err(Error::request(format!("start={start} is after end={end}")));
    }
    // What is beyond the years that can be written is beyond all data.
    let time = |millis: i64| {
        Timestamp::from_millis(millis).unwrap_or(match millis {
            ..0 => Timestamp::MIN,
            _ => Timestamp::MAX,
        })
    };
    between(time(start), time(end).saturating_add(MILLISECOND))
}

fn between(start: Timestamp, end: Timestamp) -> Result<TimeRange, Error> {
    TimeRange::new(start, end).map_err(|error| Error::request(error.to_string()))
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Reads a selector, and takes the profile type out of it.
fn meta_query(opened: &Opened, text: MetaText<'_>) -> Result<MetaQuery, Error> {
    let range = range(opened, text.start, text.end)?;
    let refuse = |error: flamesql_selector::Error| Error::request(format!("query: {error}"));
    let (app, selector) = match opened.has_apps() {
        true => with_app(text.query),
        false => (None, text.query),
    };
    let mut selector = Selector::parse_or_all(selector).map_err(refuse)?;
    let mut profile_type = app.map(ProfileType::app);
    let mut unread = None;
    selector.matchers.retain(|matcher| {
        let is_type = matcher.name == PROFILE_TYPE || matcher.name == NAME;
        if matcher.op != MatchOp::Equal || !is_type || profile_type.is_some() {
            return true;
        }
        match ProfileType::parse(&matcher.value) {
            _ if opened.has_apps() => profile_type = Some(ProfileType::app(&matcher.value)),
            Ok(id) => profile_type = Some(id),
            // The first part of an id is a label as well.
            Err(_) if matcher.name == NAME => return true,
            Err(error) => unread = Some(error),
        }
        false
    });
    match unread {
        Some(error) => Err(Error::request(format!("query: {error}"))),
        None => Ok(MetaQuery { profile_type, selector, range }),
    }
}

/// Says the profile type in the selector as well, where a server lists names and values by selector alone: it would list
/// those of other types.
fn with_type(opened: &Opened, mut query: MetaQuery) -> MetaQuery {
    if let Some(id) = query.profile_type.as_ref().filter(|_| opened.lists_by_selector()) {
        let id = id.as_str();
        let id = id.strip_suffix(":delta").unwrap_or(id);
        query.selector.push(Matcher::equal(PROFILE_TYPE, id));
    }
    query
}

/// Takes the name of an app off, as a legacy server's queries have it before the braces: it may have points in it, which
/// the name of a metric may not.
fn with_app(text: &str) -> (Option<&str>, &str) {
    let text = text.trim();
    let end = text.find('{').unwrap_or(text.len());
    match text[..end].trim() {
        "" => (None, text),
        app => (Some(app), &text[end..]),
    }
}
