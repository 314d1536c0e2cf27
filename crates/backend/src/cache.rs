//! A source that remembers for a while what there is to ask about.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use flamesql_profile::{ProfileType, Step, TimeRange, Timestamp};
use tokio::sync::OnceCell;

use crate::{
    Annotation, Backend, Capabilities, Error, Exemplar, Grouping, HeatmapCell, LabelSet, MetaQuery,
    Notice, ProfileRow, Question, Report, Select, SeriesAnswer, StackStream, Weigh,
};

/// A source whose answers about types, names, labels and their values are kept for a while, so that each statement does
/// not ask for them anew. Who asks for what is under way waits for it.
///
/// Ranges are widened to whole multiples of [`Cached::WIDTH`] first, or no two statements about the last hour would ask
/// the same: it may list a little more than the range has, as servers do anyway. Sources at hand
/// ([`Capabilities::is_finite`]) need no cache: they are asked each time.
///
/// What is kept is bounded: the oldest answers go, and one with more than [`Cached::MAX_ITEMS`] items is not kept.
/// Errors are not kept.
///
/// ```
/// use std::{sync::Arc, time::Duration};
///
/// use flamesql_backend::{Backend, Cached, Memory};
///
/// let cached = Cached::new(Arc::new(Memory::new())).with_ttl(Duration::from_secs(5));
/// assert_eq!(cached.capabilities().kind, "memory");
/// ```
pub struct Cached {
    inner: Arc<dyn Backend>,
    ttl: Duration,
    types: Kept<TimeRange, ProfileType>,
    sets: Kept<MetaQuery, LabelSet>,
    names: Kept<MetaQuery, String>,
    values: Kept<(String, MetaQuery), String>,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("inner", &self.inner).field("ttl", &self.ttl).finish()
    }
}

impl Cached {
    /// How long an answer is kept, unless said otherwise.
    pub const TTL: Duration = Duration::from_secs(30);
    /// To whole multiples of this ranges are widened.
    pub const WIDTH: Duration = Duration::from_secs(15);
    /// How many answers of each kind are kept.
    pub const MAX_ANSWERS: usize = 256;
    /// How many items an answer may have to be kept.
    pub const MAX_ITEMS: usize = 100_000;

    /// Puts a source behind a memory.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            inner,
            ttl: Self::TTL,
            types: Kept::default(),
            sets: Kept::default(),
            names: Kept::default(),
            values: Kept::default(),
        }
    }

    /// The same, but answers are kept for so long; zero keeps none.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whether to ask each time.
    fn is_idle(&self) -> bool {
        self.ttl.is_zero() || self.inner.capabilities().is_finite
    }

    fn widened(query: &MetaQuery) -> MetaQuery {
        MetaQuery { range: widened(query.range), ..query.clone() }
    }
}

fn widened(range: TimeRange) -> TimeRange {
    if range.is_empty() {
        return range;
    }
    let width = i64::try_from(Cached::WIDTH.as_nanos()).unwrap_or(i64::MAX);
    let width = Step::from_nanos(width).expect("the width is above 0");
    let start = range.start().floor(width, Timestamp::from_nanos(0));
    TimeRange::new(start, range.end().ceil(width)).unwrap_or(range)
}

/// Answers by question.
struct Kept<K, V>(Mutex<HashMap<K, Entry<V>>>);

struct Entry<V> {
    since: Instant,
    /// Empty while it is asked for.
    answer: Arc<OnceCell<Vec<V>>>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    async fn get<F: Future<Output = Result<Vec<V>, Error>>>(
        &self,
        key: K,
        ttl: Duration,
        ask: impl FnOnce(K) -> F,
    ) -> Result<Vec<V>, Error> {
        let cell = self.entry(&key, ttl);
        let answer = cell.get_or_try_init(|| ask(key.clone())).await?.clone();
        if answer.len() > Cached::MAX_ITEMS {
            self.lock().remove(&key);
        }
        Ok(answer)
    }

    fn entry(&self, key: &K, ttl: Duration) -> Arc<OnceCell<Vec<V>>> {
        let mut kept = self.lock();
        if let Some(entry) = kept.get(key).filter(|entry| entry.since.elapsed() < ttl) {
            return Arc::clone(&entry.answer);
        }
        kept.retain(|_, entry| entry.since.elapsed() < ttl);
        if kept.len() >= Cached::MAX_ANSWERS {
            let oldest = kept.iter().min_by_key(|(_, entry)| entry.since).map(|(k, _)| k.clone());
            oldest.map(|oldest| kept.remove(&oldest));
        }
        let answer = Arc::default();
        kept.insert(key.clone(), Entry { since: Instant::now(), answer: Arc::clone(&answer) });
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Entry<V>>> {
        self.0.lock().expect("no thread panics while it holds this lock")
    }
}

#[async_trait]
impl Backend for Cached {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn n_requests(&self, question: Question, range: TimeRange) -> u64 {
        self.inner.n_requests(question, range)
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        if self.is_idle() {
            return self.inner.profile_types(range).await;
        }
        let ask = |range| self.inner.profile_types(range);
        self.types.get(widened(range), self.ttl, ask).await
    }

    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        self.inner.first_and_last().await
    }

    async fn default_profile_type(&self) -> Result<Option<ProfileType>, Error> {
        self.inner.default_profile_type().await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        if self.is_idle() {
            return self.inner.label_sets(query).await;
        }
        let ask = |query: MetaQuery| async move { self.inner.label_sets(&query).await };
        self.sets.get(Self::widened(query), self.ttl, ask).await
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        if self.is_idle() {
            return self.inner.label_names(query).await;
        }
        let ask = |query: MetaQuery| async move { self.inner.label_names(&query).await };
        self.names.get(Self::widened(query), self.ttl, ask).await
    }

    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        if self.is_idle() {
            return self.inner.label_values(name, query).await;
        }
        let ask = |(name, query): (String, MetaQuery)| async move {
            self.inner.label_values(&name, &query).await
        };
        self.values.get((name.to_owned(), Self::widened(query)), self.ttl, ask).await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        self.inner.series(select, grouping, report).await
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        self.inner.stacks(select, grouping, report)
    }

    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        self.inner.weighed(select, grouping, weigh, report).await
    }

    async fn profiles(&self, select: &Select, report: &Report) -> Result<Vec<ProfileRow>, Error> {
        self.inner.profiles(select, report).await
    }

    async fn exemplars(&self, select: &Select, report: &Report) -> Result<Vec<Exemplar>, Error> {
        self.inner.exemplars(select, report).await
    }

    async fn heatmap(
        &self,
        select: &Select,
        step: Step,
        report: &Report,
    ) -> Result<Vec<HeatmapCell>, Error> {
        self.inner.heatmap(select, step, report).await
    }

    async fn annotations(
        &self,
        select: &Select,
        report: &Report,
    ) -> Result<Vec<Annotation>, Error> {
        self.inner.annotations(select, report).await
    }

    fn notices(&self) -> Vec<Notice> {
        self.inner.notices()
    }
}
