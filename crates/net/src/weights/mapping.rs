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
/// names of hectare's networks. Whether they were pytorch-fcn's.
pub(super) fn to_own_names(tensors: &mut [Tensor]) -> bool {
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
    theirs
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn renamed(names: &[&str], shape: &[usize]) -> Vec<String> {
        let values = vec![0.0; shape.iter().product()];
        let tensor =
            |name: &&str| Tensor::new(Path::new("x"), (*name).to_owned(), shape.to_vec(), values.clone());
        let mut tensors: Vec<Tensor> = names.iter().map(tensor).collect();
        to_own_names(&mut tensors);
        tensors.into_iter().map(|tensor| tensor.name).collect()
    }

    #[test]
    fn prefixes_that_all_names_share_are_taken_away() {
        assert_eq!(
            renamed(&["model.module.fc.0.bias", "model.module.features.0.bias"], &[5]),
            ["fc.0.bias", "features.0.bias"]
        );
        assert_eq!(renamed(&["module.a", "b"], &[5]), ["module.a", "b"]);
    }

    #[test]
    fn pytorch_fcns_layers() {
        let names = ["conv1_1.weight", "conv5_3.bias", "fc6.weight", "fc7.bias", "score_fr.weight"];
        let with = |last: &'static str| renamed(&[&names[..], &[last]].concat(), &[5, 4, 3, 3]);
        assert_eq!(
            with("upscore.weight")[..5],
            ["features.0.weight", "features.28.bias", "fcn32.0.weight", "fcn32.3.bias", "fcn32.6.weight"]
        );
        for last in ["upscore16.weight", "upscore8.weight"] {
            assert_eq!(
                with(last)[..5],
                ["features.0.weight", "features.28.bias", "fcn.0.weight", "fcn.3.bias", "score_fr.weight"]
            );
        }
    }

    #[test]
    fn an_fcn_whose_head_is_called_fc() {
        assert_eq!(renamed(&["fc.0.weight", "fc.6.bias"], &[8, 4, 7, 7]), ["fcn32.0.weight", "fcn32.6.bias"]);
        // A classifier's is a matrix, and keeps its name.
        assert_eq!(renamed(&["fc.0.weight"], &[8, 4]), ["fc.0.weight"]);
    }
}
