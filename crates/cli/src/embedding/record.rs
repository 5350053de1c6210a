//! What is written about a map: `map.json`.

use hectare_kernels::Isa;
use hectare_tsne::{Embedding, Group, KlPoint, Quality, Reduction, Settings, Space, StageTimes};
use serde::Serialize;

use super::labels::Labels;

/// The whole document.
#[derive(Serialize)]
pub struct Record<'a> {
    version: &'static str,
    isa: &'static str,
    /// Where the rows come from.
    source: &'a serde_json::Value,
    rows: usize,
    settings: &'a Settings,
    /// What was set otherwise than asked for, and why.
    changes: &'a [String],
    perplexity: f64,
    reduction: &'a Reduction,
    iterations: usize,
    stopped: bool,
    exact_iterations: usize,
    fft_iterations: usize,
    kl: f64,
    curve: &'a [KlPoint],
    /// Equal maps have equal ones.
    hash: String,
    times: StageTimes,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<Entry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a Quality>,
}

#[derive(Serialize)]
struct Entry {
    number: u32,
    name: Option<String>,
    rows: usize,
}

impl<'a> Record<'a> {
    /// All that is known of a map.
    pub fn new(
        source: &'a serde_json::Value,
        settings: &'a Settings,
        map: &'a Embedding,
        labels: Option<&Labels>,
        quality: Option<&'a Quality>,
    ) -> Record<'a> {
        let entries = |labels: &Labels| {
            let of = |class: &super::labels::Class| Entry {
                number: class.number,
                name: class.name.clone(),
                rows: class.rows,
            };
            labels.classes.iter().map(of).collect()
        };
        Record {
            version: env!("CARGO_PKG_VERSION"),
            isa: Isa::best().name(),
            source,
            rows: map.points.len(),
            settings,
            changes: &map.changes,
            perplexity: map.perplexity,
            reduction: &map.reduction,
            iterations: map.iterations,
            stopped: map.stopped,
            exact_iterations: map.exact_iterations,
            fft_iterations: map.fft_iterations,
            kl: map.kl,
            curve: &map.curve,
            hash: format!("{:016x}", map.hash()),
            times: map.times,
            classes: labels.map(entries),
            quality,
        }
    }
}

/// Groups of classes that mix, for people: a line for each.
pub fn describe_groups(groups: &[Group], labels: &Labels) -> String {
    let mut text = String::new();
    for (space, place) in [(Space::Map, "in the map"), (Space::Features, "in the features")] {
        let of_space: Vec<&Group> = groups.iter().filter(|group| group.space == space).collect();
        if of_space.is_empty() {
            text += &format!("no classes mix {place}\n");
            continue;
        }
        text += &format!(
            "classes that mix {place} (share of the 10 nearest: other members, own class, outside):\n"
        );
        for group in of_space {
            let titles: Vec<String> = group.classes.iter().map(|class| labels.title(*class)).collect();
            let percent = |share: f64| format!("{:.0} %", 100.0 * share);
            text += &format!(
                "  {{{}}}  {}, {}, {}",
                titles.join(", "),
                percent(group.mixed),
                percent(group.own),
                percent(group.outside)
            );
            if let (Some(pair), true) = (group.pairs.first(), group.classes.len() > 2) {
                text += &format!("; most of all {} with {} ({})", pair.a, pair.b, percent(pair.mixed));
            }
            text.push('\n');
        }
    }
    text
}
