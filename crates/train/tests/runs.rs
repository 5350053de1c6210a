//! Whole runs on pictures drawn here: narrow networks, a few seconds each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hectare_data::{Image, Mask, read_image, read_mask, write_mask_rgb, write_png};
use hectare_kernels::Isa;
use hectare_net::{ClassMap, weights};
use hectare_train::{
    Event, Layer, Model, Observer, RunSummary, Silent, Task, TrainConfig, TrainError, resume, score, train,
};

/// Pictures in three colours with a little noise, named `{class}_{id}.png`.
fn draw_classes(folder: &Path, each: usize) {
    fs::create_dir_all(folder).unwrap();
    for class in 0..3 {
        for id in 0..each {
            let noise = move |x: usize, y: usize| ((x * 37 + y * 91 + id * 53 + class * 11) % 40) as u8;
            let image = Image::from_fn(20, 20, |x, y| {
                let mut colour = [60 + noise(x, y); 3];
                colour[class] += 120;
                colour
            });
            write_png(&image, &folder.join(format!("{class}_{id}.png"))).unwrap();
        }
    }
}

/// Tiles of water beside forest, at a border that moves, with an unknown corner.
fn draw_tiles(folder: &Path, names: &[&str], width: usize, height: usize) {
    fs::create_dir_all(folder).unwrap();
    for (at, name) in names.iter().enumerate() {
        let border = width * (at % 4 + 2) / 8;
        let id = |x: usize, y: usize| match (x < border, x + y < 6) {
            (_, true) => 6,
            (true, _) => 4,
            _ => 3,
        };
        let mask = Mask::from_fn(width, height, id);
        let image = Image::from_fn(width, height, |x, y| {
            let noise = ((x * 31 + y * 17 + at * 7) % 30) as u8;
            match id(x, y) {
                4 => [20 + noise, 40, 150 + noise],
                3 => [30, 140 + noise, 40 + noise],
                _ => [0, 0, 0],
            }
        });
        write_png(&image, &folder.join(format!("{name}_sat.png"))).unwrap();
        write_mask_rgb(&mask, &ClassMap::course(), &folder.join(format!("{name}_mask.png"))).unwrap();
    }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn classes() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        draw_classes(&bench.path("train"), 12);
        draw_classes(&bench.path("val"), 4);
        bench
    }

    fn tiles() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let names: Vec<String> = (0..10).map(|at| format!("{at:04}")).collect();
        draw_tiles(&bench.path("train"), &names.iter().map(String::as_str).collect::<Vec<_>>(), 64, 64);
        draw_tiles(&bench.path("val"), &["0010", "0097", "0107", "0200"], 72, 56);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Settings for a run of that name, with `changes` in TOML on top.
    fn config(&self, task: Task, run: &str, changes: &str) -> TrainConfig {
        let mut layer = Layer::new("test");
        layer.set("task", task);
        layer.set("train", self.path("train"));
        layer.set("val", self.path("val"));
        layer.set("out", self.path(run));
        for (key, value) in
            [("width", 0.03125), ("lr", 3e-3), ("trunk_lr_factor", 1.0), ("warmup_epochs", 1.0)]
        {
            layer.set(key, value);
        }
        layer.set("input", if task == Task::Classify { 32 } else { 48 });
        layer.set("batch_size", 5);
        layer.set("verify", true);
        let changes = Layer::from_toml_text("changes", changes).unwrap();
        TrainConfig::resolve(&[layer, changes]).unwrap()
    }

    fn bytes(&self, run: &str, file: &str) -> Vec<u8> {
        fs::read(self.path(run).join(file)).unwrap()
    }
}

/// Ends a run after some epochs.
struct StopAfter(AtomicUsize);

