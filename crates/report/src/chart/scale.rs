//! An axis: from values to places, and where its ticks are.

/// A number as short as it can be said with some four digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let digits = if size >= 100.0 {
        0
    } else if size >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// An axis over some values.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Where ticks are, as values.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// Over the finite ones of `values`; positive ones on a logarithmic axis.
    pub fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Scale {
        let values = values.filter(|v| v.is_finite() && (!logarithmic || *v > 0.0));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        if logarithmic {
            // Decades, from below the lowest to above the highest; a decade at least, and four at most:
            // a rate that a cosine brings to nothing would squeeze everything else.
            let last = high.log10().ceil() as i32;
            let first = (low.log10().floor() as i32).clamp(last - 4, last - 1);
            let ticks: Vec<f64> = (first..=last).map(|power| 10f64.powi(power)).collect();
            return Scale { low: f64::from(first), high: f64::from(last), logarithmic, ticks };
        }
        let span = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
        let raw = span / 5.0;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
        let (first, last) = ((low / step).floor(), (high / step).ceil().max((low / step).floor() + 1.0));
        let ticks = (0..=(last - first) as usize).map(|i| (first + i as f64) * step).collect();
        Scale { low: first * step, high: last * step, logarithmic, ticks }
    }

    /// Over the places 0 to `count` - 1.
    pub fn places(count: usize) -> Scale {
        let ticks = (0..count).map(|place| place as f64).collect();
        Scale { low: -0.3, high: count.saturating_sub(1) as f64 + 0.3, logarithmic: false, ticks }
    }

    /// Over whole numbers, with at most some ten ticks at whole numbers.
    pub fn whole(values: impl Iterator<Item = f64>) -> Scale {
        let mut scale = Scale::over(values, false);
        if scale.ticks.windows(2).any(|pair| pair[1] - pair[0] < 0.999) {
            let (first, last) = (scale.low.floor(), scale.high.ceil());
            scale = Scale { low: first, high: last, ..scale };
            scale.ticks = (first as i64..=last as i64).map(|tick| tick as f64).collect();
        }
        scale
    }

    /// Where a value is, 0 at the axis' beginning and 1 at its end.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(-0.02, 1.02)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1.0, 0.5, 0.70823, 123.4, 2.5e-9, 1e7, -0.25].map(number);
        assert_eq!(texts, ["0", "1", "0.5", "0.7082", "123", "2.5e-9", "1.0e7", "-0.25"]);
    }

    #[test]
    fn ticks_cover_the_values() {
        let scale = Scale::over([0.31, 0.78].into_iter(), false);
        assert!(scale.ticks[0] <= 0.31 && *scale.ticks.last().unwrap() >= 0.78 && scale.ticks.len() < 8);
        assert!((0.0..1.0).contains(&scale.place(0.31)));
        let flat = Scale::over([2.0].into_iter(), false);
        assert!(flat.ticks.len() > 1);
        let decades = Scale::over([1e-9, 1e-3].into_iter(), true);
        assert_eq!((decades.place(1e-3), decades.ticks.len()), (1.0, 5));
        assert_eq!(Scale::whole([1.0, 3.0].into_iter()).ticks, [1.0, 2.0, 3.0]);
        assert_eq!(Scale::over(std::iter::empty(), false).ticks.len(), 6);
    }
}
