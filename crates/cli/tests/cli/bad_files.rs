//! Files that are damaged, of another kind, or made to do harm: exit code 2, a message that names the file, and
//! nothing written. `docs/reliability.md` lists them.

use crate::support::Place;

const SEGMENT: &str =
    "train segment --width 0.03125 --epochs 1 --batch-size 2 --input 32 --out run --val tiles";
const CLASSIFY: &str = "train classify --width 0.03125 --epochs 1 --batch-size 2 --input 32 --out run";

/// A place with good tiles and pictures, and a segmentation model `m`.
fn place() -> Place {
    let place = Place::new();
    place.init("fcn8s", "m.safetensors", "");
    place.tiles("tiles", 3, 48);
    place.pictures("pictures", 3, 2);
    place
}

/// Puts `bytes` where a picture was, and expects every reader of pictures to refuse it and the check to find it.
fn bad_picture(bytes: &[u8], word: &str) {
    let place = place();
    for file in ["tiles/0001_sat.png", "pictures/1_1.png"] {
        std::fs::write(place.at(file), bytes).unwrap();
    }
    place.refuses("predict m.safetensors tiles --out out", &["0001_sat.png", word]);
    place.refuses("eval m.safetensors --data tiles", &["0001_sat.png", word]);
    place.refuses(&format!("{SEGMENT} --train tiles"), &["0001_sat.png", word]);
    place.refuses(&format!("{CLASSIFY} --train pictures --val pictures"), &["1_1.png", word]);
    for folder in ["tiles", "pictures"] {
        let said = place.hectare(&format!("data check {folder}")).exits(1);
        assert!(said.out.contains(word), "{said:?}");
    }
}

#[test]
fn a_picture_without_bytes() {
    bad_picture(b"", "the file is empty");
}

#[test]
fn a_text_called_a_picture() {
    bad_picture(b"a picture says more than a thousand words", "neither a PNG nor a JPEG file");
}

#[test]
fn a_png_that_ends_early() {
    let place = place();
    let whole = std::fs::read(place.at("tiles/0000_sat.png")).unwrap();
    bad_picture(&whole[..whole.len() / 2], "the file is truncated");
}

