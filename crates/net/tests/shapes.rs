//! Shape inference of all models at many sizes, and its errors.

use hectare_net::ops::{Conv2d, Crop, Linear};
use hectare_net::{
    Geometry, ModelKind, ModelSpec, NetError, NetworkBuilder, Shape, build, estimate_memory, summary,
};

const FCNS: [ModelKind; 3] = [ModelKind::Fcn32s, ModelKind::Fcn16s, ModelKind::Fcn8s];

fn spec(model: ModelKind, geometry: Geometry) -> ModelSpec {
    ModelSpec { width: 0.03125, geometry, ..ModelSpec::new(model) }
}

#[test]
fn the_output_is_as_large_as_the_input() {
    for model in FCNS {
        for geometry in Geometry::ALL {
            let net = build(&spec(model, geometry)).unwrap();
            let least = if geometry == Geometry::Caffe { 26 } else { 1 };
            // Every remainder of 32 in each direction, and a few large ones.
            let sides: Vec<usize> = (least..least + 70).chain([333, 500, 512, 1000]).collect();
            for &h in &sides {
                for w in [sides[0], 32, 54, 57, h, 97, 512] {
                    let output = net.output_shape(Shape::new(3, h, w)).unwrap();
                    assert_eq!(output, Shape::new(7, h, w), "{model} {geometry}");
                }
            }
        }
    }
    let unet = build(&spec(ModelKind::Vgg16Unet, Geometry::Modern)).unwrap();
    for side in 1..70 {
        assert_eq!(unet.output_shape(Shape::new(3, side, 40)), Ok(Shape::new(7, side, 40)));
    }
}

#[test]
fn a_light_head_keeps_sizes_too() {
    for model in FCNS {
        let published = ModelSpec::new(model);
        let light = ModelSpec { head_width: 1024, head_kernel: 3, ..published.clone() };
        let net = build(&light).unwrap();
        for side in (1..70).chain([500]) {
            assert_eq!(net.output_shape(Shape::new(3, side, 97)), Ok(Shape::new(7, side, 97)), "{model}");
        }
        let millions = |spec: &ModelSpec| build(spec).unwrap().layout().total / 1_000_000;
        assert_eq!((millions(&published), millions(&light)), (134, 20), "{model}");
        for (geometry, head_kernel) in
            [(Geometry::Caffe, 3), (Geometry::Long, 5), (Geometry::Modern, 4), (Geometry::Modern, 17)]
        {
            let error = build(&ModelSpec { geometry, head_kernel, ..light.clone() }).unwrap_err().to_string();
            assert!(error.contains("head_kernel must be"), "{error}");
        }
        assert!(build(&ModelSpec { head_width: 0, ..light }).is_err());
    }
}

#[test]
fn caffe_refuses_sides_under_26() {
    for model in FCNS {
        let net = build(&spec(model, Geometry::Caffe)).unwrap();
        for (h, w) in [(25, 512), (512, 25), (1, 1)] {
            let error = net.output_shape(Shape::new(3, h, w)).unwrap_err().to_string();
            assert!(
                error.contains("pad") && error.contains(&format!("3x{h}x{w}")) && error.contains("26"),
                "{error}"
            );
        }
    }
}

/// Side of a map after the trunk up to a pooling, in caffe's geometry.
fn pooled(side: usize, times: u32) -> usize {
    (0..times).fold(side + 198, |side, _| side / 2)
}

/// Whether caffe's crops fit a side as it is: the rule from the arithmetic, not from the table.
fn fits(model: ModelKind, side: usize) -> bool {
    let score = pooled(side, 5) - 6;
    match model {
        ModelKind::Fcn32s => (score - 1) * 32 + 64 >= side + 32,
        ModelKind::Fcn16s => {
            let two = (score - 1) * 2 + 4;
            two + 5 <= pooled(side, 4) && (two - 1) * 16 + 32 >= side + 27
        }
        _ => {
            let two = (score - 1) * 2 + 4;
            let four = (two - 1) * 2 + 4;
            two + 5 <= pooled(side, 4) && four + 9 <= pooled(side, 3) && (four - 1) * 8 + 16 >= side + 31
        }
    }
}

#[test]
fn caffe_pads_only_where_a_crop_does_not_fit() {
    for model in FCNS {
        let net = build(&spec(model, Geometry::Caffe)).unwrap();
        let pad = net.node_index("pad").unwrap();
        for h in 26..130 {
            for w in [32, 54, 57, 64, 65, 90, 97] {
                let shapes = net.infer(Shape::new(3, h, w)).unwrap();
                let expected = if fits(model, h) && fits(model, w) {
                    Shape::new(3, h, w)
                } else {
                    Shape::new(3, h.next_multiple_of(32), w.next_multiple_of(32))
                };
                assert_eq!(shapes[pad], expected, "{model} {h}x{w}");
            }
        }
    }
}

