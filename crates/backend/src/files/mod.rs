//! A file or a folder of profiles as a source.
//!
//! The paths are listed when the source is opened; a file is read when a question cannot do without it, by several threads,
//! and kept as a digest as long as the digests fit in their budget of memory. What a file is about (its time, types
//! and series) is kept for good, so that files which a question does not concern are read no more than once.

mod name;
mod walk;

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use flamesql_profile::{
    ProfileType, Step, TimeRange, Timestamp, folded,
    pprof::{self, Profile},
};
use futures::{StreamExt, stream};
use tokio::{sync::mpsc, task};

use crate::{
    Backend, Capabilities, Error, ErrorKind, Grouping, LabelSet, MetaQuery, Notice, Only,
    OnlyCapabilities, ProfileRow, Report, Select, SeriesAnswer, StackGroup, StackStream, Weigh,
    backend::{only_all, with_time},
    digest::Digest,
    group::{self, Matcher, SeriesSum, StackSum},
};

/// A larger file is refused before it is read: no decoder takes more.
const MAX_FILE_BYTES: u64 = 2 << 30;
/// So many summaries are looked through without a thread for it.
const MAX_AT_ONCE: usize = 1000;

/// How a folder is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FilesOptions {
    /// Whether a file or folder that cannot be read makes every question fail; else it is skipped and a [`Notice`]
    /// says so.
    pub strict: bool,
    /// How much memory decoded files may take between questions, in bytes; 512 MiB unless said otherwise.
    ///
    /// Beside it stands what each file is about: some 200 bytes for each of its types and series. It is kept for good,
    /// so that a file which a question does not concern is not read again.
    pub cache_bytes: usize,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self { strict: false, cache_bytes: 512 << 20 }
    }
}

/// A file or a folder of pprof and folded files. Cloning gives another handle on the same source.
///
/// Read are `.pb`, `.pprof` and `.prof` (pprof), `.folded` and `.collapsed`, each also with `.gz` behind it and in
/// truth plain or gzip as its bytes say, and `.txt` if each line is a stack and a number. A file that is named itself
/// may be called anything.
///
/// Labels are the `key=value` folders of the path, those that lead to the source included, the text labels of samples
/// (which split a profile into series, but for `span_id`, `trace_id` and `profile_id`, by which
/// [`Only`] chooses), and `file`, the path below the folder. A sample's label wins over the path's, and that
/// over `file`. The first part of the profile type's id is the path's label `__name__`, else what the sample
/// types are known under (`process_cpu`, `memory`, `goroutine`, `mutex`, `block`), else the file's name without leading
/// and trailing digits and punctuation. A profile without a time has that of its file's last change.
///
/// The [`Report`] counts a request for each question, the bytes of the files that were read for it, as they stand on the
/// disk, and as cache hits the files that were decoded already. A question that is dropped reads no further file.
///
/// Its answers are worked out on threads of the tokio runtime that polls them, outside of which they panic.
#[derive(Clone, Debug)]
pub struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: FilesOptions,
    root: PathBuf,
    entries: Vec<Entry>,
    /// Which entries hold a digest, the one used longest ago in front, and how many bytes all of them take.
    cached: Mutex<(VecDeque<usize>, usize)>,
    walk_notices: Vec<Notice>,
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    /// The path below the folder, with `/`.
    name: String,
    summary: OnceLock<Result<Summary, Error>>,
    digest: Mutex<Option<Arc<Digest>>>,
}

/// What a file is about.
#[derive(Debug)]
struct Summary {
    stamp: (u64, Timestamp),
    time: Timestamp,
    default_type: ProfileType,
    /// For each type the series that have data.
    series: Vec<LabelSet>,
    /// Whether a sample says which span or trace it belongs to.
    has_marks: bool,
    replaced_texts: usize,
}

