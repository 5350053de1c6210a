//! Trains an FCN8s on a folder of tiles with masks and gives a mask to one of them:
//! `cargo run --release -p hectare-train --example train_fcn -- TRAIN VALIDATION RUN`

use hectare_data::{SegmentationSet, read_image, write_mask_rgb};
use hectare_kernels::Isa;
use hectare_net::weights::read_model;
use hectare_train::{Layer, Model, Silent, TrainConfig, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [train_dir, val_dir, run] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("give the folders TRAIN, VALIDATION and RUN".into());
    };
    // A preset, and over it what is to be otherwise: every flag of `hectare train` is a key.
    let mut settings = Layer::new("the example");
    settings.set("task", "segment");
    settings.set("model", "fcn8s");
    settings.set("train", train_dir);
    settings.set("val", val_dir);
    settings.set("out", run);
    settings.set("width", 0.125);
    settings.set("input", 64);
    settings.set("epochs", 2);
    let summary = train(TrainConfig::resolve(&[settings])?, &Silent)?;
    println!("mean IoU {:.4}", summary.best.map_or(0.0, |best| best.metric));

    let trained = read_model(summary.run.join("weights/best.safetensors"))?;
    let mut model = Model::new(trained.card, trained.network, trained.params, Isa::best())?;
    let sample = &SegmentationSet::open(val_dir.as_ref())?.samples[0];
    let mask = model.segment(&read_image(&sample.image)?)?;
    write_mask_rgb(&mask, &model.card().classes, &summary.run.join("first_mask.png"))?;
    Ok(())
}
