//! hectare against PyTorch: logits, losses, every parameter's gradient, and ten steps of two optimisers.
//!
//! The files in `tests/fixtures` hold what PyTorch computed in float64; weights and inputs come from a hash that
//! both sides know (`fixtures/README.md`). All differences are relative to the largest value of the
//! tensor at hand, and every instruction set of the machine is tried.
//!
//! Tolerances, each some ten times what PyTorch's own float32 differs from the same float64 values (printed by
//! `fixtures/make_fixtures.py`): another order of summation moves that much, a wrong formula moves orders of
//! magnitude more.

mod support;

use hectare_kernels::Isa;
use hectare_kernels::loss::{CrossEntropy, cross_entropy, dice, lovasz_softmax};
use hectare_kernels::optim::{AdamW, Sgd, adamw, sgd};
use hectare_net::{ParamEntry, Params, Predictor, Role, StepKey, Trainer};
use support::{Comparison, Fixture, class_weights, labels, largest, parameters, uniform, without_dropout};

/// Logits: PyTorch's float32 is off by up to 3.3e-6.
const LOGITS: f64 = 3e-5;
/// Losses: off by up to 8e-7 (a mean over few pixels, then one logarithm).
const LOSS: f64 = 1e-5;
/// Gradients: off by up to 6e-6 (long sums; BatchNorm subtracts means that nearly cancel).
const GRADIENT: f64 = 1e-4;
/// Losses of ten steps: off by up to 6e-6.
const LOSSES: f64 = 1e-4;
/// Change of a parameter in ten steps: off by up to 1.5e-3, because it is a small difference of large numbers.
const CHANGE: f64 = 1e-2;
/// The same where rounding moved a unit over the kink of its ReLU, or another number into the lead of a pooling
/// window. That changes some gradient by far more than rounding does (PyTorch's float32: by 8e-3 in one case). It may
/// happen to one parameter tensor in ten.
const CHANGE_AT_KINK: f64 = 0.2;
/// Running statistics after ten steps: off by up to 1e-6, but they follow the changed parameters.
const RUNNING: f64 = 1e-4;
/// Cross-entropy alone: off by up to 2.3e-7.
const CROSS_ENTROPY: f64 = 2e-6;
/// Lovász-softmax and Dice: off by up to 5.6e-7.
const REGION: f64 = 2e-6;

/// An optimiser of the fixtures.
#[derive(Clone, Copy)]
enum Rule {
    Sgd,
    AdamW,
}

#[test]
fn classifier_linear_head() {
    check("vgg16_linear");
}

#[test]
fn classifier_hidden_head() {
    check("vgg16_hidden512");
}

#[test]
fn classifier_batch_norm_linear_head() {
    check("vgg16_bn_linear");
}

#[test]
fn classifier_batch_norm_hidden_head() {
    check("vgg16_bn_hidden512");
}

#[test]
fn fcn32s_modern() {
    check("fcn32s_modern");
}

#[test]
fn fcn32s_caffe() {
    check("fcn32s_caffe");
}

#[test]
fn fcn16s_modern() {
    check("fcn16s_modern");
}

#[test]
fn fcn16s_caffe() {
    check("fcn16s_caffe");
}

#[test]
fn fcn8s_modern() {
    check("fcn8s_modern");
}

#[test]
fn fcn8s_caffe() {
    check("fcn8s_caffe");
}

/// One test, because each of the two holds more than a gigabyte of weights for a moment.
#[test]
fn full_width_logits() {
    for name in ["full_vgg16", "full_fcn8s"] {
        let fixture = Fixture::open(name);
        let mut all = Comparison::default();
        let isa = Isa::best();
        compare_predictions(&fixture, isa, &mut all);
        all.finish(name, isa);
    }
}

#[test]
fn weighted_smoothed_cross_entropy() {
    let fixture = Fixture::open("cross_entropy");
    let (pixels, classes) = (fixture.count("n"), fixture.count("classes"));
    let logits: Vec<f32> = uniform("cross_entropy/logits", pixels * classes, 6.0).collect();
    let weights = class_weights(classes);
    for isa in Isa::available() {
        let mut all = Comparison::default();
        let mut combinations = 0;
        for key in fixture.names().filter_map(|name| name.strip_prefix("loss.")) {
            let weighted = key.contains("weighted=1");
            let labels = labels("cross_entropy/labels", pixels, classes, key.contains("ignored=1"));
            let (_, smoothing) = key.rsplit_once("smoothing=").expect("a smoothing");
            let label_smoothing: f32 = smoothing.parse().expect("a number");
            let loss = CrossEntropy { classes, weights: weighted.then_some(&weights[..]), label_smoothing };
            let mut gradient = vec![0.0; logits.len()];
            let value = cross_entropy(isa, &loss, &logits, &labels, Some(&mut gradient)).mean() as f32;
            all.values("loss", key, &[value], fixture.tensor(&format!("loss.{key}")), CROSS_ENTROPY, 0.0);
            all.values("grad", key, &gradient, fixture.tensor(&format!("grad.{key}")), CROSS_ENTROPY, 0.0);
            combinations += 1;
        }
        assert_eq!(combinations, 12);
        all.finish("cross_entropy", isa);
    }
}

