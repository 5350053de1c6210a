//! The whole way from rows to a map.

use std::time::Instant;

use hectare_kernels::Isa;
use hectare_kernels::nearest::{Neighbours, nearest};
use hectare_kernels::plane::SparseRows;
use serde::Serialize;

use crate::affinity::affinities;
use crate::features::{Features, Reduction};
use crate::optimise::{KlPoint, descend};
use crate::{Rows, Settings, TsneError, memory, order, start};

/// What a callback hears.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Iterations that are done.
    pub iteration: usize,
    /// Iterations that there will be.
    pub iterations: usize,
    /// The map's KL divergence from P, without exaggeration.
    pub kl: f64,
    /// Factor on attraction.
    pub exaggeration: f64,
    pub(crate) points: &'a [f32],
    pub(crate) order: &'a [u32],
}

impl Progress<'_> {
    /// The points as they stand, in the order of the rows.
    pub fn points(&self) -> Vec<[f32; 2]> {
        let mut points = vec![[0.0; 2]; self.order.len()];
        for (point, row) in self.points.as_chunks::<2>().0.iter().zip(self.order) {
            points[*row as usize] = *point;
        }
        points
    }
}

/// Who watches a run. All methods have defaults that do nothing.
pub trait Watch {
    /// A stage begins.
    fn stage(&mut self, _stage: Stage) {}
    /// A share of the neighbour search is done. May be called from any thread.
    fn searched(&self, _share: f64) {}
    /// KL was looked at; `false` ends the run, which keeps the map as it is.
    fn iteration(&mut self, _progress: &Progress<'_>) -> bool {
        true
    }
}

/// Nobody watches.
impl Watch for () {}

/// Stages of an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reduction to principal components.
    Reduction,
    /// The neighbours of each row.
    Neighbours,
    /// Their probabilities.
    Affinities,
    /// Gradient descent.
    Descent,
}

/// Seconds of each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageTimes {
    /// PCA, or nothing.
    pub reduction_s: f64,
    /// Nearest neighbours: N^2 D.
    pub neighbours_s: f64,
    /// Perplexity search and the symmetric matrix.
    pub affinities_s: f64,
    /// All iterations, and the first points.
    pub descent_s: f64,
}

/// A map and how it came about.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// x and y of each row.
    pub points: Vec<[f32; 2]>,
    /// KL divergence of the map from P, without exaggeration.
    pub kl: f64,
    /// KL at each look.
    pub curve: Vec<KlPoint>,
    /// Iterations that were done.
    pub iterations: usize,
    /// Whether a callback or the early stop ended the run.
    pub stopped: bool,
    /// Perplexity in use.
    pub perplexity: f64,
    /// How rows became features.
    pub reduction: Reduction,
    /// What was set otherwise than asked for, and why: sentences.
    pub changes: Vec<String>,
    /// Iterations with repulsion over all pairs, and by FFT.
    pub exact_iterations: usize,
    /// Iterations with repulsion by FFT.
    pub fft_iterations: usize,
    /// Seconds of each stage.
    pub times: StageTimes,
    /// The features that distances were measured on.
    pub features: Features,
    /// The nearest neighbours of each row among the others, three times the perplexity of them.
    pub neighbours: Neighbours,
}

