//! Reading the JSON of queries, so that what is wrong is told by the name of its field and quoted.

use serde_json::{Map, Value};

use crate::Error;

/// How much of a value a message quotes.
const MAX_QUOTE: usize = 80;
/// How many texts a list has at most.
const MAX_TEXTS: usize = 100;
/// How long one of them is, in bytes.
pub(super) const MAX_TEXT: usize = 4096;

/// An object whose fields are read one by one. What nobody asks for is passed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    /// What stands before the names of its fields, such as `baseline.`.
    prefix: &'a str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self { prefix: "", map }),
            other => Err(Error::request(format!("a query is an object, not {}", shown(other)))),
        }
    }

    /// The value of a field; null is none.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> Error {
        let prefix = self.prefix;
        Error::request(format!("{prefix}{name} is to be {expected}, not {}", shown(found)))
    }

    pub(super) fn object(&self, name: &str, prefix: &'a str) -> Result<Option<Self>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { prefix, map })),
            Some(other) => Err(self.wrong(name, "an object", other)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a text", other)),
        }
    }

    /// The name of a field with what stands before it.
    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Names and ids: texts without the spaces around them, and without those that are empty, as an editor leaves them
    /// behind.
    pub(super) fn names(&self, name: &str) -> Result<Vec<String>, Error> {
        let texts = self.texts(name)?.into_iter();
        Ok(texts.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect())
    }

    /// Texts without those that are empty; no more of them, and none longer, than anyone has use for.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let texts = self.all_texts(name)?;
        if texts.len() > MAX_TEXTS {
            let (name, n) = (self.named(name), texts.len());
            return Err(Error::request(format!(
                "{name} has {n} texts: at most {MAX_TEXTS} are read"
            )));
        }
        match texts.iter().find(|text| text.len() > MAX_TEXT) {
            Some(long) => Err(too_long(&self.named(name), long)),
            None => Ok(texts),
        }
    }

    fn all_texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let expected = "a list of texts";
        let list = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(self.wrong(name, expected, other)),
        };
        let mut texts = Vec::new();
        for value in list {
            let Value::String(text) = value else { return Err(self.wrong(name, expected, value)) };
            if !text.trim().is_empty() {
                texts.push(text.clone());
            }
        }
        Ok(texts)
    }

    /// A whole number, as an integer or as a double that is one.
    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let of_double = || {
            let double = value.as_f64()?;
            // Beyond 2^53 a double is no number that somebody wrote.
            (double.fract() == 0.0 && double.abs() < 9_007_199_254_740_992.0)
                .then_some(double as i64)
        };
        let whole = value.as_i64().or_else(of_double);
        whole.map(Some).ok_or_else(|| self.wrong(name, "a whole number", value))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }

    /// A text or a number as text, as times are.
    pub(super) fn time(&self, name: &str) -> Result<Option<String>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(self.wrong(name, "a time", other)),
        }
    }
}

/// A text that is longer than anyone has use for.
pub(super) fn too_long(name: &str, text: &str) -> Error {
    let n = text.len();
    Error::request(format!("{name} has {n} bytes, {}: at most {MAX_TEXT} are read", quoted(text)))
}

/// A text in quotes, not too long.
pub(super) fn quoted(text: &str) -> String {
    let few: String = text.chars().take(MAX_QUOTE).collect();
    let dots = if few.len() < text.len() { "..." } else { "" };
    format!("{few:?}{dots}")
}

/// A value as JSON, not too long.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
