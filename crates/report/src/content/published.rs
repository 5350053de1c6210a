//! Figures of the report that both problems come from, shown where a run is on the same data.

use hectare_net::ClassMap;

use crate::run::Run;

/// Accuracy on Problem 1.
pub const ACCURACY: f64 = 0.776;

/// Intersection over union of the six classes on Problem 2, and its mean.
pub const SEGMENTATION: [(&str, [f64; 6], f64); 2] = [
    ("FCN32s", [0.73081, 0.86538, 0.37212, 0.78911, 0.61908, 0.69110], 0.677934),
    ("FCN8s", [0.75480, 0.87803, 0.38091, 0.80110, 0.73942, 0.69511], 0.708230),
];

/// Whether a run was measured on all 2,500 pictures of 50 classes.
pub fn is_problem_1(run: &Run) -> bool {
    counted(run) == 2_500 && run.classes.len() == 50
}

/// Whether a run was measured on all 257 tiles of 512 x 512 pixels, with the course's classes.
pub fn is_problem_2(run: &Run) -> bool {
    counted(run) == 257 * 512 * 512 && run.classes.names() == ClassMap::course().names()
}

/// What the pictures of Problem 1 show, by eye: the data has numbers only.
const NAMES: [&str; 50] = [
    "bicycle",
    "chair",
    "camel",
    "rabbit",
    "lamp",
    "clock",
    "forest",
    "fox",
    "porcupine",
    "bed",
    "baby",
    "dinosaur",
    "skyscraper",
    "willow tree",
    "apple",
    "raccoon",
    "skunk",
    "kangaroo",
    "oak tree",
    "worm",
    "beetle",
    "wardrobe",
    "possum",
    "pine tree",
    "house",
    "wolf",
    "rose",
    "bee",
    "dolphin",
    "woman",
    "mushroom",
    "television",
    "bus",
    "mouse",
    "castle",
    "boy",
    "lizard",
    "sweet pepper",
    "mountain",
    "palm tree",
    "couch",
    "girl",
    "cup",
    "crab",
    "elephant",
    "lion",
    "streetcar",
    "otter",
    "shrew",
    "sunflower",
];

/// Adds the names to the numbers of Problem 1's classes; whether it did.
pub fn name_classes(run: &mut Run) -> bool {
    let numbered = run.classes.classes.iter().all(|class| class.name == class.id.to_string());
    if !is_problem_1(run) || !numbered {
        return false;
    }
    for (class, name) in run.classes.classes.iter_mut().zip(NAMES) {
        class.name = format!("{} {name}", class.id);
    }
    let names = run.classes.names();
    if let Some(confusion) = &mut run.confusion {
        confusion.names = names;
    }
    true
}

fn counted(run: &Run) -> u64 {
    run.confusion.as_ref().map_or(0, |confusion| confusion.counts.total())
}
