//! The command that shows a flame graph: all profiles of a selection, added up.

mod json;
mod table;
mod tree;

use std::{collections::BTreeSet, io::Write as _};

use anyhow::Context as _;
use flamesql_backend::{Backend, ErrorKind, Grouping, Notice, Report, Select, StackGroup};
use flamesql_engine::resolve_profile_type;
use flamesql_profile::{ProfileType, StackTree, Timestamp, Unit, folded, format_value, pprof};
use futures::TryStreamExt as _;

use crate::{
    args::{self, Profile, ProfileFormat},
    failure::Usage,
    footer::{self, Footer, plural},
    sink::{Sink, WRITE},
    source::{self, Source},
};

/// What is below this share of the total is not shown one by one, unless said otherwise.
const MIN_PERCENT: f64 = 0.5;

/// `flamesql profile`.
pub(crate) async fn run(args: &Profile) -> anyhow::Result<()> {
    let format = args.output.format()?;
    let min_percent = min_percent(args, format)?;
    let selector = args::selector(&args.select.selector)?;
    args::check_profile_type(args.select.profile_type.as_deref())?;
    let source = Source::open(args.source.as_deref(), &args.connect, args.output.strict).await?;
    let backend = source.backend.as_ref();
    let range = args.select.range.parse(backend.capabilities().is_finite)?;
    let mut sink = Sink::open(args.output.output.as_deref(), format == ProfileFormat::Pprof)?;

    let (profile_type, choice) =
        resolve_profile_type(backend, args.select.profile_type.as_deref(), range).await?;
    let select = Select::new(profile_type.clone(), selector, range);
    let report = Report::new();
    let groups = backend.stacks(select.clone(), Grouping::default(), report.clone());
    // To its end: what is missing is known there.
    let mut groups: Vec<StackGroup> = groups.try_collect().await?;
    let whole = groups.pop().map(|group| group.tree).unwrap_or_default();
    let is_told = !args.output.quiet || format == ProfileFormat::Pprof;
    let found = if is_told { Found::of(backend, &select).await } else { Found::default() };
    let mut notices = source.notices_with(&report);
    notices.extend(found.unknown.clone());
    if args.output.strict {
        source::nothing_missing(&notices)?;
    }
    let (tree, cut) = match args.max_nodes {
        Some(n) => whole.truncate(n as usize)?,
        None => (whole, 0),
    };

    let unit = Unit::parse(profile_type.sample_unit());
    let written = match format {
        ProfileFormat::Tree => tree::write(&tree, unit, min_percent, &mut sink),
        ProfileFormat::Table => table::write(&tree, unit, min_percent, &mut sink),
        ProfileFormat::Json => json::write(&tree, &profile_type, &mut sink),
        ProfileFormat::Folded => folded::encode(&tree, &mut sink).map_err(Into::into),
        ProfileFormat::Pprof => {
            sink.write_all(&as_pprof(&tree, &profile_type, &found)?).map_err(Into::into)
        }
    };
    written.and_then(|()| Ok(sink.flush()?)).context(WRITE)?;

    let mut footer = Footer::default();
    footer.line("source", source.to_string());
    footer.line("type", footer::profile_type(&profile_type, choice));
    footer.line("time", found.times(&footer::range(range)));
    let total = format_value(tree.total()?, unit);
    footer.line("total", format!("{total}{}", found.counts()));
    if cut != 0 {
        let cut = format_value(cut, unit);
        footer.line("cut", format!("{cut} by --max-nodes, shown as functions called other"));
    }
    if tree.is_empty() {
        footer.line(
            "hint",
            "no profile matches; flamesql types and flamesql labels list what there is",
        );
    }
    footer.notices(&notices);
    sink.commit()?;
    footer.print(args.output.quiet);
    Ok(())
}

fn min_percent(args: &Profile, format: ProfileFormat) -> Result<f64, Usage> {
    match args.min_percent {
        Some(_) if !matches!(format, ProfileFormat::Tree | ProfileFormat::Table) => Err(
            Usage::new("--min-percent is for the tree and the table: other formats are complete")
                .with_hint("--max-nodes makes a flame graph smaller in every format"),
        ),
        Some(percent) if !(0.0..=100.0).contains(&percent) => {
            Err(Usage::new(format!("--min-percent {percent} is not between 0 and 100")))
        }
        Some(percent) => Ok(percent),
        None => Ok(MIN_PERCENT),
    }
}

/// The profiles that a flame graph is made of.
#[derive(Debug, Default)]
struct Found {
    n_profiles: usize,
    n_files: usize,
    /// The first and the last.
    times: Option<(Timestamp, Timestamp)>,
    /// The sum of those that are known.
    duration_nanos: i64,
    /// Why there is none of all this.
    unknown: Option<Notice>,
}

