//! A frame as an Arrow file.

use std::{collections::HashMap, io, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array},
    compute::concat,
    datatypes::{Field as ArrowField, Schema},
    error::ArrowError,
    ipc::writer::FileWriter,
};

use crate::{Error, Field, Frame, config};

impl Frame {
    /// Writes the frame as an Arrow file of one batch, as plugins send it.
    ///
    /// # Errors
    ///
    /// If `into` fails, or a field of text is larger than two gigabytes.
    pub fn write_arrow(&self, into: impl io::Write) -> Result<(), Error> {
        let write = || {
            let batch = self.batch()?;
            let mut writer = FileWriter::try_new(into, &batch.schema())?;
            writer.write(&batch)?;
            writer.finish()
        };
        write().map_err(|e: ArrowError| Error::with_source("write a frame as an Arrow file", e))
    }

    fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let mut metadata: HashMap<String, String> = HashMap::new();
        metadata.insert("name".to_owned(), self.name.clone());
        metadata.insert("refId".to_owned(), self.ref_id.clone());
        if let Some(meta) = &self.meta {
            metadata.insert("meta".to_owned(), json(meta)?);
        }
        let fields = self.fields().iter().map(described).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let columns = self.fields().iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.n_rows()));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }
}

fn described(field: &Field) -> Result<ArrowField, ArrowError> {
    let kind = field.kind();
    let mut metadata: HashMap<String, String> = HashMap::new();
    metadata.insert("tstype".to_owned(), kind.names().0.to_owned());
    if let Some(labels) = &field.labels {
        metadata.insert("labels".to_owned(), json(labels)?);
    }
    if field.config.is_some() || field.texts().is_some() {
        let lengths = field.texts().unwrap_or_default().iter().map(|text| text.len() + 3);
        let mut config = Vec::with_capacity(lengths.sum());
        config::push(&mut config, field.config.as_ref(), field.texts(), |_| Ok(()))?;
        let config =
            String::from_utf8(config).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        metadata.insert("config".to_owned(), config);
    }
    let described = ArrowField::new(&field.name, kind.data_type(), field.is_nullable());
    Ok(described.with_metadata(metadata))
}

fn whole(field: &Field) -> Result<ArrayRef, ArrowError> {
    match field.chunks() {
        [] => Ok(new_empty_array(&field.kind().data_type())),
        [one] => Ok(Arc::clone(one)),
        chunks => {
            let chunks: Vec<_> = chunks.iter().map(AsRef::as_ref).collect();
            concat(&chunks)
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, ArrowError> {
    serde_json::to_string(value).map_err(|e| ArrowError::ExternalError(Box::new(e)))
}
