//! `hectare bench`: names, JSON, files. How long anything takes is not tested.

use crate::support::{Place, npy};

#[test]
fn list_names_networks_and_layers() {
    let said = Place::new().hectare("bench --list").exits(0);
    let names: Vec<&str> = said.out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    for name in [
        "trunk-predict-8x128",
        "trunk-predict-1x512",
        "trunk-predict-1x2048",
        "classifier-train-8x128",
        "fcn8s-predict-1x512",
        "fcn8s-train-1x512",
        "fcn32s-predict-1x512",
        "conv1_1-weight-grad-8x128",
        "conv5_1-input-grad-8x128",
        "fc6-forward-1x512",
        "fc7-forward-1x512",
    ] {
        assert!(names.contains(&name), "{name} is not in\n{}", said.out);
    }
}

#[test]
fn json_has_the_figures_of_every_workload() {
    let place = Place::new();
    let names = ["conv5_1-forward-8x128", "conv5_1-input-grad-8x128", "conv5_1-weight-grad-8x128"];
    let only: Vec<String> = names.iter().map(|name| format!("--only {name}")).collect();
    // Several workloads are measured in processes of their own.
    let line = format!("bench {} --runs 3 --warm-up 0 --threads 1 --json", only.join(" "));
    let json = place.hectare(&line).exits(0).json();
    for key in ["cpu", "cores", "threads", "isa", "version", "memory_mib"] {
        assert!(json["machine"].get(key).is_some(), "no {key} in {json}");
    }
    assert_eq!(json["machine"]["threads"], 1);
    let workloads = json["workloads"].as_array().unwrap();
    let found: Vec<&str> = workloads.iter().map(|workload| workload["name"].as_str().unwrap()).collect();
    assert_eq!(found, names);
    for workload in workloads {
        let number = |key: &str| workload[key].as_f64().unwrap_or_else(|| panic!("no {key} in {workload}"));
        let times: Vec<f64> =
            workload["times_s"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
        assert_eq!((times.len(), number("threads")), (3, 1.0));
        let [min, median, max] = ["min_s", "median_s", "max_s"].map(number);
        assert!(0.0 < min && min <= median && median <= max);
        assert!([min, median, max].iter().all(|figure| times.contains(figure)));
        assert!((number("images_per_s") * median - 8.0).abs() < 1e-9);
        assert!((number("gflops") * median - number("gflop")).abs() < 1e-6);
        assert!(!cfg!(target_os = "linux") || number("peak_mib") > 1.0);
    }
}

#[test]
fn layers_whose_weights_are_not_packed_run_too() {
    for name in ["fc6-forward-1x512", "fc6-input-grad-1x512"] {
        let said = Place::new().hectare(&format!("bench --only {name} --runs 1 --warm-up 0")).exits(0);
        assert!(said.out.contains(name), "{}", said.out);
    }
}

#[test]
fn text_has_a_line_for_the_workload() {
    let said = Place::new().hectare("bench --only conv5_1-forward-8x128 --runs 1 --warm-up 0").exits(0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("hectare ") && lines[0].contains("thread"), "{}", said.out);
    assert!(lines[3].starts_with("conv5_1-forward-8x128 "), "{}", said.out);
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2].split("  ").filter(|cell| !cell.is_empty()).count(), 8);
    assert_eq!(lines[2].len(), lines[3].len());
}

#[test]
fn a_prediction_runs_on_the_files_given() {
    let place = Place::new();
    place.hectare("init vgg16 --seed 1 --out full.safetensors").exits(0);
    let image = |path: &str, scale: f32, side: usize| {
        let data: Vec<f32> =
            (0..3 * side * side).map(|i| scale * ((i * 7919 % 83) as f32 - 41.0) / 64.0).collect();
        hectare_train::npy::write(&place.at(path), &[1, 3, side, side], &data).unwrap();
    };
    image("a.npy", 1.0, 128);
    image("b.npy", 2.0, 128);
    image("small.npy", 1.0, 64);
    let bench = "bench --only trunk-predict-1x128 --runs 1 --warm-up 0 --weights full.safetensors";
    place.hectare(&format!("{bench} --input a.npy --save a/out.npy")).exits(0);
    place.hectare(&format!("{bench} --input b.npy --save b.out.npy --threads 1")).exits(0);
    let (shape, a) = npy(&place.at("a/out.npy"));
    let (_, b) = npy(&place.at("b.out.npy"));
    assert_eq!(shape, "1, 512, 4, 4");
    // Fresh weights have no biases: twice the input gives exactly twice the features.
    assert!(a.iter().any(|x| *x > 0.0));
    assert!(a.iter().zip(&b).all(|(a, b)| 2.0 * a == *b));

    let in_bf16 = format!("{bench} --input a.npy --save c.npy --precision bf16");
    if hectare_kernels::Isa::bf16().is_some() {
        place.hectare(&in_bf16).exits(0);
        let (_, c) = npy(&place.at("c.npy"));
        let size: f32 = a.iter().map(|x| x * x).sum();
        let off: f32 = a.iter().zip(&c).map(|(a, c)| (a - c).powi(2)).sum();
        assert!(off > 0.0 && off < 1e-3 * size, "{off} of {size}");
    } else {
        place.refuses(&in_bf16, &["--precision bf16", "AMX", "f32"]);
    }

    place.refuses(&format!("{bench} --input small.npy"), &["small.npy", "1x3x64x64", "1x3x128x128"]);
    place.refuses(&format!("{bench} --input nowhere.npy"), &["nowhere.npy"]);
    place.init("vgg16", "narrow.safetensors", "");
    let narrow = bench.replace("full", "narrow");
    place.refuses(&narrow, &["narrow.safetensors", "features.0.weight"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    place.refuses("bench --only conv9_9", &["conv9_9", "trunk-predict-8x128", "fc7-weight-grad-1x512"]);
    place.refuses("bench --only fc6-forward-1x512 --save x.npy", &["fc6-forward-1x512", "--save"]);
    place.refuses("bench --only classifier-train-8x128 --input x.npy", &["classifier-train-8x128"]);
    place.refuses("bench --save x.npy", &["--only"]);
    place.refuses("bench --only trunk-predict-1x128 --save .", &["folder"]);
    place.refuses(
        "bench --only trunk-predict-1x128 --only trunk-predict-1x256 --weights x.safetensors",
        &["--weights"],
    );
}