#[test]
fn a_png_with_a_flipped_bit() {
    let place = place();
    let mut bytes = std::fs::read(place.at("tiles/0000_sat.png")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bad_picture(&bytes, "does not decode");
}

/// A PNG header that promises 400 million pixels.
#[test]
fn a_decompression_bomb() {
    let place = place();
    let mut bytes = std::fs::read(place.at("tiles/0000_sat.png")).unwrap();
    bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bad_picture(&bytes, "20000x20000 pixels, more than the limit of 178 million");
    std::fs::create_dir(place.at("masks")).unwrap();
    std::fs::write(place.at("masks/0000_mask.png"), &bytes).unwrap();
    place.refuses("score --labels masks --pred masks", &["0000_mask.png", "more than the limit"]);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// An arithmetic-coded JPEG, which nobody writes and we do not read.
#[test]
fn a_jpeg_of_an_unsupported_kind() {
    bad_picture(
        b"\xff\xd8\xff\xc9\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xd9",
        "a lossless, hierarchical or arithmetic JPEG is not supported",
    );
}

#[test]
fn a_mask_of_unknown_class_ids() {
    let place = place();
    let ids = image::GrayImage::from_fn(48, 48, |x, _| image::Luma([if x < 4 { 40 } else { 2 }]));
    ids.save(place.at("tiles/0001_mask.png")).unwrap();
    let words = ["0001_mask.png", "192 pixels of class id 40", "ids 0 to 6"];
    place.refuses("eval m.safetensors --data tiles", &words);
    place.refuses(&format!("{SEGMENT} --train tiles"), &words);
    let said = place.hectare("data check tiles").exits(1);
    assert!(words.iter().all(|word| said.out.contains(word)), "{said:?}");
}

#[test]
fn pictures_without_masks() {
    let place = place();
    for index in 0..3 {
        std::fs::remove_file(place.at(&format!("tiles/{index:04}_mask.png"))).unwrap();
    }
    place.refuses("data check tiles --task segment", &["tiles", "0010_mask.png"]);
    place.refuses("eval m.safetensors --data tiles", &["tiles", "holds no samples"]);
}

#[test]
fn two_pictures_of_one_sample() {
    let place = place();
    std::fs::copy(place.at("tiles/0001_sat.png"), place.at("tiles/0001.png")).unwrap();
    place.refuses(&format!("{SEGMENT} --train tiles"), &["0001.png", "0001_sat.png", "both stand for 0001"]);
    let said = place.hectare("data check tiles").exits(1);
    assert!(said.out.contains("both stand for 0001"), "{said:?}");
}

#[test]
fn a_picture_without_a_class() {
    let place = place();
    std::fs::copy(place.at("pictures/1_1.png"), place.at("pictures/holiday.png")).unwrap();
    place.refuses(&format!("{CLASSIFY} --train pictures --val pictures"), &["holiday.png", "has no class"]);
    let said = place.hectare("data check pictures").exits(1);
    assert!(said.out.contains("holiday.png has no class"), "{said:?}");
}

#[test]
fn a_class_that_training_does_not_know() {
    let place = place();
    place.pictures("more", 4, 1);
    place.refuses(&format!("{CLASSIFY} --train pictures --val more"), &["3_0.png", "class 3", "3 classes"]);
}

/// Writes `text` as a list and expects its mistake to be named by its line.
fn bad_list(text: impl AsRef<[u8]>, words: &[&str]) {
    let place = place();
    std::fs::write(place.at("list.csv"), text).unwrap();
    place.refuses("data check list.csv --task classify", words);
    place.refuses(&format!("{CLASSIFY} --train list.csv --val pictures"), words);
}

#[test]
fn a_list_of_files_that_are_not_there() {
    bad_list(
        "file,class\npictures/0_0.png,0\npictures/9_9.png,1\n",
        &["list.csv, line 3", "9_9.png is not there"],
    );
}

#[test]
fn a_list_with_a_field_too_many() {
    bad_list("pictures/0_0.png,0,1\n", &["list.csv, line 1", "expected file,class, found 3 fields"]);
}

#[test]
fn a_list_with_an_open_quotation() {
    bad_list("pictures/0_0.png,\"0\n", &["list.csv, line 1", "a quotation mark is not closed"]);
}

#[test]
fn a_list_without_a_class() {
    bad_list("pictures/0_0.png,\n", &["list.csv, line 1", "the class is missing"]);
}

#[test]
fn a_list_that_is_no_text() {
    bad_list(b"pictures/0_0.png,\xff\xfe\n", &["list.csv", "not a text file in UTF-8"]);
}

/// Writes a class map and expects it to be refused wherever one is read.
fn bad_class_map(name: &str, text: &str, words: &[&str]) {
    let place = place();
    std::fs::write(place.at(name), text).unwrap();
    place.refuses(&format!("data check tiles --class-map {name}"), words);
    place.refuses(&format!("predict m.safetensors tiles --out out --class-map {name}"), words);
    place.refuses(&format!("{SEGMENT} --train tiles --class-map {name}"), words);
}

#[test]
fn a_class_map_without_classes() {
    bad_class_map("map.csv", "name,r,g,b\n", &["map.csv", "no classes"]);
}

#[test]
fn a_class_map_with_a_colour_that_cannot_be() {
    bad_class_map("map.csv", "a,0,0,300\n", &["map.csv, line 1", "0 to 255", "\"300\""]);
}

#[test]
fn a_class_map_with_a_colour_twice() {
    bad_class_map("map.csv", "a,0,0,1\nb,0,0,1\n", &["map.csv", "a and b share the colour 0,0,1"]);
}

#[test]
fn a_class_map_with_a_key_of_its_own() {
    bad_class_map("map.toml", "[[class]]\nname = 'a'\ncolor = [0, 0, 0]\n", &["map.toml, line 3", "color"]);
}

#[test]
fn a_class_map_of_a_thousand_nested_lists() {
    let text = format!("class = {}{}", "[".repeat(1000), "]".repeat(1000));
    bad_class_map("map.toml", &text, &["map.toml", "recurs"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_an_end() {
    let place = place();
    place
        .refuses("data check tiles --class-map /dev/zero", &["/dev/zero", "longer than the limit of 64 MiB"]);
}

/// Settings that are wrong in a file.
fn bad_settings(text: &str, words: &[&str]) {
    let place = place();
    std::fs::write(place.at("set.toml"), text).unwrap();
    place.refuses(&format!("{SEGMENT} --train tiles --config set.toml"), words);
}

#[test]
fn settings_that_are_no_toml() {
    bad_settings("seed = = 3\n", &["set.toml", "TOML parse error at line 1"]);
}

#[test]
fn settings_with_an_unknown_key() {
    bad_settings("leaning_rate = 3\n", &["set.toml", "unknown key `leaning_rate`"]);
}

#[test]
fn settings_of_the_wrong_kind() {
    bad_settings("seed = 'soon'\n", &["--seed soon"]);
}

#[test]
fn settings_nested_a_thousand_times() {
    let text = format!("seed = {}{}", "[".repeat(1000), "]".repeat(1000));
    bad_settings(&text, &["set.toml", "recurs"]);
}

/// Changes a weight file and expects every reader to refuse it.
fn bad_weights(change: impl Fn(&mut serde_json::Value, &mut Vec<u8>), words: &[&str]) {
    let place = place();
    let bytes = std::fs::read(place.at("m.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    change(&mut header, &mut data);
    let text = header.to_string();
    let whole = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &data].concat();
    std::fs::write(place.at("bad.safetensors"), whole).unwrap();
    let words = [&["bad.safetensors"], words].concat();
    place.refuses("predict bad.safetensors tiles --out out", &words);
    place.refuses("eval bad.safetensors --data tiles", &words);
}

/// Changes the description in a weight file.
fn bad_card(change: impl Fn(&mut serde_json::Value), words: &[&str]) {
    let edit = |header: &mut serde_json::Value, _: &mut Vec<u8>| {
        let entry = &mut header["__metadata__"]["hectare"];
        let mut card: serde_json::Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
        change(&mut card);
        *entry = card.to_string().into();
    };
    bad_weights(edit, words);
}

#[test]
fn weights_whose_tensors_overlap() {
    bad_weights(|header, _| header["features.2.bias"]["data_offsets"] = [0, 8].into(), &["not a whole"]);
}

#[test]
fn weights_with_bytes_behind_their_end() {
    bad_weights(|_, data| data.extend([0; 16]), &["bytes follow its last tensor"]);
}

#[test]
fn weights_of_a_type_that_is_not_read() {
    bad_weights(|header, _| header["features.0.bias"]["dtype"] = "I32".into(), &["features.0.bias", "I32"]);
}

#[test]
fn weights_whose_shape_overflows() {
    bad_weights(
        |header, _| header["features.0.bias"]["shape"] = serde_json::json!([1u64 << 40, 1u64 << 40]),
        &["not a whole"],
    );
}

#[test]
fn weights_with_an_infinity() {
    bad_weights(
        |_, data| {
            let end = data.len();
            data[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        },
        &["holds inf at place"],
    );
}

#[test]
fn weights_without_a_header() {
    let place = place();
    std::fs::write(place.at("a.safetensors"), [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    place.refuses(
        "predict a.safetensors tiles --out out",
        &["a.safetensors", "header is longer than it may be"],
    );
    std::fs::write(place.at("b.safetensors"), [&4u64.to_le_bytes()[..], b"oops"].concat()).unwrap();
    place.refuses("predict b.safetensors tiles --out out", &["b.safetensors", "not a whole"]);
}

#[test]
fn a_description_of_a_larger_network_than_the_file() {
    bad_card(
        |card| {
            card["spec"]["width"] = 8.into();
            card["spec"]["head_width"] = 65536.into();
        },
        &["does not fit the network"],
    );
}

#[test]
fn a_description_with_a_width_that_cannot_be() {
    bad_card(|card| card["spec"]["width"] = serde_json::json!(1e300), &["width"]);
}

#[test]
fn a_description_whose_classes_are_misnumbered() {
    bad_card(|card| card["classes"]["classes"][3]["id"] = 200.into(), &["has the id 200"]);
}

#[test]
fn a_description_that_normalises_by_zero() {
    bad_card(|card| card["normalisation"]["std"][1] = 0.into(), &["standard deviations above 0"]);
}

#[test]
fn an_npy_file_of_another_kind() {
    let place = place();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n";
    let bytes =
        [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), &[0; 8]].concat();
    std::fs::write(place.at("x.npy"), bytes).unwrap();
    place.refuses("bench --only trunk-predict-1x128 --input x.npy", &["x.npy", "'<f4'"]);
}

#[test]
fn a_run_whose_settings_are_damaged() {
    let place = place();
    std::fs::create_dir(place.at("run")).unwrap();
    std::fs::write(place.at("run/config.toml"), "task = 3").unwrap();
    place.refuses("train --resume run", &["config.toml"]);
}

#[test]
fn masks_of_two_sizes_in_the_grader() {
    let place = Place::new();
    place.mask("labels/1_mask.png", 4, 4, |_, _| 1);
    place.mask("pred/1_mask.png", 4, 5, |_, _| 1);
    place.refuses("score --labels labels --pred pred", &["1_mask.png is 4x5", "is 4x4"]);
}

#[test]
fn a_list_to_leave_out_that_is_not_there() {
    let place = place();
    place.refuses(&format!("{SEGMENT} --train tiles --exclude q.txt"), &["q.txt", "not there"]);
    std::fs::write(
        place.at("all.txt"),
        (0..3).map(|i| format!("tiles/{i:04}_sat.png\n")).collect::<String>(),
    )
    .unwrap();
    place.refuses(&format!("{SEGMENT} --train tiles --exclude all.txt"), &["tiles", "holds no samples"]);
}