impl Files {
    /// Opens a file or a folder with the usual options.
    ///
    /// # Errors
    ///
    /// If the path does not exist or has no profiles below it. The files themselves are not read yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, FilesOptions::default())
    }

    /// Opens a file or a folder.
    ///
    /// # Errors
    ///
    /// As [`Files::open`].
    pub fn open_with(path: impl AsRef<Path>, options: FilesOptions) -> Result<Self, Error> {
        let root = path.as_ref().to_path_buf();
        let (found, walk_notices) = walk::walk(&root)?;
        let entries = found
            .into_iter()
            .map(|(path, name)| Entry {
                path,
                name,
                summary: OnceLock::new(),
                digest: Mutex::new(None),
            })
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                root,
                entries,
                cached: Mutex::default(),
                walk_notices,
            }),
        })
    }

    /// How many files there are to read.
    pub fn n_files(&self) -> usize {
        self.inner.entries.len()
    }

    /// Runs what asks about summaries alone: at once, if all of them are there and few, as no thread of its own is then
    /// worth its while.
    async fn about<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Job<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let is_known = |entry: &Entry| entry.summary.get().is_some();
        if self.inner.entries.len() <= MAX_AT_ONCE && self.inner.entries.iter().all(is_known) {
            return work(&self.inner, &Job::new(&|| true, Report::new()));
        }
        self.blocking(&Report::new(), work).await
    }

    /// Makes an answer of the series that a query is about; each may come several times.
    async fn of_sets<T: Send + 'static>(
        &self,
        query: &MetaQuery,
        answer: impl FnOnce(&mut dyn Iterator<Item = &LabelSet>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        query.profile_type.as_ref().map_or(Ok(()), five_parts)?;
        let query = query.clone();
        self.about(move |inner, job| {
            let matcher = Matcher::new(&query.selector)?;
            let asked = |set: &&LabelSet| {
                query.profile_type.as_ref().is_none_or(|t| set.profile_type.matches(t))
                    && matcher.matches(&set.labels, &set.profile_type)
            };
            let summaries = inner.summaries(job)?;
            let concerned =
                summaries.into_iter().filter(|(_, summary)| query.range.contains(summary.time));
            let mut sets = concerned.flat_map(|(_, summary)| &summary.series).filter(asked);
            Ok(answer(&mut sets))
        })
        .await
    }

    /// Runs what reads files where waiting for them hurts nobody, until it is done or nobody waits for it.
    async fn blocking<T: Send + 'static>(
        &self,
        report: &Report,
        work: impl FnOnce(&Inner, &Job<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (inner, report) = (Arc::clone(&self.inner), report.clone());
        // Dropped with this future.
        let reader = Arc::new(());
        let left = Arc::downgrade(&reader);
        let answer = task::spawn_blocking(move || {
            work(&inner, &Job::new(&|| left.strong_count() > 0, report))
        });
        let answer = answer.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "read files: the thread died").with_source(error)
        });
        drop(reader);
        answer?
    }
}

/// What a file holds, and how many of its texts had to be repaired. `modified` stands in for a missing time.
pub(crate) fn digest(
    name: &str,
    bytes: &[u8],
    modified: Timestamp,
) -> Result<(Digest, usize), Error> {
    digest_at("", name, bytes, modified)
}

fn digest_at(
    prefix: &str,
    name: &str,
    bytes: &[u8],
    modified: Timestamp,
) -> Result<(Digest, usize), Error> {
    let unreadable = |error: flamesql_profile::Error| {
        Error::new(ErrorKind::Unreadable, format!("read {name}: {error}")).with_source(error)
    };
    let (labels, given_name) = name::labels(prefix, name);
    let (mut digest, replaced) = if name::is_folded(name, bytes) {
        let folded = folded::decode(bytes).map_err(unreadable)?;
        let profile_name = given_name.unwrap_or_else(|| name::stem(name));
        let profile_type = ProfileType::from_parts(&profile_name, "samples", "count", "", "");
        (
            Digest::from_tree(folded.tree(), profile_type, &labels, modified, 0),
            folded.replaced_texts(),
        )
    } else {
        let profile = pprof::decode(bytes).map_err(unreadable)?;
        let types = profile_types(&profile, given_name, name);
        if types.is_empty() {
            return Err(Error::new(
                ErrorKind::Unreadable,
                format!("read {name}: it has no sample type, so it measures nothing"),
            ));
        }
        let time = match profile.time_nanos {
            0 => modified,
            // No half-open range holds it, so no question could ever count it.
            i64::MAX => {
                return Err(Error::new(
                    ErrorKind::Unreadable,
                    format!("read {name}: its time is the last nanosecond that there is"),
                ));
            }
            nanos => Timestamp::from_nanos(nanos),
        };
        (Digest::from_pprof(&profile, types, &labels, time)?, profile.replaced_texts())
    };
    digest.id = name.to_owned();
    digest.source_file = Some(name.into());
    Ok((digest, replaced))
}

