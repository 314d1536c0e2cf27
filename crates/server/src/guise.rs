//! Manners of older servers, for the tests of whoever asks them: a server that passes for one does in times, orders,
//! choices and errors what that one was seen to do, wrong or not.

use flamesql_proto::querier::v1::ProfileFormat;

use crate::fault::{Code, Fault};

/// Which server this one passes for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guise {
    /// Pyroscope 2.2 with storage v2: what this server is in any case.
    #[default]
    V2,
    /// Pyroscope 2.2 with storage v1.
    V1,
    /// Pyroscope 1.15.
    V115,
    /// Phlare 0.6.
    Phlare,
    /// Pyroscope 0.37, which has other paths and answers.
    Legacy,
}

impl Guise {
    /// Whether times are cut to milliseconds before they are compared.
    pub(crate) fn cuts_times(self) -> bool {
        self != Self::V2
    }

    /// Whether a question for names or series needs a range, and what is in it is all that is answered.
    pub(crate) fn looks_at_ranges_of_names(self) -> bool {
        self == Self::V2
    }

    /// Whether who meets one of several selectors is chosen, and not only who meets all.
    pub(crate) fn unites_selectors(self) -> bool {
        self != Self::V2
    }

    /// Whether labels of a series come sorted by name, whatever order they were asked for in.
    pub(crate) fn sorts_labels(self) -> bool {
        self != Self::V2
    }

    /// Whether the labels of a list of series come in the order in which they were asked for.
    pub(crate) fn keeps_order_of_names(self) -> bool {
        matches!(self, Self::V1 | Self::V115)
    }

    /// Whether a label is listed at all.
    pub(crate) fn lists(self, takes_utf8_names: bool) -> bool {
        self == Self::V2 && takes_utf8_names
    }

    /// Whether names of labels may be more than letters, digits and `_`.
    pub(crate) fn knows_quoted_names(self) -> bool {
        self != Self::Phlare
    }

    pub(crate) fn minds_missing_names(self) -> bool {
        matches!(self, Self::V2 | Self::V1)
    }

    pub(crate) fn minds_ranges(self) -> bool {
        self != Self::Phlare
    }

    pub(crate) fn limits_series(self) -> bool {
        self != Self::Phlare
    }

    /// Whether the series with the largest sum comes first, and not the one with the first labels.
    pub(crate) fn sorts_series_by_sum(self) -> bool {
        self != Self::Phlare
    }

    /// Whether a merged profile is as long as its range.
    pub(crate) fn tells_durations(self) -> bool {
        self != Self::V2
    }

    /// Whether a stack selector is looked at where values over time are asked for. Storage v2 does not; this server does
    /// all the same.
    pub(crate) fn series_of_call_sites(self) -> bool {
        self != Self::Phlare
    }

    /// Whether choices of stacks are looked at, those of spans aside.
    pub(crate) fn chooses_stacks(self) -> bool {
        self == Self::V2
    }

    /// Refuses a choice by trace where the server would.
    pub(crate) fn check_traces(self, traces: &[String]) -> Result<(), Fault> {
        if self == Self::V1 && !traces.is_empty() {
            let message = "trace_id_selector is only supported with the v2 query backend";
            return Err(Fault::new(Code::Unimplemented, message));
        }
        Ok(())
    }

    pub(crate) fn limits_nodes(self) -> bool {
        self != Self::Phlare
    }

    /// The form in which stacks come, whatever was asked for.
    pub(crate) fn format(self, asked: ProfileFormat) -> Result<ProfileFormat, Fault> {
        let refused = |message| Err(Fault::new(Code::Unimplemented, message));
        Ok(match (self, asked) {
            (Self::V2, ProfileFormat::Dot) => {
                return refused("DOT is not implemented: ask for pprof, and draw that");
            }
            (Self::V1, ProfileFormat::Dot) => {
                return refused("dot format is only supported with the v2 query backend");
            }
            (Self::V2 | Self::V1, format) => format,
            (Self::V115, ProfileFormat::Tree) => ProfileFormat::Tree,
            (Self::V115 | Self::Phlare | Self::Legacy, _) => ProfileFormat::Flamegraph,
        })
    }

    /// The same for stacks of spans, whose answer has room for fewer forms. Older servers make a flame graph of what they do
    /// not know.
    pub(crate) fn format_of_spans(self, asked: ProfileFormat) -> Result<ProfileFormat, Fault> {
        match (self, asked) {
            (Self::V2, ProfileFormat::Dot | ProfileFormat::Pprof) => {
                let name = asked.as_str_name();
                let message = format!(
                    "{name} is not implemented for SelectMergeSpanProfile: its answer has room for a flame graph and a \
                     tree; ask SelectMergeStacktraces with a span_selector for pprof"
                );
                Err(Fault::new(Code::Unimplemented, message))
            }
            (_, asked) => Ok(asked),
        }
    }

    /// What is unknown here, of what this server has.
    pub(crate) fn lacks(self, path: &str) -> bool {
        let method = path.rsplit('/').next().unwrap_or_default();
        match self {
            Self::V2 | Self::V1 | Self::Legacy => false,
            Self::V115 => method == "SelectHeatmap",
            Self::Phlare => matches!(
                method,
                "SelectHeatmap"
                    | "SelectMergeSpanProfile"
                    | "GetProfileStats"
                    | "GetFeatureFlags"
                    | "Version"
            ),
        }
    }

    /// A heat map, where it is known and not to be had.
    pub(crate) fn check_heatmap(self) -> Result<(), Fault> {
        match self {
            Self::V1 => {
                let message = "this endpoint is not available in v1 frontend";
                Err(Fault::new(Code::Unimplemented, message))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_storage_v2(self) -> bool {
        self == Self::V2
    }

    /// A fault as the outermost of several servers tells it, which has it from the next.
    pub(crate) fn wrapped(self, fault: Fault) -> Fault {
        match self {
            Self::V2 | Self::Legacy => fault,
            Self::V1 => fault.wrapped(""),
            Self::V115 | Self::Phlare => fault.wrapped("rpc error: code = InvalidArgument desc = "),
        }
    }

    /// How a range that is too long is told.
    pub(crate) fn too_long(self, actual: &str, limit: &str) -> Fault {
        const WHAT: &str = "the query time range exceeds the limit";
        match self {
            Self::Phlare => Fault::new(
                Code::Text400,
                format!("{WHAT} (query length: {actual}, limit: {limit})"),
            ),
            _ => Fault::invalid(format!(
                "{WHAT} (max_query_length, actual: {actual}, limit: {limit})"
            )),
        }
    }
}