impl Found {
    /// Asks for them; a source that does not tell them apart leaves it open. They are not what was asked for, so that
    /// nothing fails for them.
    async fn of(backend: &dyn Backend, select: &Select) -> Self {
        let report = Report::new();
        let rows = match backend.profiles(select, &report).await {
            Ok(rows) if report.is_complete() => rows,
            // A count of some of them would be taken for one of all.
            Ok(_) => return Self::default(),
            Err(error) if error.kind() == ErrorKind::Unsupported => return Self::default(),
            Err(error) => {
                let reason = format!("how many profiles these are is not known: {error}");
                let subject = select.profile_type.to_string();
                let unknown = Some(Notice { subject, reason, is_missing: false });
                return Self { unknown, ..Self::default() };
            }
        };
        // A profile whose samples differ in their labels is a row for each series, all with its time and file.
        let mut profiles: BTreeSet<(Timestamp, &str)> = BTreeSet::new();
        let mut duration_nanos = 0_i64;
        for row in &rows {
            let name = row.source_file.as_deref().unwrap_or(&row.id);
            if profiles.insert((row.time, name)) {
                duration_nanos = duration_nanos.saturating_add(row.duration_nanos.unwrap_or(0));
            }
        }
        let files: BTreeSet<&str> = rows.iter().filter_map(|r| r.source_file.as_deref()).collect();
        let times = profiles.first().zip(profiles.last()).map(|(first, last)| (first.0, last.0));
        Self {
            n_profiles: profiles.len(),
            n_files: files.len(),
            times,
            duration_nanos,
            unknown: None,
        }
    }

    fn times(&self, asked: &str) -> String {
        let mut what = match self.times {
            None => return asked.to_owned(),
            Some((first, last)) if first == last => footer::time(first),
            Some((first, last)) => format!("{} to {}", footer::time(first), footer::time(last)),
        };
        if asked != "all" {
            what.push_str(&format!(", asked for {asked}"));
        }
        if self.duration_nanos > 0 {
            let duration = format_value(self.duration_nanos, Unit::Nanoseconds);
            what.push_str(&format!(", {duration} of profiling"));
        }
        what
    }

    fn counts(&self) -> String {
        match self.n_profiles {
            0 => String::new(),
            n if n == self.n_files => format!(" in {}", plural(n as u64, "file")),
            n if self.n_files == 0 => format!(" in {}", plural(n as u64, "profile")),
            n => format!(
                " in {} of {}",
                plural(n as u64, "profile"),
                plural(self.n_files as u64, "file")
            ),
        }
    }
}

fn as_pprof(
    tree: &StackTree,
    profile_type: &ProfileType,
    found: &Found,
) -> anyhow::Result<Vec<u8>> {
    let first = found.times.map_or(Timestamp::from_nanos(0), |(first, _)| first);
    let profile = pprof::Profile::from_tree(profile_type, tree, first, found.duration_nanos)?;
    Ok(pprof::encode_gzip(&profile))
}

/// What share of `total` a value is, such as `12.50%`.
fn percent(value: i64, total: i64) -> String {
    if total == 0 {
        return "-".to_owned();
    }
    // The loss of digits beyond 2^53 does not show in four of them.
    format!("{:.2}%", value as f64 * 100.0 / total.unsigned_abs() as f64)
}

/// Whether a value is too small a share of `total` to be shown.
fn is_small(value: i64, total: i64, min_percent: f64) -> bool {
    (value.unsigned_abs() as f64) * 100.0 < total.unsigned_abs() as f64 * min_percent
}

/// Columns for people: the first ones to the right, as wide as they need be, and a text.
fn write_columns<const N: usize>(
    rows: &[([String; N], String)],
    sink: &mut Sink,
) -> std::io::Result<()> {
    let mut widths = [0; N];
    for (cells, _) in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.len().max(*width);
        }
    }
    for (cells, text) in rows {
        for (width, cell) in widths.iter().zip(cells) {
            write!(sink, "{cell:>width$}  ")?;
        }
        writeln!(sink, "{text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_and_of_negative_totals() {
        assert_eq!(percent(1, 8), "12.50%");
        assert_eq!(percent(1, 0), "-");
        assert_eq!(percent(-1, -8), "-12.50%");
        assert!(is_small(1, 1000, 0.5) && !is_small(5, 1000, 0.5) && !is_small(0, 0, 0.5));
        assert!(is_small(0, 1, 0.5) && !is_small(0, 1, 0.0));
        assert!(!is_small(i64::MIN, i64::MIN, 100.0));
    }
}
