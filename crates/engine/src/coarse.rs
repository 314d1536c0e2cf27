//! What a coarse scan is grouped by.

use std::{collections::BTreeSet, fmt};

use flamesql_profile::{Step, Timestamp};

/// What an aggregate needs to be told apart, and so what a coarse scan is grouped by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Coarse {
    pub(crate) profile_type: bool,
    pub(crate) labels: LabelNeed,
    pub(crate) time: TimeNeed,
    pub(crate) stack: bool,
    pub(crate) function: bool,
    /// Whether values are added up, and not only looked for.
    pub(crate) sums: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LabelNeed {
    /// These, and each for itself.
    Only(BTreeSet<String>),
    /// The whole label set.
    All,
}

impl Default for LabelNeed {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// Where time is cut: the common refinement of all bins, and single places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TimeNeed {
    /// Width and origin of bins.
    pub(crate) bins: Option<(Step, Timestamp)>,
    /// Places before which and after which time is told apart.
    pub(crate) cuts: BTreeSet<Timestamp>,
}

impl TimeNeed {
    pub(crate) fn add_bins(&mut self, step: Step, origin: Timestamp) {
        self.bins = Some(match self.bins {
            None => (step, origin),
            Some((known, first)) => {
                let apart = i128::from(origin.nanos()) - i128::from(first.nanos());
                let apart = i64::try_from(apart.rem_euclid(i128::from(step.nanos())));
                let common = known.common(step);
                (apart.ok().and_then(Step::from_nanos).map_or(common, |a| common.common(a)), first)
            }
        });
    }

    /// The same with bins that begin and end at instants of a source: if they cannot, the instants themselves.
    pub(crate) fn on_grain(mut self, grain: Step) -> Self {
        if let Some((step, origin)) = self.bins
            && (!step.is_multiple_of(grain) || origin.nanos() % grain.nanos() != 0)
        {
            self.bins = Some((grain, Timestamp::from_nanos(0)));
        }
        self
    }
}

impl fmt::Display for Coarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if self.profile_type {
            parts.push("profile_type".to_owned());
        }
        match &self.labels {
            LabelNeed::All => parts.push("labels".to_owned()),
            LabelNeed::Only(names) => parts.extend(names.iter().cloned()),
        }
        if let Some((step, origin)) = self.time.bins {
            let from = match origin.nanos().rem_euclid(step.nanos()) {
                0 => String::new(),
                offset => format!("+{}", flamesql_profile::format_duration(offset)),
            };
            parts.push(format!("{step}{from}"));
        }
        if !self.time.cuts.is_empty() {
            parts.push(format!("{} cuts", self.time.cuts.len()));
        }
        if self.stack {
            parts.push("stack".to_owned());
        }
        if self.function {
            parts.push("function".to_owned());
        }
        match parts.as_slice() {
            [] => f.write_str("all in one"),
            parts => write!(f, "by {}", parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(all: &[(i64, i64)]) -> (i64, i64) {
        let mut need = TimeNeed::default();
        for (step, origin) in all {
            need.add_bins(Step::from_nanos(*step).unwrap(), Timestamp::from_nanos(*origin));
        }
        let (step, origin) = need.bins.unwrap();
        (step.nanos(), origin.nanos())
    }

    #[test]
    fn bins_have_a_common_refinement() {
        assert_eq!(bins(&[(60, 0)]), (60, 0));
        assert_eq!(bins(&[(60, 0), (40, 0)]), (20, 0));
        assert_eq!(bins(&[(60, 0), (60, 15)]), (15, 0));
        assert_eq!(bins(&[(60, 7), (60, 7)]), (60, 7));
        assert_eq!(bins(&[(60, 0), (60, -60)]), (60, 0));
        assert_eq!(bins(&[(60, 0), (60, -1)]), (1, 0));
        // Every edge of each is an edge of the refinement.
        for (a, b) in [((12, 5), (18, 3)), ((7, 0), (14, 1)), ((100, 99), (30, 9))] {
            let (step, origin) = bins(&[a, b]);
            for (width, first) in [a, b] {
                assert!((0..20).all(|n| (first + n * width - origin) % step == 0), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn bins_between_instants_become_instants() {
        let grain = Step::from_nanos(10).unwrap();
        let at = |step, origin| TimeNeed {
            bins: Some((Step::from_nanos(step).unwrap(), Timestamp::from_nanos(origin))),
            cuts: BTreeSet::new(),
        };
        assert_eq!(at(20, 30).on_grain(grain), at(20, 30));
        assert_eq!(at(15, 0).on_grain(grain), at(10, 0));
        assert_eq!(at(20, 5).on_grain(grain), at(10, 0));
    }
}
