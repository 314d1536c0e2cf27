//! The engine's own functions of stacks once more, for the reference: one row at a time, in the plainest way, by code that
//! shares nothing with the engine's.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, ListBuilder, StringArray,
        StringBuilder, StructArray, new_empty_array,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Int64Type},
};
use flamesql_engine::datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{Accumulator, ColumnarValue, ScalarUDF, Volatility, create_udaf, create_udf},
    prelude::SessionContext,
    scalar::ScalarValue,
};
use regex::Regex;

/// The item of a stack.
pub(crate) fn stack_item() -> Field {
    Field::new("item", DataType::Utf8, false)
}

fn stack_type() -> DataType {
    DataType::List(Arc::new(stack_item()))
}

/// The arguments of one row.
struct Row<'a> {
    stack: Vec<&'a str>,
    texts: Vec<&'a str>,
    numbers: Vec<i64>,
}

/// Adds them to a session.
pub(crate) fn register(context: &SessionContext) {
    let (text, whole) = (DataType::Utf8, DataType::Int64);
    let one_text = std::slice::from_ref(&text);
    let truth = |truth| ScalarValue::Boolean(Some(truth));
    let regex = |row: &Row<'_>| Regex::new(row.texts[0]).unwrap();
    for function in [
        word("stack_contains", one_text, DataType::Boolean, move |row| {
            truth(row.stack.contains(&row.texts[0]))
        }),
        word("stack_depth", &[], whole.clone(), |row| {
            ScalarValue::Int64(i64::try_from(row.stack.len()).ok())
        }),
        word("stack_text", &[], text.clone(), |row| ScalarValue::from(row.stack.join(";"))),
        word("stack_slice", &[whole.clone(), whole.clone()], stack_type(), |row| {
            let len = i64::try_from(row.stack.len()).unwrap();
            let place = |n: i64| if n < 0 { len + 1 + n } else { n };
            let (from, to) = (place(row.numbers[0]), place(row.numbers[1]));
            let part = (1..=len).zip(&row.stack).filter(|(n, _)| from <= *n && *n <= to);
            list(Some(&part.map(|(_, name)| *name).collect::<Vec<_>>()))
        }),
        word("stack_matches", one_text, DataType::Boolean, move |row| {
            let elements: Vec<&str> = row.texts[0].split(';').collect();
            truth(path_matches(&elements, &row.stack))
        }),
        word("stack_focus", one_text, stack_type(), move |row| {
            let regex = regex(row);
            let is_there = row.stack.iter().any(|name| regex.is_match(name));
            list(is_there.then_some(&row.stack))
        }),
        word("stack_ignore", one_text, stack_type(), move |row| {
            let regex = regex(row);
            let is_there = row.stack.iter().any(|name| regex.is_match(name));
            list((!is_there && !row.stack.is_empty()).then_some(&row.stack))
        }),
        word("stack_hide", one_text, stack_type(), move |row| {
            let regex = regex(row);
            let mut stack = row.stack.clone();
            stack.retain(|name| !regex.is_match(name));
            list((!stack.is_empty()).then_some(&stack))
        }),
        word("stack_show_from", one_text, stack_type(), move |row| {
            let regex = regex(row);
            let first = row.stack.iter().position(|name| regex.is_match(name));
            list(first.map(|first| &row.stack[first..]))
        }),
    ] {
        context.register_udf(function);
    }
    context.register_udf(create_udf(
        "labels_match",
        vec![labels_type(), text],
        DataType::Boolean,
        Volatility::Immutable,
        Arc::new(labels_match),
    ));
    for n_measures in [1, 2] {
        let names = ["flamegraph", "flamegraph_diff"];
        let mut arguments = vec![stack_type()];
        arguments.extend(vec![DataType::Int64; n_measures]);
        context.register_udaf(create_udaf(
            names[n_measures - 1],
            arguments,
            Arc::new(DataType::List(Arc::new(item(n_measures)))),
            Volatility::Immutable,
            Arc::new(move |_| Ok(Box::new(Graph { n_measures, sums: BTreeMap::new() }))),
            Arc::new(vec![DataType::Utf8]),
        ));
    }
}