impl Embedding {
    /// A number made of every bit of the map: equal maps have equal ones (FNV-1a, 64 bits).
    pub fn hash(&self) -> u64 {
        let bytes = self.points.iter().flatten().flat_map(|c| c.to_bits().to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// The points, x and y in turn.
    pub fn flat(&self) -> &[f32] {
        self.points.as_flattened()
    }
}

/// t-SNE with given settings.
#[derive(Clone, Debug, Default)]
pub struct Tsne {
    settings: Settings,
    isa: Option<Isa>,
}

impl Tsne {
    /// With these settings, on the best instruction set of the machine.
    pub fn new(settings: Settings) -> Tsne {
        Tsne { settings, isa: None }
    }

    /// On an instruction set of the caller's choice. Bits are the same on one instruction set only.
    pub fn on(mut self, isa: Isa) -> Tsne {
        self.isa = Some(isa);
        self
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Embeds rows in the plane.
    ///
    /// # Errors
    /// Settings out of range, a start for another number of rows, or more memory than allowed.
    pub fn fit(&self, rows: &Rows) -> Result<Embedding, TsneError> {
        self.fit_watched(rows, &mut ())
    }

    /// [`Tsne::fit`] with somebody who hears how it goes and may end it.
    ///
    /// # Errors
    /// As [`Tsne::fit`].
    pub fn fit_watched(&self, rows: &Rows, watch: &mut (impl Watch + Sync)) -> Result<Embedding, TsneError> {
        let settings = &self.settings;
        let isa = self.isa.unwrap_or_else(Isa::best);
        settings.check()?;
        let n = rows.len();
        memory::check(n, rows.columns(), settings)?;
        let mut changes = Vec::new();
        let perplexity = perplexity_for(n, settings.perplexity, &mut changes);
        if settings.learning_rate.is_none() {
            note_rate(n, settings, &mut changes);
        }
        let mut times = StageTimes::default();

        let clock = Instant::now();
        watch.stage(Stage::Reduction);
        let features = Features::new(isa, rows, settings);
        if settings.pca.is_some_and(|pca| pca < rows.columns() && pca > features.columns()) {
            changes.push(format!("features reduced to {} components because N = {n}", features.columns()));
        }
        times.reduction_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        watch.stage(Stage::Neighbours);
        let k = memory::neighbours_for(perplexity).min(n - 1);
        let data = features.data(rows);
        let d = features.columns();
        let order = order::by_halves(data, d);
        let sorted: Vec<f32> =
            order.iter().flat_map(|row| &data[*row as usize * d..(*row as usize + 1) * d]).copied().collect();
        let neighbours = nearest(isa, &sorted, d, k, &|share| watch.searched(share));
        drop(sorted);
        times.neighbours_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        watch.stage(Stage::Affinities);
        let p = affinities(&neighbours, perplexity);
        if neighbours.squared.chunks_exact(k.max(1)).any(|row| row.last() == Some(&0.0)) {
            changes.push("rows with only identical rows as neighbours weigh them all alike".into());
        }
        let neighbours = in_row_order(&neighbours, &order);
        times.affinities_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        watch.stage(Stage::Descent);
        let first = start::start(isa, rows, &features, settings)?;
        let first: Vec<f32> =
            order.iter().flat_map(|i| [first[2 * *i as usize], first[2 * *i as usize + 1]]).collect();
        let descent = descend(isa, p, first, settings, &mut |progress| {
            let in_order: Vec<u32> = progress.order.iter().map(|place| order[*place as usize]).collect();
            watch.iteration(&Progress { order: &in_order, ..*progress })
        });
        times.descent_s = clock.elapsed().as_secs_f64();
        if descent.widest.1 > 0.401 {
            let (nodes, spacing) = descent.widest;
            changes.push(format!("the grid of {nodes} nodes a side was made coarser (to {spacing:.2} apart) because the map is wide"));
        }
        let mut points = vec![[0.0; 2]; n];
        for (point, row) in descent.points.as_chunks::<2>().0.iter().zip(&order) {
            points[*row as usize] = *point;
        }
        Ok(Embedding {
            points,
            kl: descent.kl,
            curve: descent.curve,
            iterations: descent.iterations,
            stopped: descent.stopped,
            perplexity,
            reduction: features.reduction(rows),
            changes,
            exact_iterations: descent.counts[0],
            fft_iterations: descent.counts[1],
            times,
            features,
            neighbours,
        })
    }

    /// The matrix P of rows, and what was changed on the way: for those who want to go on from there.
    ///
    /// # Errors
    /// As [`Tsne::fit`].
    pub fn affinities(&self, rows: &Rows) -> Result<(SparseRows, Vec<String>), TsneError> {
        self.settings.check()?;
        memory::check(rows.len(), rows.columns(), &self.settings)?;
        let isa = self.isa.unwrap_or_else(Isa::best);
        let mut changes = Vec::new();
        let perplexity = perplexity_for(rows.len(), self.settings.perplexity, &mut changes);
        let features = Features::new(isa, rows, &self.settings);
        let k = memory::neighbours_for(perplexity).min(rows.len() - 1);
        let neighbours = nearest(isa, features.data(rows), features.columns(), k, &|_| ());
        Ok((affinities(&neighbours, perplexity), changes))
    }
}

/// The perplexity, lowered where a third of the other rows is less.
fn perplexity_for(n: usize, wanted: f64, changes: &mut Vec<String>) -> f64 {
    let most = ((n.saturating_sub(1)) as f64 / 3.0).max(1.0);
    if wanted <= most {
        return wanted;
    }
    let text = if most.fract() == 0.0 { format!("{most}") } else { format!("{most:.2}") };
    changes.push(format!("perplexity lowered to {text} because N = {n}"));
    most
}

fn note_rate(n: usize, settings: &Settings, changes: &mut Vec<String>) {
    for (phase, exaggeration) in [("early", settings.early_exaggeration), ("late", settings.exaggeration)] {
        let wanted = n as f64 / exaggeration;
        if wanted < 200.0 {
            changes.push(format!(
                "learning rate of the {phase} phase raised from {wanted:.4} (N / exaggeration) to 200 because N = {n}"
            ));
        }
    }
}

/// Neighbours of rows in another order, back in that of the rows.
pub(crate) fn in_row_order(found: &Neighbours, order: &[u32]) -> Neighbours {
    let k = found.k;
    let mut result =
        Neighbours { k, index: vec![0; found.index.len()], squared: vec![0.0; found.squared.len()] };
    for (place, row) in order.iter().enumerate() {
        let (from, to) = (place * k..(place + 1) * k, *row as usize * k..(*row as usize + 1) * k);
        for (new, old) in result.index[to.clone()].iter_mut().zip(&found.index[from.clone()]) {
            *new = order[*old as usize];
        }
        result.squared[to].copy_from_slice(&found.squared[from]);
    }
    result
}
