//! The models, each a short builder.

mod fcn;
mod unet;
mod vgg;

use crate::{Geometry, ModelKind, ModelSpec, NetError, Network};

/// Builds the network that `spec` describes.
///
/// # Errors
/// When a setting is out of range, or the input's size does not fit the network.
pub fn build(spec: &ModelSpec) -> Result<Network, NetError> {
    check(spec)?;
    match spec.model {
        ModelKind::Vgg16 | ModelKind::Vgg16Bn => vgg::classifier(spec),
        ModelKind::Vgg16Unet => unet::unet(spec),
        ModelKind::Fcn32s | ModelKind::Fcn16s | ModelKind::Fcn8s => fcn::fcn(spec),
    }
}

/// VGG16's trunk alone, torchvision's `features`, as a network: its result is the last pooling's map,
/// (512 * width) x H/32 x W/32. Bands and width are those of `spec`, and batch normalisation if its model has it.
///
/// # Errors
/// When a setting is out of range.
pub fn trunk(spec: &ModelSpec) -> Result<Network, NetError> {
    check(spec)?;
    vgg::trunk_alone(spec)
}

fn check(spec: &ModelSpec) -> Result<(), NetError> {
    let error = |setting, problem| Err(NetError::Spec { setting, problem });
    if !(1..=256).contains(&spec.classes) {
        return error("classes", format!("must be 1 to 256, not {}", spec.classes));
    }
    if !(spec.width > 0.0 && spec.width <= 8.0) {
        return error("width", format!("must be above 0 and at most 8, not {}", spec.width));
    }
    if !(1..=1024).contains(&spec.bands) {
        return error("bands", format!("must be 1 to 1024, not {}", spec.bands));
    }
    if !(1..=1 << 16).contains(&spec.head_width) {
        return error("head_width", format!("must be 1 to 65536, not {}", spec.head_width));
    }
    if spec.head_kernel.is_multiple_of(2) || spec.head_kernel > 15 {
        return error("head_kernel", format!("must be odd and at most 15, not {}", spec.head_kernel));
    }
    if spec.head_kernel != 7 && spec.geometry != Geometry::Modern {
        let (geometry, given) = (spec.geometry, spec.head_kernel);
        return error("head_kernel", format!("must be 7 in the {geometry} geometry, not {given}"));
    }
    if spec.output_bias && !spec.model.is_fcn() {
        return error("output_bias", format!("goes with the FCNs only, not with {}", spec.model));
    }
    let [h, w] = spec.input;
    if h == 0 || w == 0 || h > 1 << 16 || w > 1 << 16 {
        return error("input", format!("must be 1x1 to 65536x65536, not {h}x{w}"));
    }
    if spec.model.is_classifier() && (h < 32 || w < 32) {
        return error("input", format!("must be at least 32x32 for {}, not {h}x{w}", spec.model));
    }
    Ok(())
}
