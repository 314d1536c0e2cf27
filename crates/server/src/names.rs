//! Which types, labels and series there are.

use std::collections::BTreeSet;

use flamesql_backend::{LabelSet, MetaQuery};
use flamesql_profile::{Labels, ProfileType, TimeRange};
use flamesql_proto::{
    querier::v1::{ProfileTypesRequest, ProfileTypesResponse, SeriesRequest, SeriesResponse},
    types::v1::{
        self, LabelNamesRequest, LabelNamesResponse, LabelPair, LabelValuesRequest,
        LabelValuesResponse,
    },
};

use crate::{
    Served,
    connect::Asked,
    fault::Fault,
    private::{self, Parted},
    question::{Millis, selectors},
};

pub(crate) async fn profile_types(
    served: Served,
    Asked { message, .. }: Asked<ProfileTypesRequest>,
) -> Result<ProfileTypesResponse, Fault> {
    let millis = Millis::or_last_hour(message.start, message.end, served.options().max_range)?;
    let types = served.backend().profile_types(millis.range()).await?;
    let profile_types = types.iter().map(shown).collect();
    Ok(ProfileTypesResponse { profile_types })
}

fn shown(profile_type: &ProfileType) -> v1::ProfileType {
    v1::ProfileType {
        id: profile_type.as_str().to_owned(),
        name: profile_type.name().to_owned(),
        sample_type: profile_type.sample_type().to_owned(),
        sample_unit: profile_type.sample_unit().to_owned(),
        period_type: profile_type.period_type().to_owned(),
        period_unit: profile_type.period_unit().to_owned(),
    }
}

pub(crate) async fn label_names(
    served: Served,
    Asked { message, takes_utf8_names }: Asked<LabelNamesRequest>,
) -> Result<LabelNamesResponse, Fault> {
    let millis = Millis::new(message.start, message.end, served.options().max_range)?;
    let meta = Meta::new(&served, millis, &message.matchers).await?;
    let mut names = BTreeSet::new();
    for query in &meta.queries {
        names.extend(served.backend().label_names(query).await?);
    }
    let has_series = !names.is_empty() || meta.has_series().await?;
    if has_series {
        let labels: Labels = names.iter().map(|name| (name.as_str(), "-")).collect();
        let any = ProfileType::from_parts("-", "-", "-", "-", "-");
        let all = private::with_private(&any, &labels);
        names.extend(all.iter().map(|(name, _)| name.to_owned()));
    }
    names.retain(|name| takes_utf8_names || is_legacy(name));
    Ok(LabelNamesResponse { names: names.into_iter().collect() })
}

pub(crate) async fn label_values(
    served: Served,
    Asked { message, .. }: Asked<LabelValuesRequest>,
) -> Result<LabelValuesResponse, Fault> {
    if message.name.is_empty() {
        return Err(Fault::invalid("name is required"));
    }
    let millis = Millis::new(message.start, message.end, served.options().max_range)?;
    let meta = Meta::new(&served, millis, &message.matchers).await?;
    let name = private::known_as(&message.name);
    let mut values = BTreeSet::new();
    if private::is_private(name) {
        for set in meta.label_sets().await? {
            let value = private::of_set(&set).get(name).map(str::to_owned);
            values.extend(value);
        }
    } else {
        for query in &meta.queries {
            values.extend(served.backend().label_values(name, query).await?);
        }
    }
    Ok(LabelValuesResponse { names: values.into_iter().collect() })
}

pub(crate) async fn series(
    served: Served,
    Asked { message, .. }: Asked<SeriesRequest>,
) -> Result<SeriesResponse, Fault> {
    let millis = Millis::new(message.start, message.end, served.options().max_range)?;
    let meta = Meta::new(&served, millis, &message.matchers).await?;
    let mut sets = BTreeSet::new();
    for set in meta.label_sets().await? {
        let labels = private::of_set(&set);
        sets.insert(match message.label_names.as_slice() {
            [] => labels,
            names => labels.only(names.iter().map(String::as_str)),
        });
    }
    let labels_set = sets.iter().map(|labels| v1::Labels { labels: pairs(labels) }).collect();
    Ok(SeriesResponse { labels_set })
}

/// Labels, sorted by name.
pub(crate) fn pairs(labels: &Labels) -> Vec<LabelPair> {
    let pair =
        |(name, value): (&str, &str)| LabelPair { name: name.to_owned(), value: value.to_owned() };
    labels.iter().map(pair).collect()
}

/// Letters, digits and `_`, as Prometheus had them in its first two versions.
fn is_legacy(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What a source is asked: once, or for each type that the matchers leave.
struct Meta<'a> {
    served: &'a Served,
    queries: Vec<MetaQuery>,
}

impl<'a> Meta<'a> {
    async fn new(served: &'a Served, millis: Millis, matchers: &[String]) -> Result<Self, Fault> {
        let parted = selectors(matchers)?;
        let range = millis.range();
        let queries = match parted.chooses_types() {
            false => vec![query(None, &parted, range)],
            true => {
                let types = served.backend().profile_types(range).await?;
                let types = types.into_iter().filter(|known| parted.of(known).is_some());
                types.map(|chosen| query(Some(chosen), &parted, range)).collect()
            }
        };
        Ok(Self { served, queries })
    }

    async fn label_sets(&self) -> Result<Vec<LabelSet>, Fault> {
        let mut sets = Vec::new();
        for query in &self.queries {
            sets.extend(self.served.backend().label_sets(query).await?);
        }
        Ok(sets)
    }

    async fn has_series(&self) -> Result<bool, Fault> {
        Ok(!self.label_sets().await?.is_empty())
    }
}

fn query(profile_type: Option<ProfileType>, parted: &Parted, range: TimeRange) -> MetaQuery {
    MetaQuery { profile_type, selector: parted.public().clone(), range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_old_kind() {
        for (name, is) in [("pod", true), ("_a1", true), ("1a", false), ("k8s.pod", false)] {
            assert_eq!(is_legacy(name), is, "{name}");
        }
    }
}
