//! The calibration as a picture: how often a kill followed, by what the risk was.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::prelude::*;

use super::replay::{Calibration, TENTHS};

const SIZE: (u32, u32) = (900, 420);
const TITLES: [&str; 2] = [
    "1m: a kill within a minute",
    "15m: a kill within a quarter of an hour",
];

/// Draws both horizons side by side, a line for each set.
pub fn draw(path: &Path, sets: &[(&str, &Calibration)]) -> Result<()> {
    let what = || format!("draw {}", path.display());
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let error = |error: &dyn std::fmt::Display| anyhow!("{error}");
    root.fill(&WHITE)
        .map_err(|e| error(&e))
        .with_context(what)?;
    for (place, area) in root.split_evenly((1, 2)).iter().enumerate() {
        let mut chart = ChartBuilder::on(area)
            .caption(TITLES[place], ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(|e| error(&e))
            .with_context(what)?;
        chart
            .configure_mesh()
            .x_desc("risk")
            .y_desc("share that a kill followed")
            .draw()
            .map_err(|e| error(&e))
            .with_context(what)?;
        let diagonal = LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3));
        chart
            .draw_series(diagonal)
            .map_err(|e| error(&e))
            .with_context(what)?;
        for (number, (name, calibration)) in sets.iter().enumerate() {
            let color = [BLUE, RED][number % 2];
            let points = points(&calibration.0[place]);
            let line = LineSeries::new(points.clone(), color.stroke_width(2));
            chart
                .draw_series(line)
                .map_err(|e| error(&e))
                .with_context(what)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
            let dots = points
                .into_iter()
                .map(|at| Circle::new(at, 3, color.filled()));
            chart
                .draw_series(dots)
                .map_err(|e| error(&e))
                .with_context(what)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .draw()
            .map_err(|e| error(&e))
            .with_context(what)?;
    }
    root.present().map_err(|e| error(&e)).with_context(what)
}

/// (middle of the tenth, share), of those with any looks; 0 itself first.
fn points(tenths: &[(u64, u64); TENTHS + 1]) -> Vec<(f64, f64)> {
    let middle = |place: usize| match place {
        0 => 0.0,
        place => (place as f64 - 0.5) / TENTHS as f64,
    };
    let with_looks = tenths
        .iter()
        .enumerate()
        .filter(|(_, (looks, _))| *looks > 0);
    with_looks
        .map(|(place, (looks, killed))| (middle(place), *killed as f64 / *looks as f64))
        .collect()
}