fn profile_types(profile: &Profile, given_name: Option<String>, file: &str) -> Vec<ProfileType> {
    let kinds: Vec<(&str, &str)> = profile.sample_type_names().collect();
    let name = given_name.unwrap_or_else(|| name::of_sample_types(&kinds, file));
    let period = profile.period_type;
    kinds
        .into_iter()
        .map(|(kind, unit)| {
            ProfileType::from_parts(
                &name,
                kind,
                unit,
                profile.text(period.kind),
                profile.text(period.unit),
            )
        })
        .collect()
}

/// The work for one question.
struct Job<'a> {
    /// Whether somebody waits for the answer; once nobody does, nobody will.
    is_awaited: &'a (dyn Fn() -> bool + Sync),
    report: Report,
    /// The entries that were read for it: to find them in memory afterwards is no merit.
    read: Mutex<HashSet<usize>>,
}

impl<'a> Job<'a> {
    fn new(is_awaited: &'a (dyn Fn() -> bool + Sync), report: Report) -> Self {
        Self { is_awaited, report, read: Mutex::default() }
    }

    fn go_on(&self) -> Result<(), Error> {
        if (self.is_awaited)() { Ok(()) } else { Err(gone()) }
    }

    fn count_read(&self, idx: usize, bytes: usize) {
        self.report.add_bytes(bytes as u64);
        self.read.lock().expect("no thread panics while it holds this lock").insert(idx);
    }

    fn count_hit(&self, idx: usize) {
        if !self.read.lock().expect("no thread panics while it holds this lock").contains(&idx) {
            self.report.add_cache_hits(1);
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "read files: nobody waits for the answer")
}

impl Inner {
    fn read(&self, idx: usize, job: &Job<'_>) -> Result<(Digest, Summary), Error> {
        let entry = &self.entries[idx];
        let unreadable = |error: std::io::Error| {
            Error::new(ErrorKind::Unreadable, format!("read {}: {error}", entry.name))
                .with_source(error)
        };
        let stamp = || -> std::io::Result<(u64, Timestamp)> {
            let metadata = fs::metadata(&entry.path)?;
            let since =
                metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let nanos = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
            Ok((metadata.len(), Timestamp::from_nanos(nanos)))
        };
        let before = stamp().map_err(unreadable)?;
        if before.0 > MAX_FILE_BYTES {
            let detail = format!(
                "read {}: it has {} bytes, and the limit is {MAX_FILE_BYTES}",
                entry.name, before.0
            );
            return Err(Error::new(ErrorKind::Unreadable, detail));
        }
        let bytes = fs::read(&entry.path).map_err(unreadable)?;
        job.count_read(idx, bytes.len());
        if stamp().map_err(unreadable)? != before {
            return Err(changed(entry));
        }
        let is_root = entry.path == self.root;
        let folder = if is_root { self.root.parent() } else { Some(self.root.as_path()) };
        let prefix = folder.unwrap_or(Path::new("")).to_string_lossy();
        let (digest, replaced_texts) = digest_at(&prefix, &entry.name, &bytes, before.1)?;
        let mut series = Vec::new();
        for (kind, profile_type) in digest.types.iter().enumerate() {
            for (idx, labels) in digest.series.iter().enumerate() {
                if digest.has_data(kind, idx) {
                    series.push(LabelSet {
                        profile_type: profile_type.clone(),
                        labels: labels.clone(),
                    });
                }
            }
        }
        let summary = Summary {
            stamp: before,
            time: digest.time,
            default_type: digest.types[digest.default_type].clone(),
            series,
            has_marks: digest.marks.is_some(),
            replaced_texts,
        };
        Ok((digest, summary))
    }

    /// The digest of an entry, from memory or read; `None` for a file that cannot be read.
    fn digest(&self, idx: usize, job: &Job<'_>) -> Result<Option<Arc<Digest>>, Error> {
        let entry = &self.entries[idx];
        let mut slot = entry.digest.lock().expect("no thread panics while it holds this lock");
        if let Some(digest) = &*slot {
            self.touch(idx);
            job.count_hit(idx);
            return Ok(Some(Arc::clone(digest)));
        }
        if matches!(entry.summary.get(), Some(Err(_))) {
            return Ok(None);
        }
        let (digest, summary) = match self.read(idx, job) {
            Ok(read) => read,
            Err(error) => {
                let error = match entry.summary.get() {
                    // It was readable before.
                    Some(_) => return Err(changed(entry)),
                    None => error,
                };
                let _ = entry.summary.set(Err(error));
                return Ok(None);
            }
        };
        if let Some(Ok(known)) = entry.summary.get()
            && known.stamp != summary.stamp
        {
            return Err(changed(entry));
        }
        let _ = entry.summary.set(Ok(summary));
        let digest = Arc::new(digest);
        if self.make_room(idx, digest.bytes()) {
            *slot = Some(Arc::clone(&digest));
        }
        Ok(Some(digest))
    }

