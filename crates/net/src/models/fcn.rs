//! Fully convolutional VGG16 (Long, Shelhamer and Darrell 2015) with strides 32, 16 and 8.

use std::sync::Arc;

use super::vgg::trunk;
use crate::ops::{Add, Conv2d, ConvTranspose2d, Crop, Dropout, Operation, Pad, Relu};
use crate::{Geometry, ModelKind, ModelSpec, NetError, Network, NetworkBuilder};

/// Sides that the caffe geometry refuses: fc6's window would not fit the smallest map.
const CAFFE_LEAST: usize = 26;

/// FCN32s, FCN16s or FCN8s in each geometry. In caffe's, the input is padded only where a crop would not fit, and never in
/// long's, where every crop fits; in all, the last crop takes the result back to the input's own size.
pub(super) fn fcn(spec: &ModelSpec) -> Result<Network, NetError> {
    let cropped = spec.geometry != Geometry::Modern;
    // Per network: its class name, the remainders mod 32 that do not fit in caffe's geometry, the last
    // upsampling and its crop.
    let (name, misfits, stride, offset) = match spec.model {
        ModelKind::Fcn32s => ("FCN32s", Some(1..=25), 32, 32),
        ModelKind::Fcn16s => ("FCN16s", Some(22..=25), 16, 27),
        _ => ("FCN8s", None, 8, 31),
    };
    let pad = match spec.geometry {
        Geometry::Modern => Pad::to_multiple(32),
        Geometry::Caffe => Pad::where_misfit(32, misfits, CAFFE_LEAST),
        Geometry::Long => Pad::where_misfit(32, None, 1),
    };
    // Poolings that round up leave a larger map, of which Long et al. take another window.
    let offset = if spec.geometry == Geometry::Long && stride == 32 { 19 } else { offset };
    let at = |offset: usize| Crop::new(if cropped { offset } else { 0 });
    let classes = spec.classes;
    let up = |stride: usize| {
        let padding = if cropped { 0 } else { stride / 2 };
        ConvTranspose2d::bilinear(classes, 2 * stride, stride).padding(padding)
    };
    let last = up(stride).with_bias(spec.output_bias);

    let mut net = NetworkBuilder::new(name, spec.bands);
    let padded = net.add("pad", pad, &[net.input()]);
    let features = net.chain("features", padded, trunk(spec, if cropped { 100 } else { 1 }));
    let (pool3, pool4, pool5) = (features[16], features[23], features[30]);

    let (wide, widest) = (spec.scaled(512), spec.scaled(spec.head_width));
    let window = spec.head_kernel;
    let mut head: Vec<Arc<dyn Operation>> = vec![
        Arc::new(Conv2d::new(wide, widest, window).padding(if cropped { 0 } else { window / 2 })),
        Arc::new(Relu),
        Arc::new(Dropout::channels(0.5)),
        Arc::new(Conv2d::new(widest, widest, 1)),
        Arc::new(Relu),
        Arc::new(Dropout::channels(0.5)),
    ];
    let score = Conv2d::new(widest, classes, 1);
    if stride == 32 {
        head.push(Arc::new(score));
        let head = net.chain("fcn32", pool5, head);
        let upscore = net.add("upscore", last, &[head[6]]);
        net.add("crop", at(offset), &[upscore, net.input()]);
        return net.finish();
    }

    let head = net.chain("fcn", pool5, head);
    let score_fr = net.add("score_fr", score, &[head[5]]);
    let score_pool4 = net.add("score_pool4", Conv2d::new(wide, classes, 1), &[pool4]);
    let score_pool3 = if stride == 8 {
        net.add("score_pool3", Conv2d::new(spec.scaled(256), classes, 1), &[pool3])
    } else {
        score_pool4
    };
    let upscore2 = net.add("upscore2", up(2), &[score_fr]);
    let crop_pool4 = net.add("crop_pool4", at(5), &[score_pool4, upscore2]);
    let mut fused = net.add("fuse_pool4", Add, &[upscore2, crop_pool4]);
    if stride == 8 {
        let upscore_pool4 = net.add("upscore_pool4", up(2), &[fused]);
        let crop_pool3 = net.add("crop_pool3", at(9), &[score_pool3, upscore_pool4]);
        fused = net.add("fuse_pool3", Add, &[upscore_pool4, crop_pool3]);
    }
    let upscore = net.add(&format!("upscore{stride}"), last, &[fused]);
    net.add("crop", at(offset), &[upscore, net.input()]);
    net.finish()
}
