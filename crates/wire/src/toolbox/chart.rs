//! A figure that a program drew: the picture and the numbers behind it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A figure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Chart {
    /// `line`, `scatter`, `bar`, `pie`, `box_and_whisker`, `composite_chart` or `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title above it.
    pub title: String,
    /// The picture, PNG in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub png: Option<String>,
    /// The name of the horizontal axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_label: Option<String>,
    /// The name of the vertical axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_label: Option<String>,
    /// Positions of the marks on the horizontal axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_ticks: Option<Vec<f64>>,
    /// Positions of the marks on the vertical axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_ticks: Option<Vec<f64>>,
    /// What stands at the horizontal marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_tick_labels: Option<Vec<String>>,
    /// What stands at the vertical marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_tick_labels: Option<Vec<String>>,
    /// The scale of the horizontal axis, such as `linear` or `log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_scale: Option<String>,
    /// The scale of the vertical axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_scale: Option<String>,
    /// The numbers.
    pub elements: Vec<ChartElement>,
}

/// One line, bar, slice or box of a chart, or one chart of several in a figure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChartElement {
    /// What the legend or the axis calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The points of a line or a scatter chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<Vec<f64>>>,
    /// The group that a bar belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The height of a bar; text, because the official SDKs refuse a number here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The angle of a slice, in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle: Option<f64>,
    /// The radius of a slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<f64>,
    /// The lower whisker of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The lower edge of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_quartile: Option<f64>,
    /// The middle line of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// The upper edge of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub third_quartile: Option<f64>,
    /// The upper whisker of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The points beyond the whiskers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Vec<f64>>,
    /// The kind of a chart within a figure.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The title of a chart within a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The picture of a chart within a figure, PNG in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub png: Option<String>,
    /// The name of the horizontal axis of a chart within a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_label: Option<String>,
    /// The name of the vertical axis of a chart within a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_label: Option<String>,
    /// Positions of the marks on the horizontal axis of a chart within a figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_ticks: Option<Vec<f64>>,
    /// Positions of the marks on its vertical axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_ticks: Option<Vec<f64>>,
    /// What stands at its horizontal marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_tick_labels: Option<Vec<String>>,
    /// What stands at its vertical marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_tick_labels: Option<Vec<String>>,
    /// The scale of its horizontal axis, such as `linear` or `log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_scale: Option<String>,
    /// The scale of its vertical axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y_scale: Option<String>,
    /// The numbers of a chart within a figure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub elements: Vec<ChartElement>,
}
