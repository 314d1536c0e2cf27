//! Profiles in memory: a source for tests, for the demo, and for programs that have profiles at hand.

use std::{
    collections::BTreeSet,
    sync::{Arc, RwLock},
};

use async_trait::async_trait;
use flamesql_profile::{
    Labels, ProfileType, StackTree, Step, TimeRange, Timestamp, pprof::Profile,
};
use futures::{StreamExt, stream};

use crate::{
    Backend, Capabilities, Error, ErrorKind, Grouping, LabelSet, MetaQuery, OnlyCapabilities,
    ProfileRow, Report, Select, SeriesAnswer, StackGroup, StackStream, Weigh,
    backend::{only_all, with_time},
    digest::Digest,
    group::{self, Matcher, SeriesSum, StackSum},
};

/// Profiles in memory. Cloning gives another handle on the same profiles.
///
/// A test may give it the manners of a server: a coarser grain, one group a request, a limit to its range, no choice
/// by span ([`Memory::with_capabilities`]).
#[derive(Clone, Debug)]
pub struct Memory {
    digests: Arc<RwLock<Vec<Arc<Digest>>>>,
    capabilities: Capabilities,
    default_type: Option<ProfileType>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// A source without profiles.
    pub fn new() -> Self {
        Self {
            digests: Arc::default(),
            capabilities: Capabilities::local("memory").with_only(OnlyCapabilities::ALL),
            default_type: None,
        }
    }

    /// The same profiles behind other capabilities, which this source then keeps to.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same profiles, of which this type is taken where none is named.
    #[must_use]
    pub fn with_default_profile_type(mut self, profile_type: ProfileType) -> Self {
        self.default_type = Some(profile_type);
        self
    }

    /// Puts in a profile of one type.
    ///
    /// Labels that begin with `__` are left out; `duration_nanos` is 0 if unknown.
    ///
    /// # Errors
    ///
    /// If its values do not add up in an `i64`.
    pub fn insert(
        &self,
        profile_type: &ProfileType,
        labels: &Labels,
        time: Timestamp,
        duration_nanos: i64,
        tree: &StackTree,
    ) -> Result<(), Error> {
        self.push(Digest::from_tree(tree, profile_type.clone(), labels, time, duration_nanos))
    }

    /// Puts in a pprof profile with all its sample types, under the name that begins their ids.
    ///
    /// Text labels of its samples split it into series, as on Pyroscope.
    ///
    /// # Errors
    ///
    /// If its values do not add up in an `i64`.
    pub fn insert_pprof(
        &self,
        name: &str,
        labels: &Labels,
        time: Timestamp,
        profile: &Profile,
    ) -> Result<(), Error> {
        self.push(of_pprof(name, labels, time, profile)?)
    }

    /// Puts in all profiles of a batch at once: whoever asks meanwhile finds all of them or none.
    pub fn insert_batch(&self, batch: Batch) {
        let mut digests = self.digests.write().expect("no thread panics while it holds this lock");
        for digest in batch.digests {
            put(&mut digests, digest);
        }
    }

    /// Puts in what a file holds, by the same rules as [`Files`](crate::Files): `path` gives name and labels.
    ///
    /// # Errors
    ///
    /// If the bytes are no profile, or its values do not add up in an `i64`.
    #[cfg(feature = "files")]
    pub fn insert_file(&self, path: &str, bytes: &[u8], modified: Timestamp) -> Result<(), Error> {
        self.push(crate::files::digest(path, bytes, modified)?.0)
    }

    fn push(&self, digest: Digest) -> Result<(), Error> {
        digest.check_sums()?;
        self.insert_batch(Batch { digests: vec![digest] });
        Ok(())
    }

    fn digests(&self) -> Vec<Arc<Digest>> {
        self.digests.read().expect("no thread panics while it holds this lock").clone()
    }

    fn groups(&self, select: &Select, grouping: &Grouping) -> Result<Vec<StackGroup>, Error> {
        if !self.capabilities.groups_stacks && *grouping != Grouping::default() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "several groups of stacks in one request",
            ));
        }
        self.capabilities.check_range(select.range)?;
        self.capabilities.check_only(&select.only)?;
        let mut sum = StackSum::new(select, grouping, self.capabilities.grain)?;
        let mut groups = Vec::new();
        for digest in self.digests() {
            groups.extend(sum.add(&digest)?);
        }
        groups.extend(sum.complete());
        Ok(groups)
    }
}

