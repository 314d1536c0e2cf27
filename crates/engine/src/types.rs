//! Which profile type is meant where a statement names none.

use std::fmt;

use flamesql_backend::{Backend, Capabilities};
use flamesql_profile::{ProfileType, TimeRange};

use crate::{Error, ErrorKind};

/// How the profile type of a scan was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeChoice {
    /// The statement, or the caller by its full id, names it.
    Named,
    /// The session names it, or a part of it that is unique.
    Session,
    /// The source has no other.
    Only,
    /// The source says that it is to be shown first, as a file does.
    Default,
    /// A catalogue table lists all of them where nobody names one.
    All,
}

impl fmt::Display for TypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "as named",
            Self::Session => "of the session",
            Self::Only => "the only one",
            Self::Default => "the source's default",
            Self::All => "all that there are",
        })
    }
}

/// The profile type that `hint` means at a source: a full id, or a part of one that no other type there has. Without a
/// hint it is the source's only type or its default.
///
/// # Errors
///
/// If no type or more than one qualifies; the message lists those that there are.
pub async fn resolve_profile_type(
    backend: &dyn Backend,
    hint: Option<&str>,
    range: TimeRange,
) -> Result<(ProfileType, TypeChoice), Error> {
    let types = backend.profile_types(range).await?;
    choose_type(backend, hint, &types).await
}

/// The type that a scan of a statement means, of which a source has `types` in the scan's range. What a name means, and
/// which type is the only one, does not depend on the times of one scan.
pub(crate) async fn type_of_scan(
    backend: &dyn Backend,
    hint: Option<&str>,
    types: &[ProfileType],
) -> Result<(ProfileType, TypeChoice), Error> {
    match backend.capabilities().is_finite {
        true => resolve_profile_type(backend, hint, TimeRange::ALL).await,
        false => choose_type(backend, hint, types).await,
    }
}

async fn choose_type(
    backend: &dyn Backend,
    hint: Option<&str>,
    types: &[ProfileType],
) -> Result<(ProfileType, TypeChoice), Error> {
    if let Some(hint) = hint {
        if let Some(exact) = types.iter().find(|t| t.as_str() == hint) {
            return Ok((exact.clone(), TypeChoice::Named));
        }
        if let Ok(id) = ProfileType::parse(hint) {
            if let Some(found) = types.iter().find(|t| t.matches(&id)) {
                return Ok((found.clone(), TypeChoice::Named));
            }
            // What is not listed may be there.
            let Capabilities { lists_all, is_finite, .. } = backend.capabilities();
            if !lists_all || !is_finite {
                return Ok((id, TypeChoice::Named));
            }
        }
        let called: Vec<&ProfileType> = types.iter().filter(|t| t.is_called(hint)).collect();
        return match called.as_slice() {
            [one] => Ok(((*one).clone(), TypeChoice::Session)),
            [] if hint.contains(':') && ProfileType::parse(hint).is_err() => {
                Err(ProfileType::parse(hint)
                    .map_or_else(Error::from, |_| no_type("", types))
                    .with_hint(list(types)))
            }
            [] => Err(no_type(&format!("there is no profile type {hint:?} here"), types)),
            several => {
                // What a source shows first is also what it means by a name.
                let default = backend.default_profile_type().await?;
                match default.filter(|default| several.contains(&default)) {
                    Some(default) => Ok((default, TypeChoice::Session)),
                    None => {
                        let what = format!("{} profile types are called {hint:?}", several.len());
                        let several: Vec<ProfileType> = several.iter().copied().cloned().collect();
                        Err(no_type(&what, &several))
                    }
                }
            }
        };
    }
    if let [only] = types {
        return Ok((only.clone(), TypeChoice::Only));
    }
    if let Some(default) = backend.default_profile_type().await?.filter(|t| types.contains(t)) {
        return Ok((default, TypeChoice::Default));
    }
    Err(no_type("no profile type is named", types))
}

pub(crate) fn list(types: &[ProfileType]) -> String {
    match types {
        [] => "the source has no profiles in this range".to_owned(),
        types => {
            let ids: Vec<&str> = types.iter().map(ProfileType::as_str).collect();
            format!("the source has {}", ids.join(", "))
        }
    }
}

pub(crate) fn no_type(what: &str, types: &[ProfileType]) -> Error {
    Error::new(ErrorKind::Query, format!("{what}; {}", list(types)))
        .with_hint(
            "name one: WHERE profile_type = '...', --type, or SET flamesql.profile_type; or all of them: \
             WHERE profile_type <> ''",
        )
}
