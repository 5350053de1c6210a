//! U-Net (Ronneberger, Fischer and Brox 2015) with the VGG16 trunk as encoder.

use std::sync::Arc;

use super::vgg::trunk;
use crate::ops::{Concat, Conv2d, ConvTranspose2d, Crop, Operation, Pad, Relu};
use crate::{ModelSpec, NetError, Network, NetworkBuilder};

/// Four steps up from the trunk's last convolution, each joined with the map of its size from the way down.
pub(super) fn unet(spec: &ModelSpec) -> Result<Network, NetError> {
    let mut net = NetworkBuilder::new("VGG16UNet", spec.bands);
    let padded = net.add("pad", Pad::to_multiple(16), &[net.input()]);
    let mut encoder = trunk(spec, 1);
    encoder.pop(); // the last pooling
    let features = net.chain("features", padded, encoder);
    // The last map before each pooling, and its channels.
    let skips = [(4, 22, 512), (3, 15, 256), (2, 8, 128), (1, 3, 64)];

    let mut at = features[29];
    let mut channels = spec.scaled(512);
    for (level, skip, outputs) in skips {
        let outputs = spec.scaled(outputs);
        let up = ConvTranspose2d::new(channels, outputs, 2, 2);
        let up = net.add(&format!("up{level}"), up, &[at]);
        let joined = net.add(&format!("join{level}"), Concat::new(2), &[features[skip], up]);
        let block: Vec<Arc<dyn Operation>> = vec![
            Arc::new(Conv2d::new(2 * outputs, outputs, 3).padding(1)),
            Arc::new(Relu),
            Arc::new(Conv2d::new(outputs, outputs, 3).padding(1)),
            Arc::new(Relu),
        ];
        at = net.chain(&format!("decoder{level}"), joined, block)[3];
        channels = outputs;
    }
    let score = net.add("score", Conv2d::new(channels, spec.classes, 1), &[at]);
    net.add("crop", Crop::new(0), &[score, net.input()]);
    net.finish()
}