/// Profiles that are put into a [`Memory`] together ([`Memory::insert_batch`]), or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    digests: Vec<Digest>,
}

impl Batch {
    /// A batch without profiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pprof profile by the rules of [`Memory::insert_pprof`].
    ///
    /// # Errors
    ///
    /// If its values do not add up in an `i64`.
    pub fn add_pprof(
        &mut self,
        name: &str,
        labels: &Labels,
        time: Timestamp,
        profile: &Profile,
    ) -> Result<(), Error> {
        let digest = of_pprof(name, labels, time, profile)?;
        digest.check_sums()?;
        self.digests.push(digest);
        Ok(())
    }
}

/// Puts a profile in its place: in the order of their times, equal ones as they came.
fn put(digests: &mut Vec<Arc<Digest>>, mut digest: Digest) {
    if digest.id.is_empty() {
        digest.id = digests.len().to_string();
    } else if digests.iter().any(|known| known.id == digest.id) {
        // A path that was put in twice.
        digest.id = format!("{}@{}", digest.id, digests.len());
    }
    let at = digests.partition_point(|d| d.time <= digest.time);
    digests.insert(at, Arc::new(digest));
}

fn of_pprof(
    name: &str,
    labels: &Labels,
    time: Timestamp,
    profile: &Profile,
) -> Result<Digest, Error> {
    let period = profile.period_type;
    let (kind_of_period, unit_of_period) = (profile.text(period.kind), profile.text(period.unit));
    let types = profile
        .sample_type_names()
        .map(|(kind, unit)| {
            ProfileType::from_parts(name, kind, unit, kind_of_period, unit_of_period)
        })
        .collect();
    Digest::from_pprof(profile, types, labels, time)
}

#[async_trait]
impl Backend for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        let query =
            MetaQuery { profile_type: None, selector: flamesql_selector::Selector::all(), range };
        let types: BTreeSet<ProfileType> =
            self.label_sets(&query).await?.into_iter().map(|set| set.profile_type).collect();
        Ok(types.into_iter().collect())
    }

    async fn default_profile_type(&self) -> Result<Option<ProfileType>, Error> {
        Ok(self.default_type.clone())
    }

    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        let digests = self.digests();
        let times = digests.iter().filter(|digest| digest.has_any_data());
        let times = times.map(|digest| group::floored(digest, self.capabilities.grain));
        Ok(times.fold(None, with_time))
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.capabilities.check_range(query.range)?;
        let matcher = Matcher::new(&query.selector)?;
        let sets: BTreeSet<LabelSet> = self
            .digests()
            .iter()
            .flat_map(|digest| group::label_sets(digest, query, &matcher, self.capabilities.grain))
            .collect();
        Ok(sets.into_iter().collect())
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        report.add_requests(1);
        self.capabilities.check_range(select.range)?;
        only_all(self.capabilities.kind, &select.only)?;
        let mut sum = SeriesSum::new(select, grouping, self.capabilities.grain)?;
        for digest in self.digests() {
            sum.add(&digest)?;
        }
        sum.finish()
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        let memory = self.clone();
        let groups = async move {
            report.add_requests(1);
            memory.groups(&select, &grouping)
        };
        stream::once(groups)
            .flat_map(|groups| match groups {
                Ok(groups) => stream::iter(groups.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            })
            .boxed()
    }

    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        if !self.capabilities.groups_stacks && *grouping != Grouping::default() {
            return Ok(None);
        }
        self.capabilities.check_range(select.range)?;
        self.capabilities.check_only(&select.only)?;
        let mut sum = SeriesSum::new(select, grouping, self.capabilities.grain)?;
        for digest in self.digests() {
            if sum.add_weighed(&digest, weigh.as_ref())?.is_none() {
                return Ok(None);
            }
        }
        report.add_requests(1);
        sum.finish().map(Some)
    }

    async fn profiles(&self, select: &Select, _report: &Report) -> Result<Vec<ProfileRow>, Error> {
        self.capabilities.check_range(select.range)?;
        only_all(self.capabilities.kind, &select.only)?;
        let matcher = Matcher::new(&select.selector)?;
        let grain: Step = self.capabilities.grain;
        let mut rows = Vec::new();
        for digest in self.digests() {
            rows.extend(group::profiles(&digest, select, &matcher, grain)?);
        }
        Ok(rows)
    }
}
