//! The labels that are made of a profile's type: `__profile_type__` and what else begins with `__`.
//!
//! A source knows no such labels. Here they are in all answers, and a matcher on one is answered from the type.

use flamesql_backend::LabelSet;
use flamesql_profile::{Labels, ProfileType};
use flamesql_selector::{Filter, Selector};

use crate::fault::Fault;

const SERVICE: &str = "service_name";
/// A copy of the service's name, which Pyroscope keeps profiles by.
const PRIVATE_SERVICE: &str = "__service_name__";

/// Whether it is a name of such a label.
pub(crate) fn is_private(name: &str) -> bool {
    name.starts_with("__")
}

/// The labels of a type, sorted by name.
pub(crate) fn of_type(profile_type: &ProfileType) -> [(&'static str, &str); 6] {
    let id = profile_type.as_str();
    [
        ("__name__", profile_type.name()),
        ("__period_type__", profile_type.period_type()),
        ("__period_unit__", profile_type.period_unit()),
        ("__profile_type__", id.strip_suffix(":delta").unwrap_or(id)),
        ("__type__", profile_type.sample_type()),
        ("__unit__", profile_type.sample_unit()),
    ]
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

/// A selector, taken apart: what is asked of labels that a source has, and what of those that it has not.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    public: Selector,
    private: Filter,
}

impl Parted {
    pub(crate) fn new(selector: &Selector) -> Result<Self, Fault> {
        let (mut public, mut private) = (Selector::all(), Selector::all());
        for matcher in &selector.matchers {
            let mut matcher = matcher.clone();
            matcher.name = known_as(&matcher.name).to_owned();
            if is_private(&matcher.name) { private.push(matcher) } else { public.push(matcher) }
        }
        let private = Filter::new(&private).map_err(|error| Fault::invalid(error.to_string()))?;
        Ok(Self { public, private })
    }

    /// Whether types can be told apart by it.
    pub(crate) fn chooses_types(&self) -> bool {
        !self.private.matchers().is_empty()
    }

    /// What a source is asked for profiles of any type.
    pub(crate) fn public(&self) -> &Selector {
        &self.public
    }

    /// What a source is asked for profiles of this type; `None` if none can match.
    pub(crate) fn of(&self, profile_type: &ProfileType) -> Option<&Selector> {
        let labels = of_type(profile_type);
        let get = |name: &str| labels.iter().find(|(known, _)| *known == name).map(|(_, v)| *v);
        self.private.matches(get).then_some(&self.public)
    }
}
