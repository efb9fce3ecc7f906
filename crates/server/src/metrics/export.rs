//! Metrics as text, in the two forms that scrapers ask for.
//!
//! *What it is for:* the numbers of one hub, by its table. *What it never does:* leave a series out because it is 0.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;
use super::cells::Series;
use super::table::{Family, Kind, Label, Measure};

/// The form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
}

impl Form {
    /// The one that a scraper asks for: the first of those known in its `Accept`, as scrapers name first what they like
    /// best.
    pub(crate) fn of(accept: &str) -> Self {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        for kind in kinds {
            match kind {
                "application/openmetrics-text" => return Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => return Self::Prometheus,
                _ => {}
            }
        }
        Self::Prometheus
    }

    /// The content type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Everything as text.
///
/// # Errors
/// When a family cannot be written, which the library does not let happen for text.
pub(crate) fn text(metrics: &Arc<Metrics>, form: Form) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Table(metrics.clone())));
    let mut text = String::with_capacity(64 * 1024);
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Prometheus => older(&text),
    })
}

/// The text format of Prometheus from OpenMetrics. It has neither units nor an end, and a counter's name is that of its
/// series.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let is_counter = lines.peek().is_some_and(|next| next.ends_with(" counter"));
            let (name, help) = help.split_once(' ').unwrap_or((help, ""));
            let total = if is_counter { "_total" } else { "" };
            out.push_str(&format!("# HELP {name}{total} {help}\n"));
        } else if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"))
        {
            out.push_str(&format!("# TYPE {name}_total counter\n"));
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The families of a hub, for the library to write.
#[derive(Debug)]
struct Table(Arc<Metrics>);

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for (family, series) in self.0.families() {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            // The library adds both ends of the name.
            let unit = match family.measure {
                // The library's unit for parts of one has another name than ours end in.
                Measure::Count | Measure::Ratio => None,
                Measure::Seconds => Some(Unit::Seconds),
                Measure::Bytes => Some(Unit::Bytes),
            };
            let name = family.name.strip_suffix("_total").unwrap_or(family.name);
            let name = unit.as_ref().map_or(name, |unit| {
                name.strip_suffix(unit.as_str()).and_then(|name| name.strip_suffix('_')).unwrap_or(name)
            });
            let encoder = encoder.encode_descriptor(name, family.help, unit.as_ref(), kind)?;
            write_family(encoder, family, &series)?;
        }
        Ok(())
    }
}

fn write_family(mut encoder: MetricEncoder<'_>, family: &Family, series: &Series<'_>) -> Result<(), Error> {
    let whole = matches!(family.measure, Measure::Count | Measure::Bytes);
    let encoder = &mut encoder;
    match series {
        Series::Counter(cells) => {
            for (at, cell) in cells.iter().enumerate() {
                let value = cell.load(Ordering::Relaxed);
                one(encoder, family, at, |one| match whole {
                    true => one.encode_counter::<NoLabelSet, _, u64>(&value, None),
                    false => one.encode_counter::<NoLabelSet, _, u64>(&millionths(value), None),
                })?;
            }
        }
        Series::Gauge(cells) => {
            for (at, cell) in cells.iter().enumerate() {
                let value = cell.load(Ordering::Relaxed);
                one(encoder, family, at, |one| match whole {
                    true => one.encode_gauge(&value),
                    false => one.encode_gauge(&millionths(u64::try_from(value).unwrap_or(0))),
                })?;
            }
        }
        Series::Histogram(cells) => {
            for (at, cell) in cells.iter().enumerate() {
                let counts: Vec<u64> =
                    cell.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
                let bounds = family.buckets.iter().copied().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
                let sum = millionths(cell.sum.load(Ordering::Relaxed));
                one(encoder, family, at, |one| {
                    one.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
                })?;
            }
        }
    }
    Ok(())
}

/// Writes one series. The library would write empty brackets for labels that are none.
fn one(
    encoder: &mut MetricEncoder<'_>,
    family: &Family,
    at: usize,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if family.labels.is_empty() {
        return write(encoder);
    }
    let labels = Values { labels: family.labels, at };
    write(&mut encoder.encode_family(&labels)?)
}

#[allow(clippy::cast_precision_loss)]
fn millionths(value: u64) -> f64 {
    value as f64 / 1e6
}

/// The label values of one cell.
#[derive(Debug)]
struct Values {
    labels: &'static [Label],
    at: usize,
}

impl EncodeLabelSet for Values {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        let mut below: usize = self.labels.iter().map(|label| label.values.len()).product();
        for label in self.labels {
            below /= label.values.len().max(1);
            let value = label.values.get(self.at / below.max(1) % label.values.len().max(1));
            let pair = (label.name, value.copied().unwrap_or_default());
            prometheus_client::encoding::EncodeLabel::encode(&pair, encoder.encode_label())?;
        }
        Ok(())
    }
}
