//! The settings of a data source as Grafana hands them to a plugin: untyped, secrets apart.

use std::{collections::BTreeMap, fmt};

use flamesql_backend::Secret;
use flamesql_profile::{Timestamp, parse_time};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// What Grafana says of one data source. [`Settings::read`](crate::Settings::read) makes sense of it.
///
/// ```
/// use flamesql_datasource::{Allow, InstanceSettings, Settings};
///
/// let instance: InstanceSettings = serde_json::from_str(r#"{
///     "uid": "P1", "name": "Grafana Pyroscope", "url": "http://localhost:4100",
///     "basicAuthEnabled": true, "basicAuthUser": "me",
///     "jsonData": {"minStep": "30s", "backendType": "pyroscope"},
///     "decryptedSecureJsonData": {"basicAuthPassword": "hidden"}
/// }"#)?;
/// let settings = Settings::read(&instance, Allow::Servers)?;
/// assert_eq!(settings.min_step.as_ref().unwrap().to_string(), "30s");
/// assert!(!format!("{instance:?} {settings:?}").contains("hidden"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceSettings {
    /// What tells it from others.
    #[serde(alias = "UID")]
    pub uid: String,
    /// Its name.
    #[serde(alias = "Name")]
    pub name: String,
    /// Where it is.
    #[serde(alias = "URL")]
    pub url: String,
    /// A user, from before there was basic authentication.
    #[serde(alias = "User")]
    pub user: String,
    /// Whether there is basic authentication.
    #[serde(alias = "BasicAuthEnabled")]
    pub basic_auth_enabled: bool,
    /// Its user.
    #[serde(alias = "BasicAuthUser")]
    pub basic_auth_user: String,
    /// What the data source itself has of settings: JSON of an object, or nothing. In JSON it is an object, or a text
    /// that holds one.
    #[serde(alias = "JSONData", deserialize_with = "bytes")]
    pub json_data: Vec<u8>,
    /// Its secrets.
    #[serde(alias = "DecryptedSecureJSONData", deserialize_with = "secrets")]
    pub decrypted_secure_json_data: BTreeMap<String, Secret>,
    /// When they were changed: whoever keeps what was made of settings may keep it until this is another time.
    #[serde(alias = "Updated", deserialize_with = "time")]
    pub updated: Option<Timestamp>,
}

impl fmt::Debug for InstanceSettings {
    /// Without secrets: a password may be in the URL as well, and anything in what was put into `jsonData`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets: Vec<&str> =
            self.decrypted_secure_json_data.keys().map(String::as_str).collect();
        f.debug_struct("InstanceSettings")
            .field("uid", &self.uid)
            .field("name", &self.name)
            .field("basic_auth_enabled", &self.basic_auth_enabled)
            .field("secrets", &secrets)
            .field("updated", &self.updated)
            .finish_non_exhaustive()
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.into_bytes()),
        value => serde_json::to_vec(&value).map_err(D::Error::custom),
    }
}

fn secrets<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Secret>, D::Error> {
    // A message about a value that is no text would quote it.
    let values: Option<BTreeMap<String, Value>> = Option::deserialize(deserializer)
        .map_err(|_| D::Error::custom("the secrets are no object of texts"))?;
    let mut secrets = BTreeMap::new();
    for (key, value) in values.unwrap_or_default() {
        match value {
            Value::String(text) => drop(secrets.insert(key, Secret::new(text))),
            Value::Null => {}
            _ => return Err(D::Error::custom(format!("the secret {key} is no text"))),
        }
    }
    Ok(secrets)
}

/// A time as text; what is beyond the years that can be written, such as the year 1 for none, is none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| parse_time(&text, Timestamp::MIN).ok()))
}
