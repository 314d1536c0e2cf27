//! Values over time.

use crate::{Labels, Timestamp};

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub time: Timestamp,
    /// How much, in the unit of the profile type.
    pub value: i64,
}

/// The values of one label set, in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// What all points have in common.
    pub labels: Labels,
    /// Only times that have data: nothing is filled in.
    pub points: Vec<Point>,
}