/// A function of a stack and others, which is NULL if one of them is.
fn word(
    name: &str,
    others: &[DataType],
    gives: DataType,
    say: impl Fn(&Row<'_>) -> ScalarValue + Send + Sync + 'static,
) -> ScalarUDF {
    let arguments = [&[stack_type()], others].concat();
    let returned = gives.clone();
    let run = move |args: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let rows = (0..arrays[0].len()).map(|row| {
            if arrays.iter().any(|array| array.is_null(row)) {
                return ScalarValue::try_from(&gives);
            }
            let stack = arrays[0].as_list::<i32>().value(row);
            let mut all = Row { stack: texts(&stack), texts: Vec::new(), numbers: Vec::new() };
            for array in &arrays[1..] {
                match array.as_string_opt::<i32>() {
                    Some(texts) => all.texts.push(texts.value(row)),
                    None => all.numbers.push(array.as_primitive::<Int64Type>().value(row)),
                }
            }
            Ok(say(&all))
        });
        let rows: Vec<ScalarValue> = rows.collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(match rows.is_empty() {
            true => new_empty_array(&gives),
            false => ScalarValue::iter_to_array(rows)?,
        }))
    };
    create_udf(name, arguments, returned, Volatility::Immutable, Arc::new(run))
}

fn labels_type() -> DataType {
    let pair =
        [Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)];
    let entries = DataType::Struct(pair.to_vec().into());
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Each `name op "value"` by itself; no value here has a quote in it.
fn labels_match(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let (maps, selectors) = (arrays[0].as_map(), arrays[1].as_string::<i32>());
    let matcher = Regex::new(r#"(\w+)(=~|!~|!=|=)"([^"]*)""#).unwrap();
    let rows = (0..maps.len()).map(|row| {
        let pairs = maps.value(row);
        let (keys, values) = (texts(pairs.column(0)), texts(pairs.column(1)));
        matcher.captures_iter(selectors.value(row)).all(|part| {
            let at = keys.iter().position(|key| *key == &part[1]);
            let found = at.map_or("", |at| values[at]);
            let is_whole = || Regex::new(&format!("^(?s:{})$", &part[3])).unwrap().is_match(found);
            match &part[2] {
                "=" => found == &part[3],
                "!=" => found != &part[3],
                "=~" => is_whole(),
                _ => !is_whole(),
            }
        })
    });
    Ok(ColumnarValue::Array(Arc::new(rows.map(Some).collect::<BooleanArray>())))
}

fn texts(names: &ArrayRef) -> Vec<&str> {
    names.as_string::<i32>().iter().map(Option::unwrap).collect()
}

fn list(stack: Option<&[&str]>) -> ScalarValue {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(stack_item());
    for name in stack.into_iter().flatten() {
        lists.values().append_value(name);
    }
    lists.append(stack.is_some());
    ScalarValue::List(Arc::new(lists.finish()))
}

fn path_matches(elements: &[&str], stack: &[&str]) -> bool {
    match elements {
        [] => stack.is_empty(),
        ["**", rest @ ..] => (0..=stack.len()).any(|n| path_matches(rest, &stack[n..])),
        [element, rest @ ..] => stack.split_first().is_some_and(|(name, others)| {
            let name: Vec<char> = name.chars().collect();
            let element: Vec<char> = element.chars().collect();
            name_matches(&element, &name) && path_matches(rest, others)
        }),
    }
}

fn name_matches(element: &[char], name: &[char]) -> bool {
    match element {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|n| name_matches(rest, &name[n..])),
        [c, rest @ ..] => name
            .split_first()
            .is_some_and(|(first, others)| (*c == '?' || c == first) && name_matches(rest, others)),
    }
}

/// A flame graph: the stacks that came, with the sums of one or two measures.
#[derive(Debug)]
struct Graph {
    n_measures: usize,
    sums: BTreeMap<Vec<String>, [i128; 2]>,
}

