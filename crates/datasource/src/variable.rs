//! Variables of dashboards: lists of profile types, labels and values that a user chooses from.

use flamesql_selector::{Matcher, Selector};
use serde::{Deserialize, Serialize};

use crate::{DataSource, Error, MetaText};

/// What a variable lists.
///
/// ```
/// use flamesql_datasource::VariableQuery;
///
/// let query = VariableQuery::parse(br#"{"refId": "v", "type": "label", "profileTypeId": "a:b:c:d:e"}"#)?;
/// assert_eq!(query, VariableQuery::Label { profile_type_id: "a:b:c:d:e".to_owned() });
/// # Ok::<(), flamesql_datasource::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum VariableQuery {
    /// The profile types.
    ProfileType {},
    /// The labels of a profile type.
    Label {
        /// The profile type; without one there is nothing to list.
        #[serde(default)]
        profile_type_id: String,
    },
    /// The values of a label.
    LabelValue {
        /// The profile type; without one there is nothing to list.
        #[serde(default)]
        profile_type_id: String,
        /// The label; without one there is nothing to list.
        #[serde(default)]
        label_name: String,
    },
    /// The rows of a statement: the first column is shown, the second, if there is one, is what it stands for.
    Sql {
        /// The statement; without one there is nothing to list.
        #[serde(default)]
        raw_sql: String,
    },
}

impl VariableQuery {
    /// Reads the model of a variable; what else is in it is passed over.
    ///
    /// # Errors
    ///
    /// If it is no such model; the message quotes what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json)
            .map_err(|error| Error::request(format!("the query of a variable: {error}")))
    }
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariableValue {
    /// What is shown.
    pub text: String,
    /// What it stands for, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl VariableValue {
    fn of(text: String) -> Self {
        Self { text, value: None }
    }
}

impl DataSource {
    /// What a variable has to choose from, in a range as of [`MetaText`].
    ///
    /// # Errors
    ///
    /// If the source gives no answer, or the profile type is none of its kind.
    pub async fn variable(
        &self,
        query: &VariableQuery,
        start: Option<i64>,
        end: Option<i64>,
    ) -> Result<Vec<VariableValue>, Error> {
        let selector =
            |id: &str| Selector::all().with(Matcher::equal("__profile_type__", id)).to_string();
        match query {
            VariableQuery::ProfileType {} => {
                let types = self.profile_types(start, end).await?;
                let value = |item: crate::ProfileTypeItem| VariableValue {
                    text: item.label,
                    value: Some(item.id),
                };
                Ok(types.into_iter().map(value).collect())
            }
            VariableQuery::Label { profile_type_id } if !profile_type_id.is_empty() => {
                let query = selector(profile_type_id);
                let names = self.label_names(MetaText { query: &query, start, end }).await?;
                Ok(names.into_iter().map(VariableValue::of).collect())
            }
            VariableQuery::LabelValue { profile_type_id, label_name }
                if !profile_type_id.is_empty() && !label_name.is_empty() =>
            {
                let query = selector(profile_type_id);
                let text = MetaText { query: &query, start, end };
                let values = self.label_values(label_name, text).await?;
                Ok(values.into_iter().map(VariableValue::of).collect())
            }
            VariableQuery::Sql { raw_sql } if !raw_sql.trim().is_empty() => {
                let range = MetaText { query: "", start, end };
                let pairs = self.pairs(raw_sql, range).await?;
                Ok(pairs.into_iter().map(|(text, value)| VariableValue { text, value }).collect())
            }
            VariableQuery::Label { .. }
            | VariableQuery::LabelValue { .. }
            | VariableQuery::Sql { .. } => Ok(Vec::new()),
        }
    }
}
