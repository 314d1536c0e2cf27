//! Label sets: what tells one series of profiles from another.

use std::{fmt, sync::Arc};

/// Label names with their values: sorted by name, each name once, no empty value.
///
/// An empty value means that the label is missing, as on every server, so it is never stored. Cloning is cheap.
///
/// ```
/// use flamesql_profile::Labels;
///
/// let labels: Labels = [("service_name", "checkout"), ("pod", "c-0"), ("region", "")].into_iter().collect();
/// assert_eq!(labels.to_string(), r#"{pod="c-0", service_name="checkout"}"#);
/// assert_eq!(labels.get("region"), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of a label, or `None` if it is missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the labels that `keep` names.
    #[must_use]
    pub fn only<'a>(&self, keep: impl IntoIterator<Item = &'a str>) -> Self {
        keep.into_iter().filter_map(|name| self.get(name).map(|value| (name, value))).collect()
    }

    /// These labels with others on top: where both have a name, `over` wins.
    #[must_use]
    pub fn overlaid_by(&self, over: &Self) -> Self {
        self.iter().chain(over.iter()).collect()
    }

    /// These labels without the names that begin with `__`, which are about the profile and not about its source.
    #[must_use]
    pub fn public(&self) -> Self {
        if self.iter().any(|(name, _)| name.starts_with("__")) {
            self.iter().filter(|(name, _)| !name.starts_with("__")).collect()
        } else {
            self.clone()
        }
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for Labels {
    /// Of several values for one name the last one counts; an empty one removes the label.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        pairs.retain(|(_, value)| !value.is_empty());
        Self(pairs.into())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (idx, (name, value)) in self.iter().enumerate() {
            let comma = if idx == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_an_empty_one_removes() {
        let labels: Labels =
            [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("c", "")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        let over: Labels = [("a", "9"), ("d", "0")].into_iter().collect();
        assert_eq!(labels.overlaid_by(&over).to_string(), r#"{a="9", b="3", d="0"}"#);
        assert_eq!(labels.only(["b", "x"]).to_string(), r#"{b="3"}"#);
    }
}
