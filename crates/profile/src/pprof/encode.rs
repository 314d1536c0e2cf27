//! From columns to bytes.

use super::{Profile, TextId, ValueType};
use crate::{gzip, wire::Writer};

/// Writes a profile as plain protobuf. Ids are numbered from 1 in the order of the columns.
pub fn encode(profile: &Profile) -> Vec<u8> {
    let mut out = Writer::default();
    for kind in &profile.sample_types {
        out.message(1, |w| value_type(w, *kind));
    }
    for sample in 0..profile.n_samples() {
        out.message(2, |w| {
            w.packed(1, profile.sample_locations(sample).iter().map(|l| id(*l)));
            w.packed(2, profile.sample_values(sample).iter().map(|v| v.cast_unsigned()));
            for label in profile.sample_labels(sample) {
                w.message(3, |w| {
                    w.uint(1, text(label.key));
                    w.uint(2, text(label.text));
                    w.int(3, label.number);
                    w.uint(4, text(label.unit));
                });
            }
        });
    }
    for (idx, mapping) in (0..).zip(&profile.mappings) {
        out.message(3, |w| {
            w.uint(1, id(idx));
            w.uint(2, mapping.start);
            w.uint(3, mapping.limit);
            w.uint(4, mapping.file_offset);
            w.uint(5, text(mapping.filename));
            w.uint(6, text(mapping.build_id));
            w.uint(7, mapping.has_functions.into());
            w.uint(8, mapping.has_filenames.into());
            w.uint(9, mapping.has_line_numbers.into());
            w.uint(10, mapping.has_inline_frames.into());
        });
    }
    for (idx, location) in (0..).zip(&profile.locations) {
        out.message(4, |w| {
            w.uint(1, id(idx));
            w.uint(2, location.mapping.map_or(0, id));
            w.uint(3, location.address);
            for line in profile.lines(idx as usize) {
                w.message(4, |w| {
                    w.uint(1, line.function.map_or(0, id));
                    w.int(2, line.line);
                });
            }
            w.uint(5, location.is_folded.into());
        });
    }
    for (idx, function) in (0..).zip(&profile.functions) {
        out.message(5, |w| {
            w.uint(1, id(idx));
            w.uint(2, text(function.name));
            w.uint(3, text(function.system_name));
            w.uint(4, text(function.filename));
            w.int(5, function.start_line);
        });
    }
    for idx in 0..super::index(profile.texts.len()) {
        out.bytes(6, profile.text(TextId(idx)).as_bytes());
    }
    out.uint(7, text(profile.drop_frames));
    out.uint(8, text(profile.keep_frames));
    out.int(9, profile.time_nanos);
    out.int(10, profile.duration_nanos);
    if profile.period_type != ValueType::default() {
        out.message(11, |w| value_type(w, profile.period_type));
    }
    out.int(12, profile.period);
    out.packed(13, profile.comments.iter().map(|id| text(*id)));
    out.uint(14, text(profile.default_sample_type));
    out.bytes
}

/// Writes a profile as gzip, the form that tools expect in a `.pb.gz` file.
pub fn encode_gzip(profile: &Profile) -> Vec<u8> {
    gzip::deflate(&encode(profile))
}

fn value_type(w: &mut Writer, kind: ValueType) {
    w.uint(1, text(kind.kind));
    w.uint(2, text(kind.unit));
}

fn text(id: TextId) -> u64 {
    id.0.into()
}

fn id(index: u32) -> u64 {
    u64::from(index) + 1
}
