//! What a source tells about its work beside the answer.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::Notice;

/// Collects what the work for one question came to. Cloning gives another handle on the same report.
///
/// It is handed to [`Backend::series`](crate::Backend::series) and [`Backend::stacks`](crate::Backend::stacks), which
/// may leave it alone: a report in which nothing stands says that one request was made and nothing is missing.
///
/// ```
/// use flamesql_backend::Report;
///
/// let report = Report::new();
/// let handle = report.clone();
/// handle.add_requests(2);
/// assert_eq!(report.requests(), 2);
/// assert!(report.is_complete());
/// ```
#[derive(Clone, Default)]
pub struct Report(Arc<Counts>);

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    cache_hits: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    notices: Mutex<Vec<Notice>>,
    lacks: Mutex<Vec<Notice>>,
}

/// How much of a question was answered, where it was asked in slices. All zeros where it was asked as a whole.
///
/// A slice that was begun and is neither answered nor failed is under way, or was given up because the question failed
/// or its reader left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many slices were begun.
    pub asked: u64,
    /// How many of them were answered.
    pub answered: u64,
    /// How many failed; what they hold is missing.
    pub failed: u64,
}

impl Coverage {
    /// Whether no slice failed.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }
}

impl Report {
    /// A report in which nothing stands.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts requests that went over the wire, repeated ones included.
    pub fn add_requests(&self, n: u64) {
        self.0.requests.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts bytes that were read: of bodies as they came over the wire, or of files.
    pub fn add_bytes(&self, n: u64) {
        self.0.bytes.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts parts of the answer that were in memory already.
    pub fn add_cache_hits(&self, n: u64) {
        self.0.cache_hits.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts slices as they are begun.
    pub fn add_asked(&self, n: u64) {
        self.0.asked.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts slices that were answered in full.
    pub fn add_answered(&self, n: u64) {
        self.0.answered.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts slices that failed; a notice says of each which and why.
    pub fn add_failed(&self, n: u64) {
        self.0.failed.fetch_add(n, Ordering::Relaxed);
    }

    /// Says that something is missing or was repaired.
    pub fn add_notice(&self, notice: Notice) {
        self.0.notices.lock().expect("no thread panics while it holds this lock").push(notice);
    }

    /// Says what the source lacks for whatever it is asked, such as a file that cannot be read, and not for this question
    /// alone. What is said already is not said again.
    pub fn add_lack(&self, notice: Notice) {
        let mut lacks = self.0.lacks.lock().expect("no thread panics while it holds this lock");
        if !lacks.contains(&notice) {
            lacks.push(notice);
        }
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// How many parts were in memory already.
    pub fn cache_hits(&self) -> u64 {
        self.0.cache_hits.load(Ordering::Relaxed)
    }

    /// How much was answered.
    pub fn coverage(&self) -> Coverage {
        Coverage {
            asked: self.0.asked.load(Ordering::Relaxed),
            answered: self.0.answered.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing is missing from the answer: no slice failed, and no notice says that data was skipped.
    pub fn is_complete(&self) -> bool {
        self.coverage().is_complete() && !self.notices().iter().any(|notice| notice.is_missing)
    }

    /// Whether all of this question was answered, whatever the source lacks for any.
    pub fn is_answered(&self) -> bool {
        let notices = self.0.notices.lock().expect("no thread panics while it holds this lock");
        self.coverage().is_complete() && !notices.iter().any(|notice| notice.is_missing)
    }

    /// What the source lacks for whatever it is asked.
    pub fn lacks(&self) -> Vec<Notice> {
        self.0.lacks.lock().expect("no thread panics while it holds this lock").clone()
    }

    /// What is missing or was repaired, in this answer or in any of the source.
    pub fn notices(&self) -> Vec<Notice> {
        let notices = self.0.notices.lock().expect("no thread panics while it holds this lock");
        let mut notices = notices.clone();
        notices.extend(self.lacks());
        notices
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("requests", &self.requests())
            .field("bytes", &self.bytes())
            .field("cache_hits", &self.cache_hits())
            .field("coverage", &self.coverage())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_notices_are_counted_apart() {
        let report = Report::new();
        let handle = report.clone();
        handle.add_asked(3);
        handle.add_answered(2);
        assert!(report.is_complete());
        let notice = |is_missing| Notice {
            subject: "a.pb".to_owned(),
            reason: "torn".to_owned(),
            is_missing,
        };
        handle.add_notice(notice(false));
        assert!(report.is_complete());
        // A damaged file is no slice.
        handle.add_notice(notice(true));
        assert!(report.coverage().is_complete() && !report.is_complete());
        assert!(!report.is_answered());
        let lacking = Report::new();
        (0..2).for_each(|_| lacking.add_lack(notice(true)));
        assert!(lacking.is_answered() && !lacking.is_complete());
        assert_eq!((lacking.notices().len(), lacking.lacks().len()), (1, 1));
        handle.add_failed(1);
        assert_eq!(report.coverage(), Coverage { asked: 3, answered: 2, failed: 1 });
        assert!(!report.coverage().is_complete());
    }
}
