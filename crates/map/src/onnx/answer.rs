//! What a graph says of each pixel, and how that becomes probabilities of classes.

use std::fmt;

use hectare_kernels::loss::softmax;
use hectare_kernels::{Isa, threads};
use rten::{DataType, Value, ValueType};
use rten_tensor::Layout as _;
use rten_tensor::Tensor;

use super::{Layout, Scores};

/// Most classes: 255 is no data.
const MOST: usize = 255;

/// The graph's output.
pub(super) struct Said {
    shape: Vec<usize>,
    numbers: Numbers,
}

enum Numbers {
    Floats(Vec<f32>),
    Ids(Vec<i32>),
}

impl Said {
    pub fn of(value: Value) -> Result<Said, String> {
        let wrong =
            |value: &Value| format!("it gives {}, and maps need scores or numbers of classes", value.dtype());
        match value.dtype() {
            ValueType::Tensor(DataType::Float) => {
                let tensor: Tensor<f32> = value.try_into().map_err(|_| "it gives no tensor".to_owned())?;
                Ok(Said { shape: tensor.shape().to_vec(), numbers: Numbers::Floats(tensor.into_data()) })
            }
            ValueType::Tensor(DataType::Int32) => {
                let tensor: Tensor<i32> = value.try_into().map_err(|_| "it gives no tensor".to_owned())?;
                Ok(Said { shape: tensor.shape().to_vec(), numbers: Numbers::Ids(tensor.into_data()) })
            }
            _ => Err(wrong(&value)),
        }
    }
}

/// What the numbers of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// So many scores of classes.
    Classes(usize, Scores),
    /// One score: of a class, against all else.
    One(Scores),
    /// The number of the class.
    Id,
}

/// How a graph answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    layout: Layout,
    kind: Kind,
}

impl Default for Answer {
    fn default() -> Self {
        Answer { layout: Layout::Planes, kind: Kind::Id }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |scores: Scores| match scores {
            Scores::Logits => "logits",
            Scores::Probabilities => "probabilities",
        };
        match self.kind {
            Kind::Classes(count, scores) => write!(f, "{} of {count} classes out", of(scores)),
            Kind::One(scores) => write!(f, "{} of one class against the rest out", of(scores)),
            Kind::Id => f.write_str("numbers of classes out"),
        }
    }
}

impl Answer {
    /// How a graph answers that said this of a picture of `size` (rows and columns). Unless it is `told`, numbers that
    /// all lie between 0 and 1, and of several classes sum to 1 in each pixel, are taken for probabilities.
    pub fn of(said: &Said, size: [usize; 2], takes: Layout, told: Option<Scores>) -> Result<Answer, String> {
        let (layout, count) = place(&said.shape, size, takes)?;
        let kind = match &said.numbers {
            Numbers::Ids(_) if count == 1 => Kind::Id,
            Numbers::Ids(_) => return Err(format!("it gives {count} whole numbers for each pixel")),
            Numbers::Floats(_) if count > MOST => {
                return Err(format!("it gives {count} classes; maps hold {MOST} at most"));
            }
            Numbers::Floats(values) => {
                let scores = told.unwrap_or_else(|| guess(values, layout, count));
                if count == 1 { Kind::One(scores) } else { Kind::Classes(count, scores) }
            }
        };
        Ok(Answer { layout, kind })
    }

    /// Number of classes; nothing where the answers do not tell.
    pub fn classes(&self) -> Option<usize> {
        match self.kind {
            Kind::Classes(count, _) => Some(count),
            Kind::One(_) => Some(2),
            Kind::Id => None,
        }
    }

    /// Whether each pixel has one score.
    pub fn is_one_score(&self) -> bool {
        matches!(self.kind, Kind::One(_))
    }

