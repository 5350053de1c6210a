//! The workloads by name.

use hectare_net::models::trunk;
use hectare_net::{ModelKind, ModelSpec, NetError, Network, Shape, build, summary};

use super::layer::{Layer, Pass};

/// Something to measure. Its name says all of it: what, which pass, images, and the side of the pictures.
#[derive(Clone, Debug)]
pub struct Workload {
    /// As `trunk-predict-8x128`.
    pub name: String,
    /// Pictures in a run, N, and their side in pixels.
    pub batch: Batch,
    /// What is done with them.
    pub work: Work,
}

/// Square pictures of three bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Pictures, N.
    pub n: usize,
    /// Rows and columns, H and W.
    pub side: usize,
}

/// The kinds of work.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Images in, result out; weights were packed before.
    Predict(Subject),
    /// A whole step: forward, loss, gradients, weight decay, SGD with momentum.
    Train(ModelKind),
    /// One layer of VGG16 or of an FCN's head.
    Layer(Layer, Pass),
}

/// What predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// VGG16's `features` alone.
    Trunk,
    /// A whole network in its default geometry and number of classes.
    Model(ModelKind),
    /// The same with an eighth of its channels, as large scenes are mapped in measurements.
    Eighth(ModelKind),
}

impl Subject {
    /// The network for pictures of that side.
    ///
    /// # Errors
    /// A side that it cannot take.
    pub fn network(self, side: usize) -> Result<Network, NetError> {
        let (model, width) = match self {
            Subject::Trunk => (ModelKind::Vgg16, 1.0),
            Subject::Model(model) => (model, 1.0),
            Subject::Eighth(model) => (model, 0.125),
        };
        let spec = ModelSpec { input: [side; 2], width, ..ModelSpec::new(model) };
        if self == Subject::Trunk { trunk(&spec) } else { build(&spec) }
    }
}

impl Batch {
    /// Shape of one picture.
    pub fn shape(self) -> Shape {
        Shape::new(3, self.side, self.side)
    }
}

/// All workloads: networks, then layers.
pub fn all() -> Vec<Workload> {
    let batch = |n, side| Batch { n, side };
    let named = |name: &str, batch: Batch, work| Workload {
        name: format!("{name}-{}x{}", batch.n, batch.side),
        batch,
        work,
    };
    let mut list = vec![named("trunk-predict", batch(8, 128), Work::Predict(Subject::Trunk))];
    for side in [128, 256, 512, 1024, 2048] {
        list.push(named("trunk-predict", batch(1, side), Work::Predict(Subject::Trunk)));
    }
    list.push(named("classifier-train", batch(8, 128), Work::Train(ModelKind::Vgg16)));
    for (name, model) in [("fcn8s", ModelKind::Fcn8s), ("fcn32s", ModelKind::Fcn32s)] {
        let work = Work::Predict(Subject::Model(model));
        list.push(named(&format!("{name}-predict"), batch(1, 512), work));
    }
    let eighth = Work::Predict(Subject::Eighth(ModelKind::Fcn8s));
    list.push(named("fcn8s-eighth-predict", batch(1, 1024), eighth));
    list.push(named("fcn8s-train", batch(1, 512), Work::Train(ModelKind::Fcn8s)));
    for layer in Layer::ALL {
        for pass in Pass::ALL {
            let batch = if layer.fully_connected() { batch(1, 512) } else { batch(8, 128) };
            let name = format!("{}-{}", layer.name, pass.name());
            list.push(named(&name, batch, Work::Layer(layer, pass)));
        }
    }
    list
}

impl Workload {
    /// Floating point operations of a run, as direct convolutions take them; a multiplication and an addition
    /// are two. Training counts the forward pass three times, less the gradient of the pictures, which nobody
    /// computes.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn flops(&self) -> Result<u64, NetError> {
        let of = |subject: Subject| -> Result<(u64, u64), NetError> {
            let table = summary(&subject.network(self.batch.side)?, self.batch.shape(), self.batch.n)?;
            let first = table.nodes.iter().find(|node| node.params > 0).map_or(0, |node| node.flops);
            Ok((table.flops, first))
        };
        Ok(match self.work {
            Work::Predict(subject) => of(subject)?.0,
            Work::Train(model) => {
                let (all, first) = of(Subject::Model(model))?;
                3 * all - first
            }
            Work::Layer(layer, _) => layer.flops(self.batch),
        })
    }

    /// One line on what it is.
    pub fn describe(&self) -> String {
        let Batch { n, side } = self.batch;
        let pictures = format!("{n} x 3 x {side} x {side}");
        match self.work {
            Work::Predict(Subject::Trunk) => format!("prediction with VGG16's trunk, {pictures}"),
            Work::Predict(Subject::Model(model)) => format!("prediction with {model}, {pictures}"),
            Work::Predict(Subject::Eighth(model)) => {
                format!("prediction with {model} of an eighth of its channels, {pictures}")
            }
            Work::Train(model) => format!("a training step of {model}, {pictures}"),
            Work::Layer(layer, pass) => layer.describe(pass, self.batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flops(name: &str) -> u64 {
        let list = all();
        list.iter().find(|workload| workload.name == name).unwrap().flops().unwrap()
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = all().into_iter().map(|workload| workload.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(count, 11 + 3 * 11);
    }

    #[test]
    fn operations_are_those_of_direct_convolutions() {
        // VGG16's trunk is 15.347 G multiplications and additions for one picture of 224 x 224.
        let trunk = flops("trunk-predict-1x512") as f64;
        let known = 2.0 * 15.347e9 * (512.0 / 224.0_f64).powi(2);
        assert!((trunk / known - 1.0).abs() < 2e-3, "{trunk} {known}");
        assert_eq!(flops("trunk-predict-1x1024"), 4 * flops("trunk-predict-1x512"));
        let first = 8 * (2 * 27 + 1) * 64 * 128 * 128;
        assert_eq!(flops("conv1_1-forward-8x128"), first);
        assert_eq!(flops("conv1_1-weight-grad-8x128"), first);
        let head = 8 * (2 * 8192 + 1) * 50;
        assert_eq!(flops("classifier-train-8x128"), 3 * (flops("trunk-predict-8x128") + head) - first);
        assert_eq!(flops("fc6-forward-1x512"), (2 * 512 * 49 + 1) * 4096 * 256);
    }
}
