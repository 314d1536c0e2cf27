//! A choice by span, trace or profile, ready to be made.

use std::collections::HashSet;

use crate::Only;

/// [`Only`], by look-up.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    All,
    Spans(HashSet<String>),
    Traces(HashSet<String>),
    Profiles(HashSet<String>),
}

impl Choice {
    pub(crate) fn new(only: &Only) -> Self {
        // Ids of spans and traces are numbers, written in either case.
        let lower = |ids: &[String]| ids.iter().map(|id| id.to_ascii_lowercase()).collect();
        match only {
            Only::All => Self::All,
            Only::Spans(ids) => Self::Spans(lower(ids)),
            Only::Traces(ids) => Self::Traces(lower(ids)),
            Only::Profiles(ids) => Self::Profiles(ids.iter().cloned().collect()),
        }
    }

    /// Whether it takes some samples of a profile and leaves others.
    pub(crate) fn is_of_samples(&self) -> bool {
        matches!(self, Self::Spans(_) | Self::Traces(_))
    }

    /// Whether it takes anything of a profile.
    pub(crate) fn takes_profile(&self, id: impl FnOnce() -> String) -> bool {
        match self {
            Self::Profiles(ids) => ids.contains(&id()),
            _ => true,
        }
    }
}
