//! A frame as a value.

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{Error, Field, FieldMut, FrameMeta};

/// Columns of one length, and what Grafana is told about them.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Its name, which may be empty.
    pub name: String,
    /// The query that it answers, which may be empty.
    pub ref_id: String,
    /// What is said of it as a whole.
    pub meta: Option<FrameMeta>,
    fields: Vec<Field>,
}

impl Frame {
    /// A frame without fields.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A frame of record batches of one schema, which may be none: see [`Field::of_chunks`] for what becomes of columns.
    ///
    /// # Errors
    ///
    /// If a value cannot be said in a frame, such as a time beyond 64 bits of nanoseconds, or a batch is not of the schema;
    /// the column is named.
    pub fn of_batches(
        name: impl Into<String>,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Self, Error> {
        let mut frame = Self::new(name);
        let n_fields = schema.fields().len();
        if let Some(batch) = batches.iter().find(|batch| batch.num_columns() != n_fields) {
            let n_columns = batch.num_columns();
            return Err(Error::new(format!(
                "make frame {:?}: a batch has {n_columns} columns and its schema {n_fields}",
                frame.name
            )));
        }
        for (idx, field) in schema.fields().iter().enumerate() {
            let chunks: Vec<_> = batches.iter().map(|batch| batch.column(idx)).cloned().collect();
            frame.push(Field::of_chunks(field, &chunks)?)?;
        }
        Ok(frame)
    }

    /// Adds a field.
    ///
    /// # Errors
    ///
    /// If it has another length than those before.
    pub fn push(&mut self, field: Field) -> Result<(), Error> {
        match self.fields.first() {
            Some(first) if first.len() != field.len() => Err(Error::new(format!(
                "put field {:?} into frame {:?}: it has {} values and {:?} has {}",
                field.name,
                self.name,
                field.len(),
                first.name,
                first.len()
            ))),
            _ => {
                self.fields.push(field);
                Ok(())
            }
        }
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// What is said of a field, to say more; `None` if there are not so many. Its values stay as they are, and so all
    /// fields stay of one length.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use flamesql_frame::{Field, Frame, arrow::array::Int64Array};
    ///
    /// let mut frame = Frame::new("series");
    /// frame.push(Field::new("value", Arc::new(Int64Array::from(vec![1, 2])))?)?;
    /// if let Some(mut value) = frame.field_mut(0) {
    ///     *value.labels = Some([("pod".to_owned(), "a".to_owned())].into());
    ///     value.config_mut().unit = Some("ns".to_owned());
    /// }
    /// # Ok::<(), flamesql_frame::Error>(())
    /// ```
    pub fn field_mut(&mut self, idx: usize) -> Option<FieldMut<'_>> {
        self.fields.get_mut(idx).map(Field::as_mut)
    }

    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.fields.first().map_or(0, Field::len)
    }
}