    fn touch(&self, idx: usize) {
        let mut cached = self.cached.lock().expect("no thread panics while it holds this lock");
        if let Some(at) = cached.0.iter().position(|i| *i == idx) {
            cached.0.remove(at);
            cached.0.push_back(idx);
        }
    }

    /// Whether a digest of so many bytes may be kept; others that were used longer ago make way.
    fn make_room(&self, idx: usize, bytes: usize) -> bool {
        if bytes > self.options.cache_bytes {
            return false;
        }
        let mut cached = self.cached.lock().expect("no thread panics while it holds this lock");
        let mut skipped = 0;
        while cached.1 + bytes > self.options.cache_bytes && skipped < cached.0.len() {
            let oldest = cached.0.pop_front().expect("it is longer than what was skipped");
            // An entry in use just now stays: its lock is held by whoever waits for ours.
            match self.entries[oldest].digest.try_lock() {
                Ok(mut slot) => cached.1 -= slot.take().map_or(0, |digest| digest.bytes()),
                Err(_) => {
                    cached.0.push_back(oldest);
                    skipped += 1;
                }
            }
        }
        let fits = cached.1 + bytes <= self.options.cache_bytes;
        if fits {
            cached.0.push_back(idx);
            cached.1 += bytes;
        }
        fits
    }

    /// Visits the digests of some entries in their order, while the next ones are read by other threads.
    ///
    /// In between it is seen whether anybody waits for the answer.
    fn visit(
        &self,
        entries: &[usize],
        job: &Job<'_>,
        mut visit: impl FnMut(&Digest) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let n_threads = thread::available_parallelism().map_or(1, usize::from);
        for chunk in entries.chunks(n_threads * 4) {
            job.go_on()?;
            let read: Vec<OnceLock<Result<Option<Arc<Digest>>, Error>>> =
                chunk.iter().map(|_| OnceLock::new()).collect();
            let next = AtomicUsize::new(0);
            let work = || {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < chunk.len())
                {
                    let digest = job.go_on().and_then(|()| self.digest(chunk[at], job));
                    let _ = read[at].set(digest);
                }
            };
            thread::scope(|scope| {
                for _ in 1..n_threads.min(chunk.len()) {
                    scope.spawn(work);
                }
                work();
            });
            for digest in read {
                if let Some(digest) = digest.into_inner().expect("every place was worked on")? {
                    visit(&digest)?;
                }
            }
        }
        Ok(())
    }

    /// What all files are about. Those that cannot be read are left out, or an error under strict.
    fn summaries(&self, job: &Job<'_>) -> Result<Vec<(usize, &Summary)>, Error> {
        let unread: Vec<usize> = (0..self.entries.len())
            .filter(|idx| self.entries[*idx].summary.get().is_none())
            .collect();
        self.visit(&unread, job, |_| Ok(()))?;
        if let Some(notice) = self.walk_notices.iter().find(|n| n.is_missing && self.options.strict)
        {
            let what = format!("read {}: {}", notice.subject, notice.reason);
            return Err(Error::new(ErrorKind::Unreadable, what));
        }
        let mut summaries = Vec::new();
        let mut failed = Vec::new();
        for (idx, entry) in self.entries.iter().enumerate() {
            match entry.summary.get() {
                Some(Ok(summary)) => summaries.push((idx, summary)),
                Some(Err(error)) => failed.push(error),
                None => {}
            }
        }
        match failed.as_slice() {
            [first, ..] if self.options.strict => Err((*first).clone()),
            // Nothing but damage is not an empty answer.
            [first, ..] if summaries.is_empty() => match failed.len() {
                1 => Err((*first).clone()),
                n => Err(Error::new(
                    ErrorKind::Unreadable,
                    format!(
                        "read {}: none of its {n} files is a profile; the first: {first}",
                        self.root.display()
                    ),
                )),
            },
            _ => Ok(summaries),
        }
    }

