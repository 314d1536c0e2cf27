//! The labels that are made of a profile's type: `__profile_type__` and what else begins with `__`.
//!
//! A source knows no such labels. Here they are in all answers, and a matcher on one is answered from the type.

use flamesql_backend::LabelSet;
use flamesql_profile::{Labels, ProfileType};
use flamesql_selector::{LabelMatcher, RegexBudget, Selector};

use crate::{fault::Fault, question::check_matchers};

/// The name of whoever was profiled.
pub(crate) const SERVICE: &str = "service_name";
/// A copy of the service's name, which Pyroscope keeps profiles by.
const PRIVATE_SERVICE: &str = "__service_name__";

/// Whether it is a name of such a label.
pub(crate) fn is_private(name: &str) -> bool {
    name.starts_with("__")
}

/// The names of the labels of each type.
const OF_TYPE: [&str; 6] =
    ["__name__", "__period_type__", "__period_unit__", "__profile_type__", "__type__", "__unit__"];

/// The names of such labels that series have, where `has_service` says whether some have a service's name.
pub(crate) fn names(has_service: bool) -> impl Iterator<Item = &'static str> {
    OF_TYPE.into_iter().chain(has_service.then_some(PRIVATE_SERVICE))
}

/// Whether it is one that is the same in all profiles of a type.
pub(crate) fn is_of_type(name: &str) -> bool {
    OF_TYPE.contains(&name)
}

/// The labels of a type, sorted by name.
pub(crate) fn of_type(profile_type: &ProfileType) -> [(&'static str, &str); 6] {
    let id = profile_type.as_str();
    let values = [
        profile_type.name(),
        profile_type.period_type(),
        profile_type.period_unit(),
        id.strip_suffix(":delta").unwrap_or(id),
        profile_type.sample_type(),
        profile_type.sample_unit(),
    ];
    std::array::from_fn(|n| (OF_TYPE[n], values[n]))
}

/// All labels of a series, sorted by name.
pub(crate) fn of_set(set: &LabelSet) -> Labels {
    with_private(&set.profile_type, &set.labels)
}

/// Labels with those that are made of the type.
pub(crate) fn with_private(profile_type: &ProfileType, labels: &Labels) -> Labels {
    let service = labels.get(SERVICE).map(|value| (PRIVATE_SERVICE, value));
    of_type(profile_type).into_iter().chain(service).chain(labels.iter()).collect()
}

/// The name by which a source knows a label.
pub(crate) fn known_as(name: &str) -> &str {
    if name == PRIVATE_SERVICE { SERVICE } else { name }
}

/// By which labels a source is asked to group: what is made of the type is the same in all of it, tells no series from
/// another, and comes back by [`with_private`].
pub(crate) fn grouping(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !is_of_type(name)).map(|name| known_as(name).to_owned()).collect()
}

/// A selector, taken apart: what is asked of labels that a source has, and what of those that it has not.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    public: Selector,
    private: Vec<LabelMatcher>,
}

impl Parted {
    /// Compiles each condition, which may take so much; what a source has to do with, it compiles again when it is asked.
    pub(crate) fn new(selector: Selector, budget: &mut RegexBudget) -> Result<Self, Fault> {
        check_matchers(&selector)?;
        let (mut public, mut private) = (Selector::all(), Vec::new());
        for mut matcher in selector.matchers {
            matcher.name = known_as(&matcher.name).to_owned();
            let compiled = LabelMatcher::within(&matcher, budget)
                .map_err(|error| Fault::invalid(error.to_string()))?;
            match is_private(&matcher.name) {
                true => private.push(compiled),
                false => public.push(matcher),
            }
        }
        Ok(Self { public, private })
    }

    /// Whether types can be told apart by it.
    pub(crate) fn chooses_types(&self) -> bool {
        !self.private.is_empty()
    }

    /// What a source is asked for profiles of any type.
    pub(crate) fn public(&self) -> &Selector {
        &self.public
    }

    /// What a source is asked for profiles of this type; `None` if none can match.
    pub(crate) fn of(&self, profile_type: &ProfileType) -> Option<&Selector> {
        let get = |name: &str| {
            of_type(profile_type).into_iter().find(|(known, _)| *known == name).map(|(_, v)| v)
        };
        let is_met =
            |matcher: &LabelMatcher| matcher.matches_value(get(matcher.name()).unwrap_or_default());
        self.private.iter().all(is_met).then_some(&self.public)
    }
}
