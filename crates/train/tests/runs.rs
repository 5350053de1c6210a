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
        "model = 'vgg16_bn'\nepochs = 8\nwidth = 0.125\nlabel_smoothing = 0\nclass_weights = 'auto'";
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

/// Whatever is random, and both optimisers, must not depend on threads or interruptions.
fn same_bytes(bench: &Bench, task: Task, changes: &str) {
    let with =
        |threads: usize, workers: usize| format!("{changes}\nthreads = {threads}\nworkers = {workers}");
    train(bench.config(task, "one", &with(1, 1)), &Silent).unwrap();
    train(bench.config(task, "two", &with(2, 3)), &Silent).unwrap();
    let stop = StopAfter(AtomicUsize::new(1));
    let summary = train(bench.config(task, "cut", &with(2, 1)), &stop).unwrap();
    assert!(!summary.finished && summary.epochs.len() == 1);
    // Rows after the checkpoint are cut off.
    let path = bench.path("cut/metrics.jsonl");
    let row = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{row}{}", row.replace("\"epoch\":1", "\"epoch\":2"))).unwrap();
    let summary = resume(&bench.path("cut"), &Silent).unwrap();
    assert!(summary.finished && !summary.already_finished);
    assert_eq!(summary.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2]);
    for file in ["weights/last.safetensors", "weights/best.safetensors"] {
        let expected = bench.bytes("one", file);
        assert!(bench.bytes("two", file) == expected, "{file}: two threads");
        assert!(bench.bytes("cut", file) == expected, "{file}: resumed");
    }
    assert!(resume(&bench.path("one"), &Silent).unwrap().already_finished);
    let again = train(bench.config(task, "one", &with(1, 1)), &Silent).unwrap_err();
    assert!(matches!(again, TrainError::HoldsCheckpoint(_)) && !again.began());
}

#[test]
fn classifier_gives_the_same_bytes_at_any_threads_and_after_a_resume() {
    let bench = Bench::classes();
    same_bytes(
        &bench,
        Task::Classify,
        "model = 'vgg16_bn'\nhead = 'hidden512'\nepochs = 2\nrotate = 10\nbrightness = 0.2\nclip_norm = 1.0",
    );
}

#[test]
fn segmentation_gives_the_same_bytes_at_any_threads_and_after_a_resume() {
    let bench = Bench::tiles();
    same_bytes(&bench, Task::Segment, "model = 'fcn8s'\nepochs = 2\noptimiser = 'sgd'\nschedule = 'poly'");
}

#[test]
fn a_run_resumes_from_the_moment_its_settings_exist() {
    let bench = Bench::classes();
    let whole = train(bench.config(Task::Classify, "whole", "epochs = 1"), &Silent).unwrap();
    assert!(whole.finished);
    fs::create_dir(bench.path("bare")).unwrap();
    let config = bench.config(Task::Classify, "bare", "epochs = 1");
    fs::write(bench.path("bare/config.toml"), config.to_toml()).unwrap();
    assert!(resume(&bench.path("bare"), &Silent).unwrap().finished);
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
        file.get(name).unwrap().data.clone()
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
    refuse("init = '/nowhere/w.safetensors'", "/nowhere/w.safetensors");
    refuse("train = '/nowhere'", "/nowhere");
    refuse("out = '/proc/hectare/run'", "/proc");
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
    let changes = "epochs = 4\noptimiser = 'sgd'\nlr = 1e30\nwarmup_epochs = 0";
    let error = train(bench.config(Task::Classify, "run", changes), &Silent).unwrap_err();
    assert!(error.began() && error.to_string().contains("lower --lr"), "{error}");
}