    /// The entries that a selection concerns, in the order of their times.
    fn concerned(
        &self,
        select: &Select,
        matcher: &Matcher,
        job: &Job<'_>,
    ) -> Result<Vec<usize>, Error> {
        // The id of a profile is its file's name, or that and a number.
        let is_named = |name: &str, id: &str| {
            id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
        };
        let is_chosen = |idx: usize, summary: &Summary| match &select.only {
            Only::All => true,
            Only::Spans(_) | Only::Traces(_) => summary.has_marks,
            Only::Profiles(ids) => ids.iter().any(|id| is_named(&self.entries[idx].name, id)),
        };
        let mut entries: Vec<(Timestamp, usize)> = self
            .summaries(job)?
            .into_iter()
            .filter(|(idx, summary)| {
                select.range.contains(summary.time)
                    && is_chosen(*idx, summary)
                    && summary.series.iter().any(|set| {
                        set.profile_type.matches(&select.profile_type)
                            && matcher.matches(&set.labels, &set.profile_type)
                    })
            })
            .map(|(idx, summary)| (summary.time, idx))
            .collect();
        entries.sort_unstable();
        Ok(entries.into_iter().map(|(_, idx)| idx).collect())
    }

    fn stacks(
        &self,
        select: &Select,
        grouping: &Grouping,
        job: &Job<'_>,
        send: &mut dyn FnMut(StackGroup) -> Result<(), Error>,
    ) -> Result<(), Error> {
        check(select)?;
        let mut sum = StackSum::new(select, grouping, Step::NANOSECOND)?;
        let entries = self.concerned(select, &Matcher::new(&select.selector)?, job)?;
        self.visit(&entries, job, |digest| sum.add(digest)?.into_iter().try_for_each(&mut *send))?;
        sum.complete().into_iter().try_for_each(send)
    }
}

/// Refuses what no file can have.
fn check(select: &Select) -> Result<(), Error> {
    five_parts(&select.profile_type)
}

/// A legacy server's profile types are names of apps; those of files have parts.
fn five_parts(profile_type: &ProfileType) -> Result<(), Error> {
    if !profile_type.is_app() {
        return Ok(());
    }
    let what = format!(
        "ask files for the profile type {:?}: theirs have five parts, as in \
         process_cpu:cpu:nanoseconds:cpu:nanoseconds",
        profile_type.as_str()
    );
    Err(Error::new(ErrorKind::InvalidQuery, what))
}

fn changed(entry: &Entry) -> Error {
    Error::new(
        ErrorKind::Changed,
        format!("read {}: the file changed meanwhile; open the source anew", entry.name),
    )
}

#[async_trait]
impl Backend for Files {
    fn capabilities(&self) -> Capabilities {
        Capabilities::local("files").with_only(OnlyCapabilities::ALL)
    }

    async fn profile_types(&self, range: TimeRange) -> Result<Vec<ProfileType>, Error> {
        self.about(move |inner, job| {
            let types: BTreeSet<ProfileType> = inner
                .summaries(job)?
                .into_iter()
                .filter(|(_, summary)| range.contains(summary.time))
                .flat_map(|(_, summary)| summary.series.iter().map(|set| set.profile_type.clone()))
                .collect();
            Ok(types.into_iter().collect())
        })
        .await
    }

    async fn default_profile_type(&self) -> Result<Option<ProfileType>, Error> {
        self.about(|inner, job| {
            if inner.entries.len() > 1 {
                return Ok(None);
            }
            Ok(inner.summaries(job)?.first().map(|(_, summary)| summary.default_type.clone()))
        })
        .await
    }