#[test]
fn losses_of_regions() {
    let fixture = Fixture::open("region_losses");
    let (pixels, classes) = (fixture.count("n"), fixture.count("classes"));
    let logits: Vec<f32> = uniform("region_losses/logits", pixels * classes, 6.0).collect();
    for isa in Isa::available() {
        let mut all = Comparison::default();
        let mut combinations = 0;
        for key in fixture.names().filter_map(|name| name.strip_prefix("loss.")) {
            let labels = labels("region_losses/labels", pixels, classes, key.contains("ignored=1"));
            let loss = if key.starts_with("lovasz") { lovasz_softmax } else { dice };
            let mut gradient = vec![0.0; logits.len()];
            let value = loss(isa, classes, &logits, &labels, Some((&mut gradient, 1.0))) as f32;
            all.values("loss", key, &[value], fixture.tensor(&format!("loss.{key}")), REGION, 0.0);
            all.values("grad", key, &gradient, fixture.tensor(&format!("grad.{key}")), REGION, 0.0);
            combinations += 1;
        }
        assert_eq!(combinations, 4);
        all.finish("region_losses", isa);
    }
}

/// Everything about one narrow network, on every instruction set.
fn check(name: &str) {
    let fixture = Fixture::open(name);
    for isa in Isa::available() {
        let mut all = Comparison::default();
        compare_predictions(&fixture, isa, &mut all);
        compare_gradients(&fixture, isa, &mut all);
        compare_steps(&fixture, isa, Rule::Sgd, &mut all);
        compare_steps(&fixture, isa, Rule::AdamW, &mut all);
        all.finish(name, isa);
    }
}

fn input(fixture: &Fixture, name: &str, n: usize, [h, w]: [usize; 2]) -> Vec<f32> {
    uniform(&format!("{}/{name}", fixture.text("salt")), n * h * w * 3, 2.0).collect()
}

fn compare_predictions(fixture: &Fixture, isa: Isa, all: &mut Comparison) {
    let network = fixture.network();
    let params = parameters(&network, fixture.text("salt"));
    let mut predictor = Predictor::new(network, params, isa).expect("a predictor");
    let mut predict = |n: usize, size: [usize; 2], input: &[f32], name: &str| {
        let output = predictor.run(n, size[0], size[1], input).expect("a prediction");
        all.tensor(fixture, "eval", name, output.data, LOGITS, 0.0);
    };
    let (n, size) = (fixture.count("n"), Fixture::size(fixture.fact("size")));
    predict(n, size, &input(fixture, "input", n, size), "logits");
    for size in fixture.fact("more_sizes").as_array().into_iter().flatten() {
        let [h, w] = Fixture::size(size);
        predict(1, [h, w], &input(fixture, &format!("input.{h}x{w}"), 1, [h, w]), &format!("logits.{h}x{w}"));
    }
}

/// What a training step of the fixture's case needs.
struct Training<'a> {
    fixture: &'a Fixture,
    isa: Isa,
    trainer: Trainer,
    params: Params,
    input: Vec<f32>,
    labels: Vec<u16>,
    weights: Vec<f32>,
    n: usize,
    size: [usize; 2],
}