#[test]
fn classifiers_take_their_own_size() {
    for (side, features) in [(32, 512), (64, 2048), (128, 8192), (224, 25088)] {
        let spec = ModelSpec { input: [side, side], ..ModelSpec::new(ModelKind::Vgg16) };
        let net = build(&spec).unwrap();
        assert_eq!(net.layout().entry("fc.0.weight").unwrap().shape, [50, features]);
        assert_eq!(net.output_shape(Shape::new(3, side, side)), Ok(Shape::new(50, 1, 1)));
    }
    let net = build(&ModelSpec::new(ModelKind::Vgg16)).unwrap();
    let error = net.output_shape(Shape::new(3, 64, 64)).unwrap_err();
    assert_eq!(error.node, "fc.0");
    let text = error.to_string();
    assert!(text.contains("2048x1x1") && text.contains("8192x1x1"), "{text}");
}

#[test]
fn errors_name_the_node_and_both_shapes() {
    let mut net = NetworkBuilder::new("Test", 3);
    let conv = net.add("conv", Conv2d::new(3, 4, 5), &[0]);
    net.add("crop", Crop::new(2), &[conv, 0]);
    let net = net.finish().unwrap();
    let text = net.output_shape(Shape::new(3, 9, 9)).unwrap_err().to_string();
    assert!(text.contains("node crop") && text.contains("4x5x5") && text.contains("3x9x9"), "{text}");
    let text = net.output_shape(Shape::new(3, 4, 9)).unwrap_err().to_string();
    assert!(text.contains("node conv") && text.contains("3x4x9") && text.contains("3x5x5"), "{text}");
    assert!(net.output_shape(Shape::new(1, 9, 9)).is_err());
    assert!(net.output_shape(Shape::new(3, 0, 9)).is_err());
}

#[test]
fn bad_graphs_and_settings_are_refused() {
    let mut net = NetworkBuilder::new("Test", 3);
    net.add("a", Linear::new(3, 4), &[0]);
    net.add("a", Linear::new(4, 4), &[1]);
    assert!(matches!(net.finish(), Err(NetError::Graph { .. })));
    let mut net = NetworkBuilder::new("Test", 3);
    net.add("a", Linear::new(3, 4), &[0, 0]);
    assert!(net.finish().is_err());

    let good = ModelSpec::new(ModelKind::Vgg16);
    for bad in [
        ModelSpec { classes: 0, ..good.clone() },
        ModelSpec { classes: 300, ..good.clone() },
        ModelSpec { width: 0.0, ..good.clone() },
        ModelSpec { width: f64::NAN, ..good.clone() },
        ModelSpec { bands: 0, ..good.clone() },
        ModelSpec { input: [0, 0], ..good.clone() },
        ModelSpec { input: [31, 64], ..good.clone() },
    ] {
        assert!(matches!(build(&bad), Err(NetError::Spec { .. })), "{bad:?}");
    }
}

#[test]
fn the_summary_counts_parameters() {
    // fc6 and fc7 with their biases, three scores, three transposed convolutions, and the trunk.
    let net = build(&ModelSpec::new(ModelKind::Fcn8s)).unwrap();
    let head = 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096;
    let scores = 7 * (4096 + 512 + 256 + 3);
    let up = 49 * (16 + 16 + 256);
    let table = summary(&net, Shape::new(3, 512, 512), 1).unwrap();
    assert_eq!(table.params, 14_714_688 + head + scores + up);
    assert_eq!(table.params as usize, net.layout().total);
    let json = serde_json::to_value(&table).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), table.nodes.len());
    assert_eq!(json["output"]["c"], 7);
}

#[test]
fn memory_grows_with_batch_and_purpose() {
    use hectare_net::Mode;
    let net = build(&ModelSpec { width: 0.125, ..ModelSpec::new(ModelKind::Fcn8s) }).unwrap();
    let of = |n, mode| estimate_memory(&net, n, Shape::new(3, 128, 128), mode).unwrap();
    let predict = of(1, Mode::Predict);
    let sgd = of(1, Mode::Train { optimiser_slots: 1, recompute: false, trainable: None });
    let adam = of(1, Mode::Train { optimiser_slots: 2, recompute: false, trainable: None });
    assert!(predict.total < sgd.total && sgd.total < adam.total);
    let saving = of(1, Mode::Train { optimiser_slots: 1, recompute: true, trainable: None });
    assert!(saving.activations < sgd.activations && saving.parameters == sgd.parameters, "{saving} {sgd}");
    assert_eq!(adam.optimiser, 2 * 4 * net.layout().total as u64);
    assert!(of(4, Mode::Predict).activations > 3 * predict.activations);
    assert!(adam.to_string().contains("MiB"), "{adam}");
}
