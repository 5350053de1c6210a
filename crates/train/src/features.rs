//! What a network sees in pictures: the values of one of its nodes.

use hectare_data::Image;
use hectare_kernels::{AlignedVec, Isa};
use hectare_net::{ModelCard, Network, Params, Predictor, Shape};

use crate::error::TrainError;
use crate::predict::Recipe;

/// A network up to one of its nodes.
pub struct FeatureModel {
    recipe: Recipe,
    predictor: Predictor,
    node: String,
    shape: Shape,
    average: bool,
    is_classifier: bool,
}

impl FeatureModel {
    /// The values of `node`; without one, of what the last layer reads (the second-last layer). With `average` their means
    /// over the positions of the node's map, which pictures of different sizes need.
    ///
    /// # Errors
    /// A node that the network has not, those of [`Recipe::new`], and a network of other than three bands.
    pub fn new(
        card: &ModelCard,
        network: Network,
        params: Params,
        isa: Isa,
        node: Option<&str>,
        average: bool,
    ) -> Result<FeatureModel, TrainError> {
        let recipe = Recipe::new(card, isa)?.for_pictures(card)?;
        let [h, w] = card.spec.input;
        let shapes = network.infer(Shape::new(network.bands(), h, w)).map_err(TrainError::net)?;
        let is_classifier = card.spec.model.is_classifier();
        let index = match node {
            Some(name) => network.node_index(name).ok_or_else(|| {
                let names: Vec<&str> = network.nodes().iter().skip(1).map(|node| &node.name[..]).collect();
                TrainError::Input(format!("the network has no node {name}; it has {}", names.join(", ")))
            })?,
            None => {
                second_last(&network, &shapes, if is_classifier { None } else { Some(card.spec.classes) })
            }
        };
        let node = network.nodes()[index].name.clone();
        let predictor = Predictor::ending_at(network, params, isa, &node).map_err(TrainError::net)?;
        Ok(FeatureModel { recipe, predictor, node, shape: shapes[index], average, is_classifier })
    }

    /// The node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Numbers of a picture of the network's own input size.
    pub fn columns(&self) -> usize {
        if self.average { self.shape.c } else { self.shape.len() }
    }