fn item(n_measures: usize) -> Field {
    Field::new("item", DataType::Struct(fields(n_measures)), false)
}

fn fields(n_measures: usize) -> Fields {
    let measures: &[&str] = match n_measures {
        1 => &["value", "self"],
        _ => &["baseline", "baseline_self", "comparison", "comparison_self"],
    };
    let numbers = ["level"].into_iter().chain(measures.iter().copied());
    let mut all: Vec<Field> =
        numbers.map(|name| Field::new(name, DataType::Int64, false)).collect();
    all.push(Field::new("label", DataType::Utf8, false));
    all.into()
}

impl Accumulator for Graph {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for row in 0..columns[0].len() {
            let values = columns[1..].iter().map(|column| {
                let column = column.as_primitive::<Int64Type>();
                column.is_valid(row).then(|| i128::from(column.value(row)))
            });
            let values: Vec<Option<i128>> = values.collect();
            if columns[0].is_null(row) || values.iter().all(Option::is_none) {
                continue;
            }
            let stack = columns[0].as_list::<i32>().value(row);
            let stack = texts(&stack).into_iter().map(str::to_owned).collect();
            let sums = self.sums.entry(stack).or_default();
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value.unwrap_or(0));
        }
        Ok(())
    }

    /// As text, a stack a part: no name has these characters.
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let parts = self.sums.iter().map(|(stack, [a, b])| {
            let names: String = stack.iter().map(|name| format!("\u{1}{name}")).collect();
            format!("{a}\u{1}{b}{names}\u{2}")
        });
        Ok(vec![ScalarValue::from(parts.collect::<String>())])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for part in states[0].as_string::<i32>().iter().flatten().flat_map(|s| s.split('\u{2}')) {
            let mut words = part.split('\u{1}');
            let (Some(a), Some(b)) = (words.next(), words.next()) else { continue };
            let sums = self.sums.entry(words.map(str::to_owned).collect()).or_default();
            sums[0] += a.parse::<i128>().unwrap();
            sums[1] += b.parse::<i128>().unwrap();
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let n = self.n_measures;
        if self.sums.is_empty() {
            return ScalarValue::try_from(DataType::List(Arc::new(item(n))));
        }
        // Each stack that something was measured in, and all its callers. Names in order are in pre-order as well.
        let mut totals: BTreeMap<&[String], [i128; 2]> = BTreeMap::from([(&[][..], [0, 0])]);
        for (stack, sums) in self.sums.iter().filter(|(_, sums)| **sums != [0, 0]) {
            for len in 0..=stack.len() {
                let total = totals.entry(&stack[..len]).or_default();
                total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
            }
        }
        let mut columns: Vec<Vec<i64>> = vec![Vec::new(); 1 + 2 * n];
        let mut labels = Vec::new();
        for (stack, total) in &totals {
            let own = self.sums.get(*stack).copied().unwrap_or_default();
            let measured = (0..n).flat_map(|n| [total[n], own[n]]);
            let numbers = [i128::try_from(stack.len()).unwrap()].into_iter().chain(measured);
            for (column, number) in columns.iter_mut().zip(numbers) {
                column.push(
                    i64::try_from(number).map_err(|_| {
                        DataFusionError::Execution(format!("{number} does not fit"))
                    })?,
                );
            }
            labels.push(stack.last().map_or("total", String::as_str));
        }
        let n_rows = labels.len();
        let mut arrays: Vec<ArrayRef> =
            columns.into_iter().map(|column| Arc::new(Int64Array::from(column)) as _).collect();
        arrays.push(Arc::new(StringArray::from(labels)));
        let rows = StructArray::new(fields(n), arrays, None);
        let offsets = OffsetBuffer::from_lengths([n_rows]);
        Ok(ScalarValue::List(Arc::new(ListArray::new(
            Arc::new(item(n)),
            offsets,
            Arc::new(rows),
            None,
        ))))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