impl Observer for StopAfter {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::EpochEnd(_)) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    fn should_stop(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Ends a run after some steps.
struct StopAfterSteps(AtomicUsize);

impl Observer for StopAfterSteps {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Step { .. }) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    fn should_stop(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Copies the run folder at one step, as a kill at that moment would leave it.
struct Killed {
    run: PathBuf,
    copy: PathBuf,
    epoch: usize,
    step: usize,
}

impl Observer for Killed {
    fn event(&self, event: &Event<'_>) {
        if let Event::Step { epoch, done, .. } = *event
            && (epoch, done) == (self.epoch, self.step)
        {
            copy_folder(&self.run, &self.copy);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Keeps the lines.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn event(&self, event: &Event<'_>) {
        if let Event::Message(line) = event {
            self.0.lock().unwrap().push(line.to_string());
        }
    }
}

fn losses(summary: &RunSummary) -> Vec<f64> {
    summary.epochs.iter().map(|epoch| epoch.train_loss).collect()
}

#[test]
fn a_classifier_learns_three_colours() {
    let bench = Bench::classes();
    let changes =
        "model = 'vgg16_bn'\nepochs = 8\nwidth = 0.125\nlabel_smoothing = 0\nclass_weights = 'median'";
    let config = bench.config(Task::Classify, "run", changes);
    let lines = Lines::default();
    let summary = train(config, &lines).unwrap();
    let losses = losses(&summary);
    assert!(summary.finished && losses[7] < 0.6 * losses[0], "{losses:?}");
    let best = summary.best.unwrap();
    assert!(best.metric > 0.8, "{best:?}");
    let lines = lines.0.into_inner().unwrap().join("\n");
    for part in
        ["memory: about", "class weights: 0 1.000", "best weights: epoch 1, the first", "waiting for data"]
    {
        assert!(lines.contains(part), "{part} is not in\n{lines}");
    }
    let csv = String::from_utf8(bench.bytes("run", "metrics.csv")).unwrap();
    let rates: Vec<f64> =
        csv.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert!(rates.len() == 8 && rates[0] == 3e-3 && rates[7] < 1e-4, "{rates:?}");
    assert!(bench.path("run/eval/confusion.csv").exists() && bench.path("run/log.txt").exists());
    // The best weights do what the record says.
    let loaded = weights::read_model(bench.path("run/weights/best.safetensors")).unwrap();
    let mut model = Model::new(loaded.card, loaded.network, loaded.params, Isa::best()).unwrap();
    let mut right = 0.0;
    for class in 0..3 {
        for id in 0..4 {
            let image = read_image(&bench.path(&format!("val/{class}_{id}.png"))).unwrap();
            let shares = model.classify(&[image]).unwrap();
            right += f64::from(u8::from(shares.iter().all(|share| *share <= shares[class])));
        }
    }
    assert!((right / 12.0 - best.metric).abs() < 1e-9, "{right} of 12, {best:?}");
}

#[test]
fn a_segmentation_network_learns_water_and_forest() {
    let bench = Bench::tiles();
    let changes = "model = 'fcn8s'\nepochs = 6\nwidth = 0.125\nbatch_size = 2\nlr = 1e-3\nkeep_epochs = '2'\n\
                   validate_every = 2";
    let summary = train(bench.config(Task::Segment, "run", changes), &Silent).unwrap();
    let losses = losses(&summary);
    assert!(losses[5] < 0.7 * losses[0], "{losses:?}");
    assert!(bench.path("run/weights/epoch_0002.safetensors").exists());
    assert!(summary.epochs[0].validation.is_none() && summary.epochs[5].validation.is_some());
    for epoch in [1, 3, 6] {
        for tile in ["0010", "0097", "0107"] {
            let path = bench.path(&format!("run/masks/epoch_{epoch:04}/{tile}_mask.png"));
            let mask = read_mask(&path, &ClassMap::course()).unwrap();
            assert_eq!(mask.size(), [72, 56]);
            assert!(!mask.ids.contains(&6), "an ignored class is never predicted");
        }
    }
    assert!(!bench.path("run/masks/epoch_0002").exists());
    // The figure of the record is the grader's.
    let best = summary.best.unwrap();
    let loaded = weights::read_model(bench.path("run/weights/best.safetensors")).unwrap();
    assert!(loaded.card.classes.classes[6].ignored);
    let mut model = Model::new(loaded.card, loaded.network, loaded.params, Isa::best()).unwrap();
    fs::create_dir(bench.path("pred")).unwrap();
    for tile in ["0010", "0097", "0107", "0200"] {
        let image = read_image(&bench.path(&format!("val/{tile}_sat.png"))).unwrap();
        let mask = model.segment(&image).unwrap();
        let path = bench.path(&format!("pred/{tile}_mask.png"));
        write_mask_rgb(&mask, &ClassMap::course(), &path).unwrap();
    }
    let score = score(&bench.path("val"), &bench.path("pred")).unwrap();
    assert!((score.mean_iou.unwrap() - best.metric).abs() < 1e-12, "{score} {best:?}");
    assert!(best.metric > 0.4, "{best:?}");
}

#[test]
fn course_recipe_trains_whole_tiles_in_caffe_geometry() {
    let bench = Bench::tiles();
    let mut layer = Layer::new("test");
    for (key, value) in [("train", "train"), ("val", "val"), ("out", "run")] {
        layer.set(key, bench.path(value));
    }
    layer.set("task", Task::Segment);
    layer.set("preset", "course");
    layer.set("model", "fcn32s");
    let rest =
        Layer::from_toml_text("rest", "width = 0.03125\nepochs = 1\nlimit = 2\nverify = true").unwrap();
    let summary = train(TrainConfig::resolve(&[layer, rest]).unwrap(), &Silent).unwrap();
    assert_eq!((summary.epochs.len(), summary.epochs[0].step, summary.epochs[0].lr), (1, 1, 1e-3));
}

/// The rows of metrics.csv without what is measured by a clock.
fn curve(bench: &Bench, run: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(bench.bytes(run, "metrics.csv")).unwrap();
    let timed = ["images_per_s", "data_wait", "train_s", "validation_s", "elapsed_s"];
    let names: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells = line.split(',').zip(&names).filter(|(_, name)| !timed.contains(name));
        cells.map(|(cell, _)| cell.to_string()).collect()
    };
    text.lines().map(row).collect()
}

/// Whatever is random, and both optimisers, must not depend on threads or interruptions. `changes` are of a run of
/// two epochs of more than two steps.
fn same_bytes(bench: &Bench, task: Task, changes: &str) {
    let with = |threads: usize, workers: usize, every: &str| {
        format!("{changes}\nthreads = {threads}\nworkers = {workers}\ncheckpoint_every = '{every}'")
    };
    train(bench.config(task, "one", &with(1, 1, "1epoch")), &Silent).unwrap();
    train(bench.config(task, "two", &with(2, 3, "1epoch")), &Silent).unwrap();
    let stop = StopAfter(AtomicUsize::new(1));
    let summary = train(bench.config(task, "cut", &with(2, 1, "10m")), &stop).unwrap();
    assert!(!summary.finished && summary.epochs.len() == 1);
    // Rows after the checkpoint are cut off.
    let path = bench.path("cut/metrics.jsonl");
    let row = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{row}{}", row.replace("\"epoch\":1", "\"epoch\":2"))).unwrap();
    let summary = resume(&bench.path("cut"), None, &Silent).unwrap();
    assert!(summary.finished && !summary.already_finished);
    assert_eq!(summary.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2]);
    // Stopped within the first epoch, and again at its last step, on another number of threads.
    let summary =
        train(bench.config(task, "within", &with(2, 2, "10m")), &StopAfterSteps(AtomicUsize::new(1)));
    assert!(!summary.unwrap().finished);
    let steps = fs::read_to_string(bench.path("one/metrics.jsonl")).unwrap();
    let first: hectare_train::EpochRecord = serde_json::from_str(steps.lines().next().unwrap()).unwrap();
    let left = StopAfterSteps(AtomicUsize::new(first.step as usize - 1));
    let summary = resume(&bench.path("within"), Some(1), &left).unwrap();
    assert!(!summary.finished && summary.epochs.is_empty());
    assert!(resume(&bench.path("within"), Some(3), &Silent).unwrap().finished);
    // Killed within the second epoch, a step after its last checkpoint.
    let killed = Killed { run: bench.path("alive"), copy: bench.path("killed"), epoch: 2, step: 2 };
    train(bench.config(task, "alive", &with(2, 1, "1steps")), &killed).unwrap();
    assert!(resume(&bench.path("killed"), None, &Silent).unwrap().finished);
    let weights = fs::read_dir(bench.path("one/weights")).unwrap();
    let files: Vec<String> =
        weights.map(|entry| format!("weights/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    assert!(files.len() >= 2, "{files:?}");
    for run in ["two", "cut", "within", "alive", "killed"] {
        for file in files.iter().map(String::as_str).chain(["eval/protocol.json", "eval/confusion.csv"]) {
            assert!(bench.bytes(run, file) == bench.bytes("one", file), "{file} of {run}");
        }
        assert_eq!(curve(bench, run), curve(bench, "one"), "{run}");
    }
    assert!(resume(&bench.path("one"), None, &Silent).unwrap().already_finished);
    let again = train(bench.config(task, "one", &with(1, 1, "1epoch")), &Silent).unwrap_err();
    assert!(matches!(again, TrainError::HoldsCheckpoint(_)) && !again.began());
}

#[test]
fn classifier_gives_the_same_bytes_at_any_threads_and_after_a_resume() {
    let bench = Bench::classes();
    same_bytes(
        &bench,
        Task::Classify,
        "model = 'vgg16_bn'\nhead = 'hidden512'\nepochs = 2\nrotate = 10\nbrightness = 0.2\nclip_norm = 1.0\n\
         ema = 0.9\nholdout = 0.2\naccumulate = 2",
    );
}

#[test]
fn segmentation_gives_the_same_bytes_at_any_threads_and_after_a_resume() {
    let bench = Bench::tiles();
    same_bytes(
        &bench,
        Task::Segment,
        "model = 'fcn8s'\nepochs = 2\nbatch_size = 3\noptimiser = 'sgd'\nschedule = 'poly'\nloss = 'ce+lovasz@0.4'",
    );
}

#[test]
fn a_run_goes_on_without_the_files_it_began_without() {
    let bench = Bench::classes();
    let list = bench.path("list.txt");
    fs::write(&list, "train/0_3.png\ntrain/2_11.png\nval/1_0.png\n").unwrap();
    let changes = format!("epochs = 2\nexclude = '{}'", list.display());
    let summary = train(bench.config(Task::Classify, "whole", &changes), &Silent).unwrap();
    // 34 pictures are left of 36.
    assert_eq!(summary.epochs[0].step, 7);
    train(bench.config(Task::Classify, "cut", &changes), &StopAfterSteps(AtomicUsize::new(2))).unwrap();
    // Neither the list nor its place matters any more.
    fs::remove_file(&list).unwrap();
    assert!(resume(&bench.path("cut"), None, &Silent).unwrap().finished);
    let weights = "weights/last.safetensors";
    assert!(bench.bytes("cut", weights) == bench.bytes("whole", weights));
    let all = bench.config(Task::Classify, "all", "epochs = 2");
    train(all, &Silent).unwrap();
    assert!(bench.bytes("all", weights) != bench.bytes("whole", weights), "nothing was left out");
}

#[test]
fn a_share_is_held_out_and_the_average_is_measured() {
    let bench = Bench::classes();
    let changes = "epochs = 3\nholdout = 0.25\nema = 0.9\nvalidate_every = 2";
    let lines = Lines::default();
    let summary = train(bench.config(Task::Classify, "run", changes), &lines).unwrap();
    let lines = lines.0.into_inner().unwrap().join("\n");
    let (_, sizes) = lines.lines().next().unwrap().split_once(": ").unwrap();
    let numbers: Vec<usize> =
        sizes.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let (trained, held_out) = (numbers[0], numbers[1]);
    assert!(trained + held_out == 36 && held_out > 0, "{sizes}");
    assert_eq!(summary.epochs[0].step as usize, trained.div_ceil(5));
    assert!(summary.epochs[0].holdout.is_none());
    let last = &summary.epochs[2];
    assert!(last.holdout.is_some() && last.ema_validation.is_some() && last.ema_holdout.is_some());
    let picks = summary.picks.unwrap();
    assert_eq!((picks.rows().len(), picks.last.epoch), (4, 3));
    assert!(picks.on_holdout.as_ref().unwrap().holdout.is_some());
    let json: serde_json::Value = serde_json::from_slice(&bench.bytes("run", "eval/protocol.json")).unwrap();
    assert_eq!(json["last"]["validation"].as_f64(), Some(picks.last.validation));
    assert!(lines.contains("picked on holdout: epoch"), "{lines}");
    // The figures belong to the files: the averaged weights are the ones that the record measured.
    let measured = |file: &str| {
        let loaded = weights::read_model(bench.path("run").join(file)).unwrap();
        let mut model = Model::new(loaded.card, loaded.network, loaded.params, Isa::best()).unwrap();
        let set = hectare_data::ClassificationSet::open(&bench.path("val")).unwrap();
        let (recipe, network) = model.parts();
        let settings = hectare_train::EvaluationSettings::default();
        let found = hectare_train::evaluate_classification(recipe, network, &set.samples, &settings).unwrap();
        (found.confusion.accuracy(), found.loss.mean())
    };
    for (file, figures) in [
        ("weights/last.safetensors", last.validation.as_ref().unwrap()),
        ("weights/ema.safetensors", last.ema_validation.as_ref().unwrap()),
    ] {
        let (accuracy, loss) = measured(file);
        assert!((loss - figures.loss).abs() < 1e-6 && accuracy == figures.accuracy, "{file}");
    }
    assert_ne!(bench.bytes("run", "weights/last.safetensors"), bench.bytes("run", "weights/ema.safetensors"));
    for (_, pick) in picks.rows() {
        assert_eq!(measured(pick.file).0, pick.validation, "{}", pick.file);
    }
}

#[test]
fn a_run_of_some_steps_ends_within_an_epoch() {
    let bench = Bench::classes();
    let summary = train(bench.config(Task::Classify, "run", "steps = 10"), &Silent).unwrap();
    assert_eq!(summary.epochs.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [8, 10]);
    // A warm-up of an epoch would take eight of the ten steps: it takes five, and five go down the cosine.
    let last = 3e-3 * 0.5 * (1.0 + (0.8 * std::f64::consts::PI).cos());
    assert!(summary.epochs[1].validation.is_some() && (summary.epochs[1].lr - last).abs() < 1e-12);
    let config = String::from_utf8(bench.bytes("run", "config.toml")).unwrap();
    assert!(config.contains("epochs = 2\n") && config.contains("steps = 10\n"), "{config}");
    assert!(config.contains("warmup_epochs = 0.625\n"), "{config}");
    // What a kill after the last checkpoint leaves out is written.
    let protocol = bench.bytes("run", "eval/protocol.json");
    fs::remove_file(bench.path("run/eval/protocol.json")).unwrap();
    assert!(resume(&bench.path("run"), None, &Silent).unwrap().already_finished);
    assert!(bench.bytes("run", "eval/protocol.json") == protocol);
}

#[test]
fn epochs_that_do_not_come_are_named() {
    let bench = Bench::classes();
    let lines = Lines::default();
    train(bench.config(Task::Classify, "run", "steps = 3\nkeep_epochs = [1, 4]"), &lines).unwrap();
    let lines = lines.0.into_inner().unwrap().join("\n");
    assert!(lines.contains("--keep-epochs 1,4: epoch 4 is after the last, 1"), "{lines}");
    assert!(lines.contains("warm-up of 0.19 epochs instead of 1"), "{lines}");
}

#[test]
fn hours_become_steps_once() {
    let bench = Bench::classes();
    let steps = || {
        let config = String::from_utf8(bench.bytes("run", "config.toml")).unwrap();
        let line = config.lines().find(|line| line.starts_with("steps = ")).map(str::to_string);
        line.unwrap_or_else(|| panic!("{config}"))
    };
    let config = bench.config(Task::Classify, "run", "hours = 0.02\nema = 0.99");
    assert!(!train(config, &StopAfterSteps(AtomicUsize::new(2))).unwrap().finished);
    let planned = steps();
    let summary = resume(&bench.path("run"), None, &StopAfterSteps(AtomicUsize::new(2))).unwrap();
    assert!(!summary.finished && steps() == planned);
    // Timing leaves no trace: the same steps without hours give the same weights.
    let config = bench.config(Task::Classify, "plain", &format!("{planned}\nema = 0.99"));
    assert!(!train(config, &StopAfterSteps(AtomicUsize::new(4))).unwrap().finished);
    let file = "weights/last.safetensors";
    assert!(bench.bytes("run", file) == bench.bytes("plain", file));
}

#[test]
fn a_loss_of_regions_joins_in_when_asked() {
    let bench = Bench::tiles();
    let run = |name: &str, loss: &str| {
        let changes = format!("model = 'fcn8s'\nepochs = 2\nloss = '{loss}'");
        let summary = train(bench.config(Task::Segment, name, &changes), &Silent).unwrap();
        (losses(&summary), bench.bytes(name, "weights/last.safetensors"))
    };
    let (plain, weights) = run("plain", "ce");
    for (name, kind) in [("lovasz", "ce+lovasz"), ("dice", "ce+dice")] {
        let (beside, changed) = run(name, kind);
        // Either loss of a network that knows nothing is near its largest, 1.
        assert!(beside[0] > plain[0] + 0.2 && changed != weights, "{beside:?} {plain:?}");
        let (late, changed) = run(&format!("late_{name}"), &format!("{kind}@0.5"));
        assert!(late[0] == plain[0] && late[1] > plain[1] + 0.1 && changed != weights, "{late:?} {plain:?}");
    }
}

#[test]
fn a_finer_network_begins_as_a_coarser_one() {
    let bench = Bench::tiles();
    let changes = "model = 'fcn32s'\nepochs = 2\nwidth = 0.125\nholdout = 0.3";
    let parent = train(bench.config(Task::Segment, "coarse", changes), &Silent).unwrap();
    let known = parent.picks.unwrap().on_holdout.unwrap().validation;
    let finer = |name: &str, init: &str, more: &str| {
        let init = bench.path(init);
        let changes = format!(
            "model = 'fcn8s'\nepochs = 1\nwidth = 0.125\nlr = 1e-6\ninit = '{}'\n{more}",
            init.display()
        );
        let lines = Lines::default();
        train(bench.config(Task::Segment, name, &changes), &lines).unwrap();
        lines.0.into_inner().unwrap().join("\n")
    };
    let lines = finer("fine", "coarse", "");
    assert!(lines.contains(&format!("mean_iou on the validation set: {known:.6} of fcn32s")), "{lines}");
    assert!(
        lines.contains("best_holdout.safetensors") && lines.contains("as fcn8s before the first"),
        "{lines}"
    );
    // Measured anew where the parent's run has not measured it.
    let again = finer("again", "coarse/weights/last.safetensors", "val_limit = 3");
    assert!(
        again.contains("mean_iou on the validation set:") && again.contains("last.safetensors"),
        "{again}"
    );
    // The classes come with the weights, and what is said of them does too.
    let other = finer("other", "coarse", "ignore = []");
    assert!(other.contains("Unknown is left out of the loss"), "{other}");
    // A second leg sees the first one's crops again, unless it has a seed of its own.
    assert!(!lines.contains("had --seed"), "{lines}");
    assert!(finer("second", "fine", "").contains("had --seed 1 too"));
    assert!(!finer("third", "fine", "seed = 2").contains("had --seed"));
    let score = weights::read(bench.path("fine/weights/last.safetensors")).unwrap();
    assert!(score.get("score_pool3.weight").unwrap().values().unwrap().iter().all(|x| x.abs() < 1e-4));
}

#[test]
fn batches_accumulate_to_a_larger_one() {
    let bench = Bench::classes();
    let run = |name: &str, size: &str| {
        let changes = format!(
            "epochs = 1\nlabel_smoothing = 0.1\nclass_weights = '1,2,3'\noptimiser = 'sgd'\n\
                               lr = 0.01\n{size}"
        );
        train(bench.config(Task::Classify, name, &changes), &Silent).unwrap();
        weights::read(bench.path(name).join("weights/last.safetensors")).unwrap()
    };
    let (whole, parts) = (run("whole", "batch_size = 12"), run("parts", "batch_size = 4\naccumulate = 3"));
    let other = run("other", "batch_size = 4");
    let far = |a: &weights::WeightFile, b: &weights::WeightFile| {
        let values = |file: &weights::WeightFile| -> Vec<f32> {
            file.tensors.iter().flat_map(|tensor| tensor.values().unwrap().into_owned()).collect()
        };
        values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(far(&whole, &parts) < 1e-5, "{}", far(&whole, &parts));
    assert!(far(&whole, &other) > 1e-3, "{}", far(&whole, &other));
}

#[test]
fn frozen_nodes_stay_and_factors_count() {
    let bench = Bench::classes();
    let run = |name: &str, more: &str| {
        let changes = format!(
            "epochs = 1\noptimiser = 'sgd'\nmomentum = 0\nsteps = 1\nwarmup_epochs = 0\nwidth = 0.125\n{more}"
        );
        train(bench.config(Task::Classify, name, &changes), &Silent).unwrap();
        weights::read(bench.path(name).join("weights/last.safetensors")).unwrap()
    };
    let start = run("start", "lr = 1e-30");
    let plain = run("plain", "lr = 0.5");
    let frozen = run("frozen", "lr = 0.5\nfreeze = ['features.0', 'fc.*']\nlr_factor = ['features.2=0.5']");
    let moved = |file: &weights::WeightFile, name: &str| -> Vec<f32> {
        let of = |file: &weights::WeightFile| file.get(name).unwrap().values().unwrap().into_owned();
        of(file).iter().zip(of(&start)).map(|(a, b)| a - b).collect()
    };
    for name in ["features.0.weight", "features.0.bias", "fc.0.weight", "fc.0.bias"] {
        assert!(moved(&frozen, name).iter().all(|x| x.abs() < 1e-20), "{name}");
        assert!(moved(&plain, name).iter().any(|x| x.abs() > 1e-6), "{name}");
    }
    let pairs = moved(&frozen, "features.2.weight").into_iter().zip(moved(&plain, "features.2.weight"));
    for (half, whole) in pairs {
        assert!((2.0 * half - whole).abs() < 1e-5, "{half} {whole}");
    }
    let last = |file| moved(file, "features.28.weight");
    assert!(last(&frozen).iter().zip(last(&plain)).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn a_run_resumes_from_the_moment_its_settings_exist() {
    let bench = Bench::classes();
    let whole = train(bench.config(Task::Classify, "whole", "epochs = 1"), &Silent).unwrap();
    assert!(whole.finished);
    fs::create_dir(bench.path("bare")).unwrap();
    let config = bench.config(Task::Classify, "bare", "epochs = 1");
    fs::write(bench.path("bare/config.toml"), config.to_toml()).unwrap();
    assert!(resume(&bench.path("bare"), None, &Silent).unwrap().finished);
    let file = "weights/last.safetensors";
    assert!(bench.bytes("bare", file) == bench.bytes("whole", file));
}

#[test]
fn a_run_goes_on_from_given_weights() {
    let bench = Bench::classes();
    train(bench.config(Task::Classify, "first", "epochs = 1"), &Silent).unwrap();
    let init = bench.path("first/weights/last.safetensors");
    let frozen = format!("epochs = 1\ninit = '{}'\ntrunk_lr_factor = 0", init.display());
    let lines = Lines::default();
    train(bench.config(Task::Classify, "second", &frozen), &lines).unwrap();
    assert!(lines.0.into_inner().unwrap().join("\n").contains("features.0.weight"));
    let tensor = |run: &str, name: &str| {
        let file = weights::read(bench.path(run).join("weights/last.safetensors")).unwrap();
        file.get(name).unwrap().values().unwrap().into_owned()
    };
    assert_eq!(tensor("first", "features.0.weight"), tensor("second", "features.0.weight"));
    assert_ne!(tensor("first", "fc.0.weight"), tensor("second", "fc.0.weight"));
    let wider = format!("epochs = 1\nwidth = 0.0625\ninit = '{}'", init.display());
    let error = train(bench.config(Task::Classify, "third", &wider), &Silent).unwrap_err();
    assert!(!error.began() && !bench.path("third").exists(), "{error}");
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let bench = Bench::tiles();
    let refuse = |changes: &str, part: &str| {
        let config = bench.config(Task::Segment, "run", changes);
        let error = train(config, &Silent).unwrap_err();
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
        assert!(!error.began() && !bench.path("run").exists(), "{error}");
    };
    refuse("snapshot = ['9999']", "--snapshot 9999");
    refuse("ignore = ['Swamp']", "--ignore Swamp");
    refuse("class_weights = '1,2'", "--class-weights has 2 numbers");
    refuse("holdout = 0.0001", "--holdout 0.0001 holds out none");
    refuse("holdout = 0.9999", "--holdout 0.9999 leaves no picture");
    refuse("freeze = ['features.0', 'fc.0']", "--freeze fc.0");
    refuse("lr_factor = ['feature.*=0.1']", "--lr-factor feature.*");
    refuse("freeze = ['*']", "every layer is frozen");
    refuse("init = '/nowhere/w.safetensors'", "/nowhere/w.safetensors");
    refuse("train = '/nowhere'", "/nowhere");
    refuse("out = '/proc/hectare/run'", "/proc");
    refuse("head_kernel = 4", "head_kernel must be odd");
    refuse("geometry = 'caffe'\nhead_kernel = 3", "head_kernel must be 7 in the caffe geometry");
    // A mask of another size, an unlisted colour, a cut picture.
    let mask = Mask::filled(10, 10, 3);
    let last = bench.path("train/0009_mask.png");
    let good = fs::read(&last).unwrap();
    write_mask_rgb(&mask, &ClassMap::course(), &last).unwrap();
    refuse("", "0009_mask.png");
    write_png(&Image::from_fn(64, 64, |_, _| [9, 9, 9]), &last).unwrap();
    refuse("", "9,9,9");
    fs::write(&last, &good[..good.len() / 2]).unwrap();
    refuse("", "0009_mask.png");
    fs::write(&last, good).unwrap();
    draw_tiles(&bench.path("train"), &["0500"], 80, 64);
    refuse("input = 'whole'", "--batch-size 1");
    fs::remove_dir_all(bench.path("val")).unwrap();
    fs::create_dir(bench.path("val")).unwrap();
    refuse("", "val");
}

#[test]
fn a_rate_that_is_far_too_high_ends_with_a_clear_error() {
    let bench = Bench::classes();
    let changes = "epochs = 4\noptimiser = 'sgd'\nlr = 1e30\nwarmup_epochs = 0\ncheckpoint_every = '1steps'";
    let error = train(bench.config(Task::Classify, "run", changes), &Silent).unwrap_err();
    let text = error.to_string();
    assert!(error.began() && text.contains("lower --lr"), "{text}");
    assert!(text.contains("step 2") && text.contains("at node features."), "{text}");
    assert!(text.contains("; its pictures: ") && text.contains(".png"), "{text}");
    // What was written last is whole, and finite.
    assert!(text.contains("the checkpoint after step 1 stays"), "{text}");
    weights::read_model(bench.path("run/weights/last.safetensors")).unwrap();
}