    /// The features of some pictures, row by row: N x D.
    ///
    /// # Errors
    /// A size that the network cannot take, or whose features are of another number than those before it.
    pub fn of(&mut self, images: &[Image]) -> Result<Vec<f32>, TrainError> {
        let mut rows = Vec::with_capacity(images.len() * self.columns());
        // Classifiers see all pictures at one size.
        for images in images.chunks(if self.is_classifier { images.len().max(1) } else { 1 }) {
            let prepared: Vec<_> = images.iter().map(|image| self.recipe.prepare(image)).collect();
            let (_, h, w) = prepared[0].views[0];
            let mut input = AlignedVec::zeroed(images.len() * h * w * 3);
            for (to, from) in input.chunks_exact_mut(h * w * 3).zip(&prepared) {
                to.copy_from_slice(&from.views[0].0);
            }
            let output = self.predictor.run(images.len(), h, w, &input).map_err(TrainError::net)?;
            let c = output.shape.c;
            if !self.average {
                if output.shape.len() != self.shape.len() {
                    return Err(TrainError::Input(format!(
                        "a picture of {h}x{w} has {} features at {}, not {}; average them over positions",
                        output.shape.len(),
                        self.node,
                        self.shape.len()
                    )));
                }
                rows.extend_from_slice(output.data);
                continue;
            }
            let positions = (output.shape.h * output.shape.w).max(1);
            for map in output.data.chunks_exact(positions * c) {
                let mut sums = vec![0.0_f64; c];
                for values in map.chunks_exact(c) {
                    sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                rows.extend(sums.iter().map(|sum| (sum / positions as f64) as f32));
            }
        }
        Ok(rows)
    }
}

/// The node that the last layer reads, before any ReLU or dropout between them. The last layer of a classifier is the
/// network's last node; that of a segmentation network is the first one behind the trunk that scores `classes`.
fn second_last(network: &Network, shapes: &[Shape], classes: Option<usize>) -> usize {
    let nodes = network.nodes();
    let scores = |i: usize| {
        let kind = nodes[i].op.kind();
        kind == "Conv2d" && !nodes[i].name.starts_with("features.") && Some(shapes[i].c) == classes
    };
    let last = (1..nodes.len()).find(|i| scores(*i)).unwrap_or(network.output());
    let mut at = nodes[last].inputs.first().copied().unwrap_or(last);
    while matches!(nodes[at].op.kind(), "ReLU" | "Dropout" | "Dropout2d") {
        at = nodes[at].inputs[0];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_net::{Head, ModelKind, ModelSpec, build, initialise};

    fn model(
        kind: ModelKind,
        head: Head,
        node: Option<&str>,
        average: bool,
    ) -> Result<FeatureModel, TrainError> {
        let mut spec = ModelSpec::new(kind);
        (spec.width, spec.head) = (0.03125, head);
        spec.input = if kind.is_classifier() { [32, 32] } else { [64, 64] };
        let card = ModelCard::new(spec);
        let network = build(&card.spec).unwrap();
        let params = initialise(&network, 3);
        FeatureModel::new(&card, network, params, Isa::best(), node, average)
    }

    fn picture(width: usize, height: usize) -> Image {
        Image::from_fn(width, height, |x, y| [(x * 5) as u8, (y * 7) as u8, (x * y) as u8])
    }

    #[test]
    fn the_second_last_layer_is_found() {
        for (kind, head, node) in [
            (ModelKind::Vgg16, Head::Linear, "flatten"),
            (ModelKind::Vgg16, Head::Hidden512, "fc.0"),
            (ModelKind::Fcn32s, Head::Linear, "fcn32.3"),
            (ModelKind::Fcn8s, Head::Linear, "fcn.3"),
        ] {
            let model = model(kind, head, None, !kind.is_classifier()).unwrap();
            assert_eq!(model.node(), node, "{kind}");
        }
        let error = model(ModelKind::Vgg16, Head::Linear, Some("fc.7"), false).err().unwrap().to_string();
        assert!(error.contains("no node fc.7") && error.contains("features.0, "), "{error}");
    }

    #[test]
    fn features_do_not_depend_on_the_batch() {
        let mut model = model(ModelKind::Vgg16, Head::Hidden512, None, false).unwrap();
        let images = [picture(32, 32), picture(40, 20), picture(9, 9)];
        let together = model.of(&images).unwrap();
        assert_eq!(together.len(), 3 * model.columns());
        // What stands before a ReLU has both signs.
        assert!(together.iter().any(|x| *x < 0.0) && together.iter().any(|x| *x > 0.0));
        for (image, row) in images.iter().zip(together.chunks(model.columns())) {
            let alone = model.of(std::slice::from_ref(image)).unwrap();
            assert!(alone.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        assert!(model.of(&[]).unwrap().is_empty());
    }

    #[test]
    fn pictures_of_other_sizes_are_averaged_or_refused() {
        let images = [picture(64, 64), picture(128, 96)];
        let mut averaged = model(ModelKind::Fcn32s, Head::Linear, None, true).unwrap();
        let rows = averaged.of(&images).unwrap();
        assert_eq!(rows.len(), 2 * averaged.columns());
        let mut whole = model(ModelKind::Fcn32s, Head::Linear, None, false).unwrap();
        let first = whole.of(&images[..1]).unwrap();
        let c = averaged.columns();
        let mean: f32 = first.iter().step_by(c).sum::<f32>() / (first.len() / c) as f32;
        assert!((mean - rows[0]).abs() < 1e-5 * (1.0 + mean.abs()));
        assert!(whole.of(&images).unwrap_err().to_string().contains("average"));
    }
}
