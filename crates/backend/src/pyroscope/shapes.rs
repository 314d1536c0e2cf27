//! What answers take in memory: each field of theirs that grows.

use flamesql_proto::{querier::v1 as querier, types::v1 as types};

use crate::room::{
    Field::{Doubles, Message, Text, Texts, Unasked, Whole},
    Shape,
};

static PAIR: Shape = Shape::of::<types::LabelPair>(&[(1, Text), (2, Text)]);
static ANNOTATION: Shape = Shape::of::<types::ProfileAnnotation>(&[(1, Text), (2, Text)]);
static EXEMPLAR: Shape =
    Shape::of::<types::Exemplar>(&[(2, Text), (3, Text), (5, Message(&PAIR)), (6, Text)]);
static POINT: Shape =
    Shape::of::<types::Point>(&[(3, Message(&ANNOTATION)), (4, Message(&EXEMPLAR))]);
static LINE: Shape = Shape::of::<types::Series>(&[(1, Message(&PAIR)), (2, Message(&POINT))]);
static SLOT: Shape =
    Shape::of::<types::HeatmapSlot>(&[(2, Doubles), (3, Whole), (4, Message(&EXEMPLAR))]);
static SLOTS: Shape =
    Shape::of::<types::HeatmapSeries>(&[(1, Message(&PAIR)), (2, Message(&SLOT))]);
static LABELS: Shape = Shape::of::<types::Labels>(&[(1, Message(&PAIR))]);
static TYPE: Shape = Shape::of::<types::ProfileType>(&[
    (1, Text),
    (2, Text),
    (4, Text),
    (5, Text),
    (6, Text),
    (7, Text),
]);
static LEVEL: Shape = Shape::of::<querier::Level>(&[(1, Whole)]);
static GRAPH: Shape = Shape::of::<querier::FlameGraph>(&[(1, Texts), (2, Message(&LEVEL))]);

pub(super) static PROFILE_TYPES: Shape =
    Shape::of::<querier::ProfileTypesResponse>(&[(1, Message(&TYPE))]);
/// Of label names and of label values.
pub(super) static NAMES: Shape = Shape::of::<types::LabelNamesResponse>(&[(1, Texts)]);
pub(super) static LABEL_SETS: Shape =
    Shape::of::<querier::SeriesResponse>(&[(2, Message(&LABELS))]);
pub(super) static SERIES: Shape =
    Shape::of::<querier::SelectSeriesResponse>(&[(1, Message(&LINE))]);
pub(super) static HEATMAP: Shape =
    Shape::of::<querier::SelectHeatmapResponse>(&[(1, Message(&SLOTS))]);
/// A tree is a piece of the answer as it stands.
pub(super) static STACKS: Shape = Shape::of::<querier::SelectMergeStacktracesResponse>(&[
    (1, Message(&GRAPH)),
    (3, Unasked),
    (4, Unasked),
    (5, Unasked),
]);
pub(super) static SPANS: Shape =
    Shape::of::<querier::SelectMergeSpanProfileResponse>(&[(1, Message(&GRAPH))]);
/// Taken undecoded.
pub(super) static BYTES: Shape = Shape::of::<()>(&[]);
