//! What is known of a step whose numbers are not finite any more: by then it is too late for that run, so this may
//! take its time.

use hectare_data::Batch;
use hectare_kernels::elementwise;
use hectare_net::Predictor;

use super::session::Run;
use crate::checkpoint;
use crate::error::{Divergence, TrainError};

/// Pictures that a message names.
const NAMED: usize = 8;

impl Run<'_> {
    /// Refuses a loss or gradients that are not finite. Nothing has been changed by the step yet.
    pub fn check_gradients(&self, loss: f64, batches: &[Batch], lr: f64) -> Result<(), TrainError> {
        if loss.is_finite() && elementwise::all_finite(self.isa, &self.gradients) {
            return Ok(());
        }
        let quantity = if loss.is_finite() { "gradient" } else { "loss" };
        let node = match loss.is_finite() {
            true => self.last_bad_gradient(),
            false => self.bad_weights().or_else(|| self.first_bad_value(batches)),
        };
        let pictures = batches.iter().flat_map(|batch| &batch.indices).map(|index| self.source.title(*index));
        Err(self.diverged(quantity, node, pictures.collect(), lr))
    }

    /// Refuses weights that are not finite: they must not become a checkpoint.
    pub fn check_weights(&self, lr: f64) -> Result<(), TrainError> {
        match self.bad_weights() {
            Some(node) => Err(self.diverged("weight", Some(node), Vec::new(), lr)),
            None => Ok(()),
        }
    }

    fn diverged(
        &self,
        quantity: &'static str,
        node: Option<String>,
        mut pictures: Vec<String>,
        rate: f64,
    ) -> TrainError {
        let more = pictures.len().saturating_sub(NAMED);
        pictures.truncate(NAMED);
        // A damaged checkpoint is said when it is read; here it only is not offered.
        let saved =
            checkpoint::peek(&self.folder).ok().flatten().map(|header| (header.step, self.folder.last()));
        TrainError::NotFinite(Box::new(Divergence {
            step: self.step,
            rate,
            quantity,
            node,
            pictures,
            more,
            saved,
        }))
    }

    /// The node of the first weights that are not finite.
    fn bad_weights(&self) -> Option<String> {
        if elementwise::all_finite(self.isa, &self.params.values) {
            return None;
        }
        self.node_of(|range| !elementwise::all_finite(self.isa, &self.params.values[range]), false)
    }

    /// The node nearest the loss whose gradients are not finite.
    fn last_bad_gradient(&self) -> Option<String> {
        self.node_of(|range| !elementwise::all_finite(self.isa, &self.gradients[range]), true)
    }

    fn node_of(&self, bad: impl Fn(std::ops::Range<usize>) -> bool, from_the_end: bool) -> Option<String> {
        let entries = &self.params.layout.entries;
        let mut found = entries.iter().filter(|entry| bad(entry.range.clone()));
        let entry = if from_the_end { found.next_back() } else { found.next() }?;
        Some(self.trainer.network().nodes()[entry.node].name.clone())
    }

    /// The first node whose value is not finite for one of the batches.
    fn first_bad_value(&self, batches: &[Batch]) -> Option<String> {
        let network = self.trainer.network();
        network
            .nodes()
            .iter()
            .map(|node| &node.name)
            .find(|name| {
                let copy = (network.clone(), self.params.clone());
                let Ok(mut predictor) = Predictor::ending_at(copy.0, copy.1, self.isa, name) else {
                    return false;
                };
                batches.iter().any(|batch| {
                    let value = predictor.run(batch.n, batch.h, batch.w, &batch.images);
                    value.is_ok_and(|value| !elementwise::all_finite(self.isa, value.data))
                })
            })
            .cloned()
    }
}
