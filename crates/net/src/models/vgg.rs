//! VGG16: the trunk that all models share, and the classifier.

use std::sync::Arc;

use crate::ops::{BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Operation, Relu};
use crate::{Geometry, Head, ModelKind, ModelSpec, NetError, Network, NetworkBuilder};

/// Output channels of the trunk's convolutions; 0 is a pooling. Configuration D of Simonyan and
/// Zisserman 2014.
const TRUNK: [usize; 18] = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];

/// torchvision's `features`: 31 modules, 44 with batch normalisation. `first_padding` is the padding of
/// the first convolution.
pub(super) fn trunk(spec: &ModelSpec, first_padding: usize) -> Vec<Arc<dyn Operation>> {
    let mut ops: Vec<Arc<dyn Operation>> = Vec::new();
    let (mut channels, mut padding) = (spec.bands, first_padding);
    for outputs in TRUNK {
        if outputs == 0 {
            let pool = MaxPool2d::new(2, 2);
            ops.push(Arc::new(if spec.geometry == Geometry::Long { pool.ceil_mode() } else { pool }));
            continue;
        }
        let outputs = spec.scaled(outputs);
        ops.push(Arc::new(Conv2d::new(channels, outputs, 3).padding(padding)));
        if spec.model == ModelKind::Vgg16Bn {
            ops.push(Arc::new(BatchNorm2d::new(outputs)));
        }
        ops.push(Arc::new(Relu));
        (channels, padding) = (outputs, 1);
    }
    ops
}

/// The trunk and nothing on it.
pub(super) fn trunk_alone(spec: &ModelSpec) -> Result<Network, NetError> {
    let mut net = NetworkBuilder::new("VGG16Trunk", spec.bands);
    net.chain("features", net.input(), trunk(spec, 1));
    net.finish()
}

/// The trunk, and one of the two heads on its flattened map.
pub(super) fn classifier(spec: &ModelSpec) -> Result<Network, NetError> {
    let name = if spec.model == ModelKind::Vgg16Bn { "VGG16BN" } else { "VGG16" };
    let mut net = NetworkBuilder::new(name, spec.bands);
    let features = net.chain("features", net.input(), trunk(spec, 1));
    let flat = net.add("flatten", Flatten, &[features[features.len() - 1]]);
    let [h, w] = spec.input;
    let inputs = spec.scaled(512) * (h / 32) * (w / 32);
    let hidden = spec.scaled(512);
    let head: Vec<Arc<dyn Operation>> = match spec.head {
        Head::Linear => vec![Arc::new(Linear::new(inputs, spec.classes))],
        Head::Hidden512 => vec![
            Arc::new(Linear::new(inputs, hidden)),
            Arc::new(Relu),
            Arc::new(Dropout::new(0.5)),
            Arc::new(Linear::new(hidden, spec.classes)),
        ],
    };
    net.chain("fc", flat, head);
    net.finish()
}

#[cfg(test)]
mod tests {
    use crate::models::trunk;
    use crate::{ModelKind, ModelSpec, Shape};

    #[test]
    fn the_trunk_alone_is_torchvisions_features() {
        let net = trunk(&ModelSpec::new(ModelKind::Vgg16)).unwrap();
        assert_eq!(net.layout().total, 14_714_688);
        assert_eq!(net.output_shape(Shape::new(3, 97, 64)).unwrap(), Shape::new(512, 3, 2));
        let names = (&net.layout().entries[0].name, &net.layout().entries.last().unwrap().name);
        assert_eq!((names.0.as_str(), names.1.as_str()), ("features.0.weight", "features.28.bias"));
    }
}