    /// Probabilities (H x W x `k`) of the upper left part, `[h, w]`, of what was said of a picture of `size`. The one class
    /// of a graph with one score is more probable than the rest where its score passes `threshold`.
    pub fn probabilities(
        &self,
        isa: Isa,
        said: &Said,
        size: [usize; 2],
        [h, w]: [usize; 2],
        k: usize,
        threshold: f32,
        out: &mut [f32],
    ) -> Result<(), String> {
        let count = if let Kind::Classes(count, _) = self.kind { count } else { 1 };
        let (_, found) = place(&said.shape, size, self.layout)?;
        if found != count {
            return Err(format!(
                "it gives {found} numbers for each pixel of this window, and {count} before"
            ));
        }
        // Where the number `class` of a pixel lies.
        let at = |y: usize, x: usize, class: usize| match self.layout {
            Layout::Planes => (class * size[0] + y) * size[1] + x,
            Layout::Pixels => (y * size[1] + x) * count + class,
        };
        match (&said.numbers, self.kind) {
            (Numbers::Ids(ids), Kind::Id) => {
                for y in 0..h {
                    for x in 0..w {
                        let id = ids[at(y, x, 0)];
                        let class = usize::try_from(id).ok().filter(|class| *class < k);
                        let class = class.ok_or_else(|| format!("it gives class {id}, and there are {k}"))?;
                        out[(y * w + x) * k + class] = 1.0;
                    }
                }
                Ok(())
            }
            (Numbers::Floats(values), Kind::One(scores)) => {
                threads::parallel_chunks_mut(out, (w * 2).max(1), |y, row| {
                    for (x, pair) in row.chunks_exact_mut(2).enumerate() {
                        let value = values[at(y, x, 0)];
                        let p = match scores {
                            Scores::Logits => 1.0 / (1.0 + (-value).exp()),
                            Scores::Probabilities => value.clamp(0.0, 1.0),
                        };
                        // Odds are divided by those of the threshold, so that a half is where it was.
                        let (yes, no) = (p * (1.0 - threshold), (1.0 - p) * threshold);
                        pair.copy_from_slice(&[no / (yes + no), yes / (yes + no)]);
                    }
                });
                Ok(())
            }
            (Numbers::Floats(values), Kind::Classes(_, scores)) => {
                let gather = |out: &mut [f32]| {
                    threads::parallel_chunks_mut(out, (w * k).max(1), |y, row| {
                        for (x, to) in row.chunks_exact_mut(k).enumerate() {
                            to.iter_mut().enumerate().for_each(|(class, to)| *to = values[at(y, x, class)]);
                        }
                    });
                };
                if scores == Scores::Probabilities {
                    gather(out);
                } else {
                    let mut logits = vec![0.0; out.len()];
                    gather(&mut logits);
                    softmax(isa, &logits, k, out);
                }
                Ok(())
            }
            _ => Err("it gives numbers of another kind than before".into()),
        }
    }
}

/// Where the numbers of a pixel lie in an answer of this shape to a picture of `size`, and how many there are.
fn place(shape: &[usize], [h, w]: [usize; 2], like: Layout) -> Result<(Layout, usize), String> {
    let found = match *shape {
        [1, k, a, b] if [a, b] == [h, w] && (like == Layout::Planes || k != h) => Some((Layout::Planes, k)),
        [1, a, b, k] if [a, b] == [h, w] => Some((Layout::Pixels, k)),
        [1, k, a, b] if [a, b] == [h, w] => Some((Layout::Planes, k)),
        [1, a, b] | [a, b] if [a, b] == [h, w] => Some((Layout::Planes, 1)),
        _ => None,
    };
    found.filter(|(_, k)| *k > 0).ok_or_else(|| {
        let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        format!(
            "it is no segmentation model at full size: it answers {w} x {h} pixels with {}, not with N x K x {h} x {w}",
            shape.join(" x ")
        )
    })
}

/// Whether numbers look like probabilities.
fn guess(values: &[f32], layout: Layout, count: usize) -> Scores {
    const SLACK: f32 = 1e-3;
    let pixels = values.len() / count;
    let value = |pixel: usize, class: usize| match layout {
        Layout::Planes => values[class * pixels + pixel],
        Layout::Pixels => values[pixel * count + class],
    };
    let share = values.iter().all(|value| (-1e-6..=1.0 + 1e-6).contains(value));
    let sums = || (0..pixels).all(|p| ((0..count).map(|k| value(p, k)).sum::<f32>() - 1.0).abs() <= SLACK);
    if share && (count == 1 || sums()) { Scores::Probabilities } else { Scores::Logits }
}
