//! A frame as an Arrow file.
//!
//! The file is what Arrow's own writer makes of one batch, byte for byte. It is written here because that writer wants each
//! column in one piece, and lets the buffer of the schema, in which the texts of enumerations stand, grow step by step; here
//! the pieces go out as they are, and the buffer is as large as it has to be.

use std::{collections::HashMap, io};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanBufferBuilder},
    buffer::{BooleanBuffer, OffsetBuffer},
    datatypes::{
        ArrowPrimitiveType, Field as ArrowField, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Schema, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
    error::ArrowError,
    ipc::{
        Block, Buffer, FieldNode, FooterBuilder, MessageBuilder, MessageHeader, MetadataVersion,
        RecordBatchBuilder, convert::IpcSchemaEncoder,
    },
};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use crate::{Error, Field, Frame, Kind, config};

const MAGIC: &[u8] = b"ARROW1";
const ALIGNMENT: usize = 64;
/// What stands before a message and at the end of all.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// A schema is held in memory, and its format has places for offsets of 31 bits.
const MAX_SCHEMA_LEN: usize = 1 << 30;
/// How many bytes of offsets are gathered before they are passed on.
const BUFFER_LEN: usize = 1 << 14;

impl Frame {
    /// Writes the frame as an Arrow file of one batch, as plugins send it.
    ///
    /// # Errors
    ///
    /// If `into` fails, a field of text is larger than two gigabytes, or the texts of enumerations than one.
    pub fn write_arrow(&self, into: impl io::Write) -> Result<(), Error> {
        let mut out = Out { into, at: 0 };
        out.frame(self).map_err(|e| Error::with_source("write a frame as an Arrow file", e))
    }
}

struct Out<W> {
    into: W,
    /// How many bytes there are.
    at: usize,
}

impl<W: io::Write> Out<W> {
    fn frame(&mut self, frame: &Frame) -> Result<(), ArrowError> {
        let (schema, len) = schema(frame)?;
        let mut head = FlatBufferBuilder::with_capacity(len);
        let columns = frame.fields().iter().map(Lengths::of).collect::<Result<Vec<_>, _>>()?;

        self.write(MAGIC)?;
        self.pad()?;
        let root = IpcSchemaEncoder::new().schema_to_fb_offset(&mut head, &schema).as_union_value();
        self.message(&mut head, MessageHeader::Schema, root, 0)?;

        let start = self.at;
        let body_len = columns.iter().flat_map(Lengths::padded).sum::<usize>();
        let root = batch(&mut head, frame.n_rows(), &columns);
        self.message(&mut head, MessageHeader::RecordBatch, root, body_len)?;
        let head_len = self.at - start;
        for (field, lengths) in frame.fields().iter().zip(&columns) {
            self.column(field, lengths)?;
        }

        self.write(&CONTINUATION)?;
        self.write(&[0; 4])?;
        let dictionaries = head.create_vector::<Block>(&[]);
        let blocks =
            head.create_vector(&[Block::new(start as i64, head_len as i32, body_len as i64)]);
        let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut head, &schema);
        let mut footer = FooterBuilder::new(&mut head);
        footer.add_version(MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(blocks);
        let root = footer.finish();
        head.finish(root, None);
        let footer = head.finished_data();
        self.write(footer)?;
        self.write(&(footer.len() as i32).to_le_bytes())?;
        self.write(MAGIC)?;
        Ok(self.into.flush()?)
    }

    /// What stands before the body of a message. The builder is empty again then.
    fn message(
        &mut self,
        head: &mut FlatBufferBuilder<'_>,
        kind: MessageHeader,
        root: WIPOffset<UnionWIPOffset>,
        body_len: usize,
    ) -> Result<(), ArrowError> {
        let mut message = MessageBuilder::new(head);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(kind);
        message.add_bodyLength(body_len as i64);
        message.add_header(root);
        let root = message.finish();
        head.finish(root, None);
        let bytes = head.finished_data();
        let len = (bytes.len() + 8).next_multiple_of(ALIGNMENT) - 8;
        self.write(&CONTINUATION)?;
        self.write(&(len as i32).to_le_bytes())?;
        self.write(bytes)?;
        self.pad()?;
        head.reset();
        Ok(())
    }