    async fn first_and_last(&self) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        // What files are about is kept: none is read again.
        self.about(|inner, job| {
            let summaries = inner.summaries(job)?;
            let with_data = summaries.iter().filter(|(_, summary)| !summary.series.is_empty());
            Ok(with_data.fold(None, |times, (_, summary)| with_time(times, summary.time)))
        })
        .await
    }

    async fn label_sets(&self, query: &MetaQuery) -> Result<Vec<LabelSet>, Error> {
        self.of_sets(query, |sets| {
            sets.collect::<BTreeSet<&LabelSet>>().into_iter().cloned().collect()
        })
        .await
    }

    async fn label_names(&self, query: &MetaQuery) -> Result<Vec<String>, Error> {
        self.of_sets(query, |sets| {
            let names = sets.flat_map(|set| set.labels.iter().map(|(name, _)| name));
            names.collect::<BTreeSet<&str>>().into_iter().map(str::to_owned).collect()
        })
        .await
    }

    async fn label_values(&self, name: &str, query: &MetaQuery) -> Result<Vec<String>, Error> {
        let name = name.to_owned();
        self.of_sets(query, move |sets| {
            let values = sets.filter_map(|set| set.labels.get(&name));
            values.collect::<BTreeSet<&str>>().into_iter().map(str::to_owned).collect()
        })
        .await
    }

    async fn series(
        &self,
        select: &Select,
        grouping: &Grouping,
        report: &Report,
    ) -> Result<SeriesAnswer, Error> {
        check(select)?;
        only_all("files", &select.only)?;
        report.add_requests(1);
        let (select, grouping) = (select.clone(), grouping.clone());
        self.blocking(report, move |inner, job| {
            let mut sum = SeriesSum::new(&select, &grouping, Step::NANOSECOND)?;
            let entries = inner.concerned(&select, &Matcher::new(&select.selector)?, job)?;
            inner.visit(&entries, job, |digest| sum.add(digest))?;
            sum.finish()
        })
        .await
    }

    fn stacks(&self, select: Select, grouping: Grouping, report: Report) -> StackStream {
        let inner = Arc::clone(&self.inner);
        stream::once(async move {
            // Two groups wait at most: who reads slowly or not at all stops the work.
            let (sender, receiver) = mpsc::channel(2);
            report.add_requests(1);
            let work = task::spawn_blocking(move || {
                let is_awaited = || !sender.is_closed();
                let job = Job::new(&is_awaited, report);
                let done = inner.stacks(&select, &grouping, &job, &mut |group| {
                    sender.blocking_send(Ok(group)).map_err(|_| gone())
                });
                if let Err(error) = done {
                    let _ = sender.blocking_send(Err(error));
                }
            });
            stream::unfold((receiver, Some(work)), |(mut receiver, work)| async move {
                if let Some(group) = receiver.recv().await {
                    return Some((group, (receiver, work)));
                }
                // A thread that died must not look like the end of the answer.
                let error = work?.await.err()?;
                let what = Error::new(ErrorKind::Internal, "read files: the thread died");
                Some((Err(what.with_source(error)), (receiver, None)))
            })
        })
        .flatten()
        .boxed()
    }

    async fn weighed(
        &self,
        select: &Select,
        grouping: &Grouping,
        weigh: Arc<dyn Weigh>,
        report: &Report,
    ) -> Result<Option<SeriesAnswer>, Error> {
        check(select)?;
        let (select, grouping) = (select.clone(), grouping.clone());
        let answer = self.blocking(report, move |inner, job| {
            let mut sum = SeriesSum::new(&select, &grouping, Step::NANOSECOND)?;
            let mut is_weighed = true;
            let entries = inner.concerned(&select, &Matcher::new(&select.selector)?, job)?;
            inner.visit(&entries, job, |digest| {
                is_weighed = is_weighed && sum.add_weighed(digest, weigh.as_ref())?.is_some();
                Ok(())
            })?;
            if is_weighed { sum.finish().map(Some) } else { Ok(None) }
        });
        let answer = answer.await?;
        if answer.is_some() {
            report.add_requests(1);
        }
        Ok(answer)
    }

    async fn profiles(&self, select: &Select, _report: &Report) -> Result<Vec<ProfileRow>, Error> {
        check(select)?;
        only_all("files", &select.only)?;
        let select = select.clone();
        self.blocking(&Report::new(), move |inner, job| {
            let matcher = Matcher::new(&select.selector)?;
            let mut rows = Vec::new();
            let entries = inner.concerned(&select, &matcher, job)?;
            inner.visit(&entries, job, |digest| {
                rows.extend(group::profiles(digest, &select, &matcher, Step::NANOSECOND)?);
                Ok(())
            })?;
            Ok(rows)
        })
        .await
    }

    fn notices(&self) -> Vec<Notice> {
        let of_files = self.inner.entries.iter().filter_map(|entry| {
            let (reason, is_missing) = match entry.summary.get()? {
                Err(error) => {
                    let text = error.to_string();
                    let reason =
                        text.strip_prefix(&format!("read {}: ", entry.name)).unwrap_or(&text);
                    (reason.to_owned(), true)
                }
                Ok(summary) if summary.replaced_texts > 0 => (
                    format!(
                        "{} texts were not UTF-8; the bad bytes are shown as U+FFFD",
                        summary.replaced_texts
                    ),
                    false,
                ),
                Ok(_) => return None,
            };
            Some(Notice { subject: entry.name.clone(), reason, is_missing })
        });
        self.inner.walk_notices.iter().cloned().chain(of_files).collect()
    }
}
