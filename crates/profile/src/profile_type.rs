//! What a profile measures: the id of a profile type, or an app's name on a legacy server.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use crate::Error;

/// The id of a profile type: `name:sample_type:sample_unit:period_type:period_unit`, parts possibly empty.
///
/// A sixth part, `delta`, which old data carry, is kept in the text and ignored by [`ProfileType::matches`].
///
/// On a legacy Pyroscope server the app's name stands in for the id ([`ProfileType::app`]). It has no parts; the unit of
/// its values may come along ([`ProfileType::with_unit`]) and tells no two apps apart.
///
/// ```
/// use flamesql_profile::ProfileType;
///
/// let cpu = ProfileType::parse("process_cpu:cpu:nanoseconds:cpu:nanoseconds")?;
/// assert_eq!((cpu.name(), cpu.sample_type(), cpu.sample_unit()), ("process_cpu", "cpu", "nanoseconds"));
///
/// let app = ProfileType::app("checkout.cpu").with_unit("samples");
/// assert_eq!((app.name(), app.sample_type(), app.sample_unit()), ("checkout.cpu", "", "samples"));
/// # Ok::<(), flamesql_profile::Error>(())
/// ```
#[derive(Clone)]
pub struct ProfileType {
    text: Arc<str>,
    /// Of an app its unit, empty if it is not known; an id has that in its text.
    app_unit: Option<Arc<str>>,
}

impl ProfileType {
    /// Reads an id of five parts, or six with `delta` as the last.
    ///
    /// # Errors
    ///
    /// If there are fewer or more parts; the message says how many were found.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parts = text.split(':').count();
        if parts == 5 || (parts == 6 && text.ends_with(":delta")) {
            return Ok(Self { text: text.into(), app_unit: None });
        }
        let shape = "must be <name>:<sample type>:<sample unit>:<period type>:<period unit>";
        let found = match parts {
            6 => "a sixth part other than delta".to_owned(),
            n => format!("{n} part{}", if n == 1 { "" } else { "s" }),
        };
        Err(Error::syntax("profile type", text, format_args!("{shape}, got {found}")))
    }

    /// Puts an id together; a `:` inside a part, which no server can store, becomes `_`.
    pub fn from_parts(
        name: &str,
        sample_type: &str,
        sample_unit: &str,
        period_type: &str,
        period_unit: &str,
    ) -> Self {
        let parts = [name, sample_type, sample_unit, period_type, period_unit];
        Self { text: parts.map(|part| part.replace(':', "_")).join(":").into(), app_unit: None }
    }

    /// An app of a legacy Pyroscope server, taken as it stands.
    pub fn app(name: &str) -> Self {
        Self { text: name.into(), app_unit: Some("".into()) }
    }

    /// The same app with the unit of its values, such as `samples` or `bytes`. An id stays as it is: it has one.
    #[must_use]
    pub fn with_unit(mut self, unit: &str) -> Self {
        if let Some(known) = &mut self.app_unit {
            *known = unit.into();
        }
        self
    }

    /// Whether this is an app's name and not an id.
    pub fn is_app(&self) -> bool {
        self.app_unit.is_some()
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn part(&self, idx: usize) -> &str {
        if let Some(unit) = &self.app_unit {
            return match idx {
                0 => &self.text,
                2 => unit,
                _ => "",
            };
        }
        self.text.split(':').nth(idx).unwrap_or("")
    }

    /// The first part, such as `process_cpu`; of an app its whole name.
    pub fn name(&self) -> &str {
        self.part(0)
    }

    /// What one sample counts, such as `cpu` or `inuse_space`.
    pub fn sample_type(&self) -> &str {
        self.part(1)
    }

    /// The unit of the values, such as `nanoseconds`, `bytes` or `count`.
    pub fn sample_unit(&self) -> &str {
        self.part(2)
    }

    /// What the sampling period counts.
    pub fn period_type(&self) -> &str {
        self.part(3)
    }

    /// The unit of the sampling period.
    pub fn period_unit(&self) -> &str {
        self.part(4)
    }

    /// Whether both name the same data: equal but for a sixth part.
    pub fn matches(&self, other: &Self) -> bool {
        let five = |t: &Self| {
            t.text.strip_suffix(":delta").filter(|_| !t.is_app()).unwrap_or(&t.text).to_owned()
        };
        self.is_app() == other.is_app() && five(self) == five(other)
    }

    /// Whether `hint` is this id or one of its parts that tells it from others: its sample type or its name.
    pub fn is_called(&self, hint: &str) -> bool {
        &*self.text == hint || self.sample_type() == hint || self.name() == hint
    }
}

impl ProfileType {
    /// What tells it from others.
    fn key(&self) -> (&str, bool) {
        (&self.text, self.is_app())
    }
}

impl PartialEq for ProfileType {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ProfileType {}

impl PartialOrd for ProfileType {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProfileType {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for ProfileType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl FromStr for ProfileType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for ProfileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ProfileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_five_parts_or_end_in_delta() {
        for good in ["process_cpu:samples:count::milliseconds", "::::", "a:b:c:d:e:delta"] {
            assert_eq!(ProfileType::parse(good).unwrap().to_string(), good);
        }
        for (bad, got) in [
            ("a:b:c:d", "got 4 parts"),
            ("a:b:c:d:e:f:g", "got 7 parts"),
            ("", "got 1 part"),
            ("a:b:c:d:e:f", "other than delta"),
        ] {
            assert!(ProfileType::parse(bad).unwrap_err().to_string().ends_with(got), "{bad}");
        }
    }

    #[test]
    fn delta_is_ignored_in_matching_only() {
        let id = ProfileType::parse("memory:inuse_space:bytes:space:bytes").unwrap();
        let delta = ProfileType::parse("memory:inuse_space:bytes:space:bytes:delta").unwrap();
        assert!(id.matches(&delta) && id != delta);
        assert!(!ProfileType::app("a").matches(&id));
    }

    #[test]
    fn the_unit_of_an_app_tells_it_from_no_other() {
        let app = ProfileType::app("shop.cpu");
        let samples = app.clone().with_unit("samples");
        assert_eq!((app.sample_unit(), samples.sample_unit()), ("", "samples"));
        assert!(app == samples && app.matches(&samples) && app.cmp(&samples).is_eq());
        let id = ProfileType::parse("a:b:c:d:e").unwrap();
        assert_eq!(id.clone().with_unit("bytes").sample_unit(), id.sample_unit());
        assert_ne!(ProfileType::app("a:b:c:d:e"), id);
    }
}
