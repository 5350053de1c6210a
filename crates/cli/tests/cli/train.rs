//! Training, from a fresh start to a run that goes on.

use crate::support::Place;

const SEGMENT: &str =
    "train segment --model fcn8s --width 0.03125 --batch-size 2 --input 32 --train tiles --val tiles";
const CLASSIFY: &str =
    "train classify --width 0.0625 --batch-size 4 --input 32 --train pictures --val pictures";

#[test]
fn the_same_weights_with_one_and_two_threads() {
    let place = Place::new();
    place.tiles("tiles", 4, 48);
    place.pictures("pictures", 2, 6);
    for line in [SEGMENT, CLASSIFY] {
        place.hectare(&format!("{line} --epochs 2 --out one --threads 1")).exits(0);
        place.hectare(&format!("{line} --epochs 2 --out two --threads 2")).exits(0);
        for file in ["weights/last.safetensors", "weights/best.safetensors"] {
            let bytes = |run: &str| std::fs::read(place.at(run).join(file)).unwrap();
            assert!(bytes("one") == bytes("two"), "{file} differs for {line}");
        }
        for run in ["one", "two"] {
            std::fs::remove_dir_all(place.at(run)).unwrap();
        }
    }
}

#[test]
fn a_run_folder_holds_what_it_should() {
    let place = Place::new();
    place.tiles("tiles", 4, 48);
    let said = place
        .hectare(&format!(
            "{SEGMENT} --epochs 2 --out run --snapshot 0001 --snapshot-epochs 1,2 --keep-epochs 2"
        ))
        .exits(0);
    assert!(said.out.contains("best"), "{said:?}");
    for file in [
        "config.toml",
        "env.json",
        "classes.toml",
        "metrics.csv",
        "metrics.jsonl",
        "log.txt",
        "weights/last.safetensors",
        "weights/best.safetensors",
        "masks/epoch_0001/0001_mask.png",
        "masks/epoch_0002/0001_mask.png",
        "eval/confusion.csv",
        "eval/protocol.json",
    ] {
        assert!(place.at("run").join(file).is_file(), "{file}");
    }
    let csv = std::fs::read_to_string(place.at("run/metrics.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    place.refuses(&format!("{SEGMENT} --epochs 2 --out run"), &["run", "--resume"]);
    // A finished run has nothing left to do.
    let before = std::fs::read(place.at("run/weights/last.safetensors")).unwrap();
    place.hectare("train --resume run").exits(0);
    assert!(before == std::fs::read(place.at("run/weights/last.safetensors")).unwrap());
    // The weights serve the other commands, and the ignored class is never predicted.
    place.hectare("eval run/weights/best.safetensors --data tiles").exits(0);
    let json = place.hectare("eval run/weights/best.safetensors --data tiles --tta --json").exits(0).json();
    assert!(json["tta"] == true && json["mean_iou"].is_number(), "{json}");
    place.hectare("predict run/weights/last.safetensors tiles --out positions --tta").exits(0);
    assert!(place.at("positions/0003_mask.png").is_file());
    place.hectare("predict run/weights/last.safetensors tiles --out out").exits(0);
    let mask = image::open(place.at("out/0000_mask.png")).unwrap().into_rgb8();
    assert!(mask.pixels().all(|pixel| pixel.0 != [0, 0, 0]));
}

#[test]
fn a_classifier_learns_and_predicts() {
    let place = Place::new();
    place.pictures("pictures", 3, 10);
    let line = CLASSIFY.replace("train classify", "train classify --model vgg16_bn");
    place.hectare(&format!("{line} --epochs 6 --lr 0.003 --trunk-lr-factor 1 --out run")).exits(0);
    let json = place.hectare("eval run/weights/best.safetensors --data pictures --json").exits(0).json();
    assert!(json["accuracy"].as_f64().unwrap() > 0.6, "{json}");
    let said = place.hectare("eval run/weights/best.safetensors --data pictures --tta").exits(0);
    assert!(said.out.contains("averaged over positions"), "{said:?}");
    place.hectare("predict run/weights/best.safetensors pictures --out out").exits(0);
}

#[test]
fn flags_win_over_the_file_and_a_part_of_the_weights_may_do() {
    let place = Place::new();
    place.tiles("tiles", 2, 48);
    place.init("vgg16", "trunk.safetensors", "");
    std::fs::write(place.at("my.toml"), "epochs = 9\nbatch-size = 1\nflip_h = false\n").unwrap();
    let line = SEGMENT.replace("--batch-size 2 ", "");
    let said = place
        .hectare(&format!("{line} --config my.toml --epochs 1 --quarter-turns=false --out run --init trunk.safetensors --partial"))
        .exits(0);
    assert!(said.err.contains("features.0.weight"), "{said:?}");
    let config = std::fs::read_to_string(place.at("run/config.toml")).unwrap();
    for line in
        ["epochs = 1\n", "batch_size = 1\n", "flip_h = false\n", "quarter_turns = false\n", "flip_v = true\n"]
    {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }
}

#[test]
fn the_course_preset_and_the_u_net_train_too() {
    let place = Place::new();
    place.tiles("tiles", 2, 48);
    let base = "--width 0.03125 --batch-size 2 --epochs 1 --train tiles --val tiles";
    place.hectare(&format!("train segment --model fcn32s --preset course {base} --out a")).exits(0);
    let config = std::fs::read_to_string(place.at("a/config.toml")).unwrap();
    assert!(config.contains("geometry = \"caffe\""), "{config}");
    place.hectare(&format!("train segment --model vgg16_unet --input 32 {base} --out b")).exits(0);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_with_a_checkpoint() {
    ends_with_a_checkpoint("");
    if hectare_kernels::Isa::bf16().is_some() {
        ends_with_a_checkpoint("--precision bf16");
    }
}

/// The run that is gone on with is not told its precision again.
#[cfg(unix)]
fn ends_with_a_checkpoint(precision: &str) {
    let place = Place::new();
    place.tiles("tiles", 4, 48);
    let line = format!("{SEGMENT} --epochs 60 --validate-every 30 --ema 0.9 {precision}");
    place.hectare(&format!("{line} --out whole")).exits(0);
    let line = format!("{line} --checkpoint-every 1step --out cut");
    let mut child = place
        .command(&line)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while !place.at("cut/state/last.state").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended on its own");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let killed =
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped after") && said.contains("--resume"), "{said}");
    let said = place.hectare("train --resume cut --threads 1").exits(0);
    assert!(said.err.contains("resumed after") && !said.err.contains("goes on with"), "{}", said.err);
    for file in ["weights/last.safetensors", "weights/ema.safetensors", "weights/best.safetensors"] {
        let bytes = |run: &str| std::fs::read(place.at(run).join(file)).unwrap();
        assert!(bytes("cut") == bytes("whole"), "{file}");
    }
}

#[test]
fn the_length_of_a_run_is_given_once() {
    let place = Place::new();
    place.pictures("pictures", 2, 6);
    place.refuses(&format!("{CLASSIFY} --out run --epochs 2 --hours 1"), &["--epochs", "--hours"]);
    std::fs::write(place.at("two.toml"), "epochs = 2\nhours = 1\n").unwrap();
    place.refuses(&format!("{CLASSIFY} --out run --config two.toml"), &["--hours", "excludes"]);
    // A flag takes the place of another length in the file.
    std::fs::write(place.at("one.toml"), "hours = 1\n").unwrap();
    place.hectare(&format!("{CLASSIFY} --out run --config one.toml --steps 2")).exits(0);
    let config = std::fs::read_to_string(place.at("run/config.toml")).unwrap();
    assert!(config.contains("steps = 2\n") && !config.contains("hours"), "{config}");
}
