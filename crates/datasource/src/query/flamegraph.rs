//! Flame graphs as Grafana draws them: rows in pre-order, each with its level.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StructArray, UInt16Array, new_empty_array},
    datatypes::DataType,
};
use flamesql_frame::{Field, Frame, FrameMeta, MAX_ENUM, Visualisation};

use super::asked::Asked;
use crate::{Error, ErrorKind, metadata::DisplayUnit};

/// What is cut away from a flame graph is called so.
const OTHER: &str = "other";

/// The frame of a statement whose only value is a flame graph.
pub(super) fn frame(asked: &Asked, unit: &DisplayUnit, max_nodes: usize) -> Result<Frame, Error> {
    let rows = Rows::of(asked)?;
    let mut frame = begun();
    frame.push(Field::new("level", rows.column("level")?)?)?;
    for name in ["value", "self"] {
        push_value(&mut frame, name, rows.column(name)?, unit)?;
    }
    push_labels(&mut frame, &rows)?;
    finish(&mut frame, asked, &rows, max_nodes);
    Ok(frame)
}

/// The frame of a statement whose only value is two flame graphs in one: `value` and `self` are those of the baseline,
/// `valueRight` and `selfRight` those of what is compared with it. Grafana adds both up for the width of a bar.
pub(super) fn diff_frame(
    asked: &Asked,
    unit: &DisplayUnit,
    max_nodes: usize,
) -> Result<Frame, Error> {
    let rows = Rows::of(asked)?;
    let mut frame = begun();
    frame.push(Field::new("level", rows.column("level")?)?)?;
    for (name, baseline, comparison) in
        [("value", "baseline", "comparison"), ("self", "baseline_self", "comparison_self")]
    {
        push_value(&mut frame, name, rows.column(baseline)?, unit)?;
        push_value(&mut frame, &format!("{name}Right"), rows.column(comparison)?, unit)?;
    }
    push_labels(&mut frame, &rows)?;
    finish(&mut frame, asked, &rows, max_nodes);
    Ok(frame)
}

/// A frame that has no fields yet.
fn begun() -> Frame {
    let mut frame = Frame::new("response");
    frame.meta = Some(FrameMeta {
        preferred_visualisation: Some(Visualisation::FlameGraph),
        ..FrameMeta::default()
    });
    frame
}

fn push_value(
    frame: &mut Frame,
    name: &str,
    values: ArrayRef,
    unit: &DisplayUnit,
) -> Result<(), Error> {
    let mut field = Field::new(name, values)?;
    field.config_mut().unit = Some(unit.to_string());
    Ok(frame.push(field)?)
}

/// The names as an enumeration, in the order in which they first come; as texts if there are more than it can tell apart.
fn push_labels(frame: &mut Frame, rows: &Rows) -> Result<(), Error> {
    let labels = rows.column("label")?;
    Ok(frame.push(enumeration("label", &labels)?)?)
}

/// Texts as an enumeration if there are few enough of them.
pub(super) fn enumeration(name: &str, labels: &ArrayRef) -> Result<Field, Error> {
    let texts: &StringArray = labels.as_string();
    let mut known: HashMap<&str, u16> = HashMap::new();
    let mut names: Vec<String> = Vec::new();
    let mut indexes: Vec<u16> = Vec::with_capacity(texts.len());
    for text in texts.iter().map(Option::unwrap_or_default) {
        let index = match known.get(text) {
            Some(index) => *index,
            None => {
                let Some(index) =
                    u16::try_from(names.len()).ok().filter(|_| names.len() < MAX_ENUM)
                else {
                    return Ok(Field::new(name, Arc::clone(labels))?);
                };
                names.push(text.to_owned());
                known.insert(text, index);
                index
            }
        };
        indexes.push(index);
    }
    Ok(Field::enumeration(name, names, UInt16Array::from(indexes))?)
}

fn finish(frame: &mut Frame, asked: &Asked, rows: &Rows, max_nodes: usize) {
    asked.tell(frame);
    let n_other = rows.column("label").map_or(0, |labels| {
        let labels: &StringArray = labels.as_string();
        labels.iter().filter(|label| *label == Some(OTHER)).count()
    });
    // A function may be called so as well; a complete graph has fewer nodes than it may have.
    if n_other > 0
        && rows.0.len() >= max_nodes
        && let Some(meta) = &mut frame.meta
    {
        let text = format!(
            "cut to about {max_nodes} nodes, the largest: what is smaller is called {OTHER:?}; maxNodes shows more"
        );
        meta.notices
            .push(flamesql_frame::Notice { severity: flamesql_frame::Severity::Info, text });
    }
}

/// The rows of a flame graph.
struct Rows(StructArray);

impl Rows {
    /// Of the only value of a statement; NULL and no row at all have none.
    fn of(asked: &Asked) -> Result<Self, Error> {
        let DataType::List(item) = asked.schema.field(0).data_type() else {
            return Err(Error::new(ErrorKind::Internal, "a flame graph is no list"));
        };
        let found = asked.batches.iter().find(|batch| batch.num_rows() > 0);
        let values = match found.map(|batch| batch.column(0).as_list::<i32>()) {
            Some(list) if list.is_valid(0) => list.value(0),
            _ => new_empty_array(item.data_type()),
        };
        Ok(Self(values.as_struct().clone()))
    }

    fn column(&self, name: &str) -> Result<ArrayRef, Error> {
        let column = self.0.column_by_name(name).cloned();
        column
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("a flame graph without {name}")))
    }
}

/// The frame of rows that a statement of a user gave as a flame graph.
pub(super) fn of_rows(asked: &Asked, frame: Frame) -> Result<Frame, Error> {
    let names: Vec<&str> =
        asked.schema.fields().iter().map(|field| field.name().as_str()).collect();
    for wanted in ["level", "value", "self", "label"] {
        if !names.contains(&wanted) {
            let what = format!(
                "format=flamegraph: the statement has no column {wanted}, but {}",
                names.join(", ")
            );
            let hint = "SELECT * FROM (SELECT unnest(unnest(flamegraph(stack, value))) FROM samples) AS f(level, value, self, label)";
            return Err(Error::request(what).with_hint(hint));
        }
    }
    for field in asked.schema.fields() {
        let (name, data_type) = (field.name().as_str(), field.data_type());
        let is_right = match name {
            "level" | "value" | "self" => data_type.is_integer(),
            "label" => data_type.is_string() || matches!(data_type, DataType::Dictionary(..)),
            _ => true,
        };
        if !is_right {
            let what = format!("format=flamegraph: {name} is {data_type}");
            return Err(Error::request(what)
                .with_hint("level, value and self are whole numbers, label is a text"));
        }
    }
    let mut frame = frame;
    let meta = frame.meta.get_or_insert_with(FrameMeta::default);
    meta.preferred_visualisation = Some(Visualisation::FlameGraph);
    Ok(frame)
}
