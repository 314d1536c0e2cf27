//! Expressions over a handful of texts: the values of a label, or the profile types of a source.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    catalog::Session,
    common::{DFSchema, ScalarValue},
    logical_expr::Expr,
};

use crate::{Error, ErrorKind};

/// The one column that such an expression has.
pub(crate) const VALUE: &str = "value";

/// What an expression comes to for each value.
pub(crate) fn evaluate(
    session: &dyn Session,
    expr: &Expr,
    values: &[Option<&str>],
) -> Result<ArrayRef, Error> {
    let schema = Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Utf8, true)]));
    let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    let schema = DFSchema::try_from(schema)?;
    let evaluated = session.create_physical_expr(expr.clone(), &schema)?.evaluate(&batch)?;
    Ok(evaluated.into_array(values.len())?)
}

/// For each value whether all conditions are true of it; NULL is not true.
pub(crate) fn all_true(
    session: &dyn Session,
    conditions: &[Expr],
    values: &[Option<&str>],
) -> Result<Vec<bool>, Error> {
    let mut fits = vec![true; values.len()];
    for condition in conditions {
        let evaluated = evaluate(session, condition, values)?;
        for (idx, fits) in fits.iter_mut().enumerate() {
            *fits &=
                ScalarValue::try_from_array(&evaluated, idx)? == ScalarValue::Boolean(Some(true));
        }
    }
    Ok(fits)
}
