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
use flamesql_selector::is_label_name;

use crate::{
    Served,
    connect::Asked,
    fault::Fault,
    private::{self, Parted},
    question::{Millis, check_names, selectors},
};

pub(crate) async fn profile_types(
    served: Served,
    Asked { message, .. }: Asked<ProfileTypesRequest>,
) -> Result<ProfileTypesResponse, Fault> {
    let millis = Millis::or_last_hour(message.start, message.end, served.options())?;
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
    let millis = Millis::of_names(message.start, message.end, served.options())?;
    let meta = Meta::new(&served, millis, &message.matchers).await?;
    let mut names = BTreeSet::new();
    for query in &meta.queries {
        names.extend(served.backend().label_names(query).await?);
    }
    let has_series = !names.is_empty() || meta.has_series().await?;
    if has_series {
        let private = private::names(names.iter().any(|name| name == private::SERVICE));
        names.extend(private.map(str::to_owned));
    }
    let guise = served.options().guise;
    names.retain(|name| guise.lists(takes_utf8_names) || is_label_name(name));
    Ok(LabelNamesResponse { names: names.into_iter().collect() })
}

pub(crate) async fn label_values(
    served: Served,
    Asked { message, .. }: Asked<LabelValuesRequest>,
) -> Result<LabelValuesResponse, Fault> {
    let guise = served.options().guise;
    if message.name.is_empty() {
        return match guise.minds_missing_names() {
            true => Err(Fault::invalid("name is required").inner()),
            false => Ok(LabelValuesResponse::default()),
        };
    }
    let millis = Millis::of_names(message.start, message.end, served.options())?;
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
    let millis = Millis::of_names(message.start, message.end, served.options())?;
    check_names("label_names", &message.label_names)?;
    let meta = Meta::new(&served, millis, &message.matchers).await?;
    let guise = served.options().guise;
    let mut sets: BTreeSet<Vec<(String, String)>> = BTreeSet::new();
    for set in meta.label_sets().await? {
        let labels = private::of_set(&set);
        let labels = match message.label_names.as_slice() {
            [] => labels,
            names => labels.only(names.iter().map(String::as_str)),
        };
        let is_shown = |name: &str| guise.lists(true) || is_label_name(name);
        let labels = labels.iter().filter(|(name, _)| is_shown(name));
        let mut labels: Vec<_> =
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if guise.keeps_order_of_names() {
            let place = |name: &str| message.label_names.iter().position(|known| known == name);
            labels.sort_by_key(|(name, _)| place(name));
        }
        sets.insert(labels);
    }
    let pair = |(name, value)| LabelPair { name, value };
    let labels_set = sets
        .into_iter()
        .map(|labels| v1::Labels { labels: labels.into_iter().map(pair).collect() })
        .collect();
    Ok(SeriesResponse { labels_set })
}

/// Labels, sorted by name.
pub(crate) fn pairs(labels: &Labels) -> Vec<LabelPair> {
    let pair =
        |(name, value): (&str, &str)| LabelPair { name: name.to_owned(), value: value.to_owned() };
    labels.iter().map(pair).collect()
}

/// What a source is asked: once, or for each type that the matchers leave.
struct Meta<'a> {
    served: &'a Served,
    queries: Vec<MetaQuery>,
}

impl<'a> Meta<'a> {
    async fn new(served: &'a Served, millis: Millis, matchers: &[String]) -> Result<Self, Fault> {
        let range = millis.range();
        let mut queries = Vec::new();
        for parted in selectors(matchers, served.options())? {
            if !parted.chooses_types() {
                queries.push(query(None, &parted, range));
                continue;
            }
            let types = served.backend().profile_types(range).await?;
            let types = types.into_iter().filter(|known| parted.of(known).is_some());
            queries.extend(types.map(|chosen| query(Some(chosen), &parted, range)));
        }
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
