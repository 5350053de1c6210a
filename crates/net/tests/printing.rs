//! Networks print as PyTorch prints them.

use hectare_net::{Geometry, Head, ModelKind, ModelSpec, build};

/// The trunk as torchvision's VGG16 prints it, with `first` as the first convolution's padding.
fn trunk(first: usize) -> String {
    let mut text = "  (features): Sequential(\n".to_owned();
    let (mut index, mut channels, mut padding) = (0, 3, first);
    let mut line = |body: String, index: &mut usize| {
        text += &format!("    ({index}): {body}\n");
        *index += 1;
    };
    for (outputs, count) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..count {
            let conv = format!(
                "Conv2d({channels}, {outputs}, kernel_size=(3, 3), stride=(1, 1), padding=({padding}, {padding}))"
            );
            line(conv, &mut index);
            line("ReLU(inplace=True)".to_owned(), &mut index);
            (channels, padding) = (outputs, 1);
        }
        let pool = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)";
        line(pool.to_owned(), &mut index);
    }
    text + "  )\n"
}

#[test]
fn vgg16() {
    let net = build(&ModelSpec::new(ModelKind::Vgg16)).unwrap();
    let head = "  (fc): Sequential(\n    (0): Linear(8192, 50, bias=True)\n  )\n)";
    assert_eq!(net.to_string(), format!("VGG16(\n{}{head}", trunk(1)));

    let net = build(&ModelSpec { head: Head::Hidden512, ..ModelSpec::new(ModelKind::Vgg16) }).unwrap();
    let head = "  (fc): Sequential(
    (0): Linear(8192, 512, bias=True)
    (1): ReLU(inplace=True)
    (2): Dropout(p=0.5, inplace=False)
    (3): Linear(512, 50, bias=True)
  )
)";
    assert_eq!(net.to_string(), format!("VGG16(\n{}{head}", trunk(1)));
}

#[test]
fn fcn32s() {
    let net = build(&ModelSpec { geometry: Geometry::Caffe, ..ModelSpec::new(ModelKind::Fcn32s) }).unwrap();
    let head = "  (fcn32): Sequential(
    (0): Conv2d(512, 4096, kernel_size=(7, 7), stride=(1, 1))
    (1): ReLU(inplace=True)
    (2): Dropout2d(p=0.5, inplace=False)
    (3): Conv2d(4096, 4096, kernel_size=(1, 1), stride=(1, 1))
    (4): ReLU(inplace=True)
    (5): Dropout2d(p=0.5, inplace=False)
    (6): Conv2d(4096, 7, kernel_size=(1, 1), stride=(1, 1))
  )
  (upscore): ConvTranspose2d(7, 7, kernel_size=(64, 64), stride=(32, 32), bias=False)
)";
    assert_eq!(net.to_string(), format!("FCN32s(\n{}{head}", trunk(100)));
}

#[test]
fn fcn8s() {
    let net = build(&ModelSpec { geometry: Geometry::Caffe, ..ModelSpec::new(ModelKind::Fcn8s) }).unwrap();
    let head = "  (fcn): Sequential(
    (0): Conv2d(512, 4096, kernel_size=(7, 7), stride=(1, 1))
    (1): ReLU(inplace=True)
    (2): Dropout2d(p=0.5, inplace=False)
    (3): Conv2d(4096, 4096, kernel_size=(1, 1), stride=(1, 1))
    (4): ReLU(inplace=True)
    (5): Dropout2d(p=0.5, inplace=False)
  )
  (score_fr): Conv2d(4096, 7, kernel_size=(1, 1), stride=(1, 1))
  (score_pool4): Conv2d(512, 7, kernel_size=(1, 1), stride=(1, 1))
  (score_pool3): Conv2d(256, 7, kernel_size=(1, 1), stride=(1, 1))
  (upscore2): ConvTranspose2d(7, 7, kernel_size=(4, 4), stride=(2, 2), bias=False)
  (upscore_pool4): ConvTranspose2d(7, 7, kernel_size=(4, 4), stride=(2, 2), bias=False)
  (upscore8): ConvTranspose2d(7, 7, kernel_size=(16, 16), stride=(8, 8), bias=False)
)";
    assert_eq!(net.to_string(), format!("FCN8s(\n{}{head}", trunk(100)));

    let modern = build(&ModelSpec::new(ModelKind::Fcn8s)).unwrap().to_string();
    assert!(modern.contains("(0): Conv2d(512, 4096, kernel_size=(7, 7), stride=(1, 1), padding=(3, 3))"));
    let up =
        "(upscore8): ConvTranspose2d(7, 7, kernel_size=(16, 16), stride=(8, 8), padding=(4, 4), bias=False)";
    assert!(modern.contains(up), "{modern}");
}

#[test]
fn batch_normalised_names() {
    let net = build(&ModelSpec::new(ModelKind::Vgg16Bn)).unwrap();
    let text = net.to_string();
    assert!(text.contains("    (1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, "), "{text}");
    assert!(text.contains("    (43): MaxPool2d"), "{text}");
    let names: Vec<&str> = net.layout().buffers.iter().take(3).map(|entry| entry.name.as_str()).collect();
    assert_eq!(
        names,
        ["features.1.running_mean", "features.1.running_var", "features.1.num_batches_tracked"]
    );
}
