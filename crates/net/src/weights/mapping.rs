//! The names that others give the same tensors.

use super::{Tensor, WeightFile};

/// What wrappers put before every name.
const PREFIXES: [&str; 5] = ["state_dict.", "module.", "_orig_mod.", "model.", "net."];

/// pytorch-fcn's convolutions of the trunk, and their places in torchvision's `features`.
const CONVOLUTIONS: [(&str, usize); 13] = [
    ("conv1_1", 0),
    ("conv1_2", 2),
    ("conv2_1", 5),
    ("conv2_2", 7),
    ("conv3_1", 10),
    ("conv3_2", 12),
    ("conv3_3", 14),
    ("conv4_1", 17),
    ("conv4_2", 19),
    ("conv4_3", 21),
    ("conv5_1", 24),
    ("conv5_2", 26),
    ("conv5_3", 28),
];

/// Takes wrappers' prefixes away and gives pytorch-fcn's layers, and the report's FCN32s with its head as `fc`, the
/// names of hectare's networks.
pub(super) fn to_own_names(tensors: &mut [Tensor]) {
    while let Some(prefix) = PREFIXES
        .iter()
        .find(|prefix| !tensors.is_empty() && tensors.iter().all(|tensor| tensor.name.starts_with(**prefix)))
    {
        tensors.iter_mut().for_each(|tensor| drop(tensor.name.drain(..prefix.len())));
    }
    let has = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
    let is_map = |tensor: &Tensor| tensor.name == "fc.0.weight" && tensor.shape.len() == 4;
    let fc = tensors.iter().any(is_map);
    let skips = has("upscore8.weight") || has("upscore16.weight");
    let fcn = has("upscore.weight") || skips;
    let theirs = has("conv1_1.weight");
    let head = if skips { "fcn" } else { "fcn32" };
    for tensor in tensors {
        let Some((layer, part)) = tensor.name.rsplit_once('.') else { continue };
        let name = match layer {
            "fc6" if theirs && fcn => format!("{head}.0"),
            "fc7" if theirs && fcn => format!("{head}.3"),
            "score_fr" if theirs && !skips => "fcn32.6".to_owned(),
            "fc.0" | "fc.3" | "fc.6" if fc => layer.replacen("fc", head, 1),
            _ => match CONVOLUTIONS.iter().find(|(name, _)| *name == layer) {
                Some((_, place)) if theirs => format!("features.{place}"),
                _ => continue,
            },
        };
        tensor.name = format!("{name}.{part}");
    }
}

/// torchvision's tensor that holds the numbers of the FCN's tensor `name`, of shape `shape`: fc6 and fc7, which are
/// convolutions here and matrices there.
pub(super) fn fully_connected<'a>(file: &'a WeightFile, name: &str, shape: &[usize]) -> Option<&'a Tensor> {
    let rest = name.strip_prefix("fcn32.").or_else(|| name.strip_prefix("fcn."))?;
    if !rest.starts_with("0.") && !rest.starts_with("3.") {
        return None;
    }
    let tensor = file.get(&format!("classifier.{rest}"))?;
    let flat = match shape {
        [outputs, inputs @ ..] if !inputs.is_empty() => vec![*outputs, inputs.iter().product()],
        _ => shape.to_vec(),
    };
    (tensor.shape == flat).then_some(tensor)
}