    fn column(&mut self, field: &Field, lengths: &Lengths) -> Result<(), ArrowError> {
        if lengths.n_nulls > 0 {
            let validity = |chunk: &ArrayRef| match chunk.nulls() {
                Some(nulls) => nulls.inner().clone(),
                None => BooleanBuffer::new_set(chunk.len()),
            };
            self.bits(field, validity)?;
        }
        match field.kind() {
            Kind::Bool => self.bits(field, |chunk| chunk.as_boolean().values().clone())?,
            Kind::Text => {
                self.offsets(field, |chunk| chunk.as_string::<i32>().offsets())?;
                self.all(field, |chunk| {
                    let texts = chunk.as_string::<i32>();
                    in_use(texts.offsets(), texts.value_data())
                })?;
            }
            Kind::Json => {
                self.offsets(field, |chunk| chunk.as_binary::<i32>().offsets())?;
                self.all(field, |chunk| {
                    let values = chunk.as_binary::<i32>();
                    in_use(values.offsets(), values.value_data())
                })?;
            }
            kind => self.all(field, |chunk| numbers(kind, chunk))?,
        }
        Ok(())
    }

    /// Bytes of each piece.
    fn all(&mut self, field: &Field, of: impl Fn(&ArrayRef) -> &[u8]) -> io::Result<()> {
        for chunk in field.chunks() {
            self.write(of(chunk))?;
        }
        self.pad()
    }

    /// Bits of all pieces, which need not meet where a byte ends.
    fn bits(&mut self, field: &Field, of: impl Fn(&ArrayRef) -> BooleanBuffer) -> io::Result<()> {
        let mut bits = BooleanBufferBuilder::new(field.len());
        for chunk in field.chunks() {
            bits.append_buffer(&of(chunk));
        }
        self.write(bits.as_slice())?;
        self.pad()
    }

    /// Where each value begins if all pieces stand one behind another, and where the last one ends.
    fn offsets(
        &mut self,
        field: &Field,
        of: impl Fn(&ArrayRef) -> &OffsetBuffer<i32>,
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BUFFER_LEN);
        bytes.extend_from_slice(&0_i32.to_le_bytes());
        let mut end = 0;
        for chunk in field.chunks() {
            let offsets = of(chunk);
            // Their sum was found to fit.
            let shift = end - offsets[0];
            for offset in &offsets[1..] {
                if bytes.len() >= BUFFER_LEN {
                    self.write(&bytes)?;
                    bytes.clear();
                }
                end = offset + shift;
                bytes.extend_from_slice(&end.to_le_bytes());
            }
        }
        self.write(&bytes)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.into.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let n = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.write(&[0; ALIGNMENT][..n])
    }
}

/// How long the buffers of a column are.
struct Lengths {
    n_rows: usize,
    n_nulls: usize,
    /// Validity, values; and bytes if the values are offsets into them.
    buffers: [Option<usize>; 3],
}

impl Lengths {
    fn of(field: &Field) -> Result<Self, ArrowError> {
        let n_rows = field.len();
        let n_nulls = field.chunks().iter().map(|chunk| chunk.null_count()).sum();
        let validity = if n_nulls > 0 { n_rows.div_ceil(8) } else { 0 };
        let bytes = |of: &dyn Fn(&ArrayRef) -> usize| {
            let sum = field.chunks().iter().map(of).sum::<usize>();
            match i32::try_from(sum) {
                Ok(_) => Ok(Some(sum)),
                Err(_) => Err(ArrowError::OffsetOverflowError(sum)),
            }
        };
        let in_use = |offsets: &OffsetBuffer<i32>| {
            (offsets[offsets.len() - 1] - offsets[0]).unsigned_abs() as usize
        };
        let (values, bytes) = match field.kind() {
            Kind::Bool => (n_rows.div_ceil(8), None),
            Kind::Text => {
                let bytes = bytes(&|chunk| in_use(chunk.as_string::<i32>().offsets()))?;
                ((n_rows + 1) * size_of::<i32>(), bytes)
            }
            Kind::Json => {
                let bytes = bytes(&|chunk| in_use(chunk.as_binary::<i32>().offsets()))?;
                ((n_rows + 1) * size_of::<i32>(), bytes)
            }
            kind => (n_rows * kind.data_type().primitive_width().unwrap_or_default(), None),
        };
        Ok(Self { n_rows, n_nulls, buffers: [Some(validity), Some(values), bytes] })
    }

    fn padded(&self) -> impl Iterator<Item = usize> {
        self.buffers.into_iter().flatten().map(|len| len.next_multiple_of(ALIGNMENT))
    }
}

/// The part of the bytes that offsets speak of.
fn in_use<'a>(offsets: &OffsetBuffer<i32>, bytes: &'a [u8]) -> &'a [u8] {
    let of = |offset: i32| offset.unsigned_abs() as usize;
    &bytes[of(offsets[0])..of(offsets[offsets.len() - 1])]
}