impl<'a> Training<'a> {
    fn new(fixture: &'a Fixture, isa: Isa) -> Training<'a> {
        let network = without_dropout(&fixture.network());
        let params = parameters(&network, fixture.text("salt"));
        let (n, size, classes) =
            (fixture.count("n"), Fixture::size(fixture.fact("size")), fixture.count("classes"));
        let trainer = Trainer::new(&network, isa, n, size[0], size[1]).expect("a trainer");
        let segmentation = fixture.fact("geometry").is_string();
        let targets = if segmentation { n * size[0] * size[1] } else { n };
        let labels = labels(&format!("{}/labels", fixture.text("salt")), targets, classes, segmentation);
        let weights = class_weights(classes);
        let input = input(fixture, "input", n, size);
        Training { fixture, isa, trainer, params, input, labels, weights, n, size }
    }

    /// Logits of the current parameters, as in validation.
    fn evaluate(&mut self) -> Vec<f32> {
        let [h, w] = self.size;
        self.trainer.forward_eval(&self.params, self.n, h, w, &self.input).expect("logits").to_vec()
    }

    /// Logits, loss and gradients of the current parameters, as in training.
    fn step(&mut self, step: u64, gradients: &mut [f32]) -> (Vec<f32>, f64) {
        let loss = CrossEntropy {
            classes: self.fixture.count("classes"),
            weights: Some(&self.weights),
            label_smoothing: 0.0,
        };
        let mut seen = Vec::new();
        let (isa, labels) = (self.isa, &self.labels);
        let value = self
            .trainer
            .step(
                &mut self.params,
                self.n,
                self.size[0],
                self.size[1],
                &self.input,
                StepKey { seed: 0, step },
                &mut |logits, dlogits| {
                    seen = logits.to_vec();
                    cross_entropy(isa, &loss, logits, labels, Some(dlogits)).mean()
                },
                gradients,
                false,
            )
            .expect("a step");
        (seen, value)
    }
}

fn compare_gradients(fixture: &Fixture, isa: Isa, all: &mut Comparison) {
    let mut training = Training::new(fixture, isa);
    let layout = training.params.layout.clone();
    let mut gradients = vec![f32::NAN; layout.total];
    let logits = training.evaluate();
    all.tensor(fixture, "eval", "logits", &logits, LOGITS, 0.0);
    let (logits, loss) = training.step(0, &mut gradients);
    all.tensor(fixture, "train", "logits", &logits, LOGITS, 0.0);
    all.values("loss", "", &[loss as f32], fixture.tensor("loss"), LOSS, 0.0);
    for entry in &layout.entries {
        let scale = layer_scale(fixture, "grad", entry);
        all.tensor(fixture, "grad", &entry.name, &gradients[entry.range.clone()], GRADIENT, scale);
    }
}

fn compare_steps(fixture: &Fixture, isa: Isa, rule: Rule, all: &mut Comparison) {
    let mut training = Training::new(fixture, isa);
    let layout = training.params.layout.clone();
    let start = training.params.values.clone();
    let mut gradients = vec![0.0; layout.total];
    let (mut first, mut second) = (vec![0.0; layout.total], vec![0.0; layout.total]);
    let mut losses = Vec::new();
    for step in 1..=fixture.count("steps") as u64 {
        let (_, loss) = training.step(step, &mut gradients);
        losses.push(loss as f32);
        let values = &mut training.params.values;
        match rule {
            Rule::Sgd => {
                let decay = fixture.fact("sgd")["weight_decay"].as_f64().expect("a decay");
                let settings = Sgd { lr: fixture.number("sgd_lr"), momentum: 0.9, weight_decay: decay };
                sgd(isa, &settings, values, &gradients, &mut first);
            }
            Rule::AdamW => {
                let given = |name: &str| fixture.fact("adamw")[name].as_f64().expect("a number");
                let (lr, eps, weight_decay) = (given("lr"), given("eps"), given("weight_decay"));
                let settings = AdamW { lr, beta1: 0.9, beta2: 0.999, eps, weight_decay, step };
                adamw(isa, &settings, values, &gradients, &mut first, &mut second);
            }
        }
    }

    let (losses_of, change, buffer) = match rule {
        Rule::Sgd => ("sgd_losses", "sgd_change", "sgd_buffer"),
        Rule::AdamW => ("adamw_losses", "adamw_change", "adamw_buffer"),
    };
    all.values(losses_of, "", &losses, fixture.tensor(losses_of), LOSSES, 0.0);
    let (mut compared, mut far) = (0, 0);
    for entry in &layout.entries {
        if !fixture.has(&format!("{change}.{}", entry.name)) {
            continue; // a bias without influence, see make_fixtures.py
        }
        let moved: Vec<f32> = entry.range.clone().map(|i| training.params.values[i] - start[i]).collect();
        let scale = layer_scale(fixture, change, entry);
        let difference = all.tensor(fixture, change, &entry.name, &moved, CHANGE_AT_KINK, scale);
        compared += 1;
        far += usize::from(difference > CHANGE);
    }
    if 10 * far > compared {
        all.fail(format!("{change}: {far} of {compared} parameters differ by more than {CHANGE:.0e}"));
    }
    assert!(2 * compared > layout.entries.len(), "most parameters are compared");
    for entry in &layout.buffers {
        let name = format!("{buffer}.{}", entry.name);
        if fixture.has(&name) {
            let ours = &training.params.buffers[entry.range.clone()];
            all.values(buffer, &entry.name, ours, fixture.tensor(&name), RUNNING, 0.0);
        }
    }
}

/// A bias is compared on the scale of its layer's weight too: before a BatchNorm its gradient is nothing but what
/// rounding left of a sum that cancels.
fn layer_scale(fixture: &Fixture, group: &str, entry: &ParamEntry) -> f64 {
    let layer = entry.name.trim_end_matches("bias");
    match entry.role {
        Role::Bias => largest(fixture.tensor(&format!("{group}.{layer}weight"))),
        _ => 0.0,
    }
}