/// The numbers of a piece as they are in memory.
fn numbers(kind: Kind, chunk: &ArrayRef) -> &[u8] {
    fn of<T: ArrowPrimitiveType>(chunk: &ArrayRef) -> &[u8] {
        chunk.as_primitive::<T>().values().inner().as_slice()
    }
    match kind {
        Kind::Int8 => of::<Int8Type>(chunk),
        Kind::Int16 => of::<Int16Type>(chunk),
        Kind::Int32 => of::<Int32Type>(chunk),
        Kind::Int64 => of::<Int64Type>(chunk),
        Kind::UInt8 => of::<UInt8Type>(chunk),
        Kind::UInt16 | Kind::Enum => of::<UInt16Type>(chunk),
        Kind::UInt32 => of::<UInt32Type>(chunk),
        Kind::UInt64 => of::<UInt64Type>(chunk),
        Kind::Float32 => of::<Float32Type>(chunk),
        Kind::Float64 => of::<Float64Type>(chunk),
        Kind::Time => of::<TimestampNanosecondType>(chunk),
        Kind::Bool | Kind::Text | Kind::Json => &[],
    }
}

fn batch(
    head: &mut FlatBufferBuilder<'_>,
    n_rows: usize,
    columns: &[Lengths],
) -> WIPOffset<UnionWIPOffset> {
    let mut at = 0;
    let mut buffers = Vec::with_capacity(columns.len() * 3);
    for column in columns {
        for (len, padded) in column.buffers.iter().flatten().zip(column.padded()) {
            buffers.push(Buffer::new(at as i64, *len as i64));
            at += padded;
        }
    }
    let node = |column: &Lengths| FieldNode::new(column.n_rows as i64, column.n_nulls as i64);
    let nodes: Vec<FieldNode> = columns.iter().map(node).collect();
    let buffers = head.create_vector(&buffers);
    let nodes = head.create_vector(&nodes);
    let mut batch = RecordBatchBuilder::new(head);
    batch.add_length(n_rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    batch.finish().as_union_value()
}

/// The schema of a frame, and how many bytes it has at most.
fn schema(frame: &Frame) -> Result<(Schema, usize), ArrowError> {
    let mut metadata: HashMap<String, String> = HashMap::new();
    metadata.insert("name".to_owned(), frame.name.clone());
    metadata.insert("refId".to_owned(), frame.ref_id.clone());
    if let Some(meta) = &frame.meta {
        metadata.insert("meta".to_owned(), json(meta)?);
    }
    let fields = frame.fields().iter().map(described).collect::<Result<Vec<_>, _>>()?;
    // With the table around each text, and around each field and its type.
    let texts = |metadata: &HashMap<String, String>| {
        metadata.iter().map(|(name, text)| name.len() + text.len() + 64).sum::<usize>()
    };
    let of_field = |field: &ArrowField| field.name().len() + texts(field.metadata()) + 256;
    let len = fields.iter().map(of_field).sum::<usize>() + texts(&metadata) + 1024;
    if len > MAX_SCHEMA_LEN {
        let what = format!("{len} bytes of names and texts are more than {MAX_SCHEMA_LEN}");
        return Err(ArrowError::InvalidArgumentError(what));
    }
    Ok((Schema::new_with_metadata(fields, metadata), len))
}

fn described(field: &Field) -> Result<ArrowField, ArrowError> {
    let kind = field.kind();
    let mut metadata: HashMap<String, String> = HashMap::new();
    metadata.insert("tstype".to_owned(), kind.names().0.to_owned());
    if let Some(labels) = &field.labels {
        metadata.insert("labels".to_owned(), json(labels)?);
    }
    if field.config.is_some() || field.texts().is_some() {
        // Each text in quotes and with a comma; few have anything to escape.
        let len = field.texts().map_or(0, |texts| texts.value_data().len() + 3 * texts.len());
        let mut config = Vec::with_capacity(len + 256);
        config::push(&mut config, field.config.as_ref(), field.texts(), |_| Ok(()))?;
        let config =
            String::from_utf8(config).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        metadata.insert("config".to_owned(), config);
    }
    let described = ArrowField::new(&field.name, kind.data_type(), field.is_nullable());
    Ok(described.with_metadata(metadata))
}

fn json(value: &impl serde::Serialize) -> Result<String, ArrowError> {
    serde_json::to_string(value).map_err(|e| ArrowError::ExternalError(Box::new(e)))
}
