//! `hectare summary MODEL`: the network as PyTorch prints it, then a table of its nodes.

use hectare_net::{ModelKind, ModelSpec, Shape};

use crate::args::{NetworkArgs, SummaryArgs};
use crate::console;
use crate::failure::{Answer, Failure, OrFail};

/// Prints the summary.
///
/// # Errors
/// When the network cannot take the input (exit code 2).
pub fn run(args: &SummaryArgs) -> Result<Answer, Failure> {
    let spec = spec(args.model, &args.network)?;
    let network = hectare_net::build(&spec).or_input()?;
    let input = Shape { c: spec.bands, h: spec.input[0], w: spec.input[1] };
    let summary = hectare_net::summary(&network, input, args.batch_size).or_input()?;
    if args.json {
        console::json(&summary)?;
    } else {
        console::result(format_args!("{summary}\n"))?;
    }
    Ok(Answer::Yes)
}

/// The description that flags give of a network.
///
/// # Errors
/// When a flag does not go with the network.
pub fn spec(model: ModelKind, args: &NetworkArgs) -> Result<ModelSpec, Failure> {
    let mut spec = ModelSpec::new(model);
    if let Some(classes) = args.classes {
        spec.classes = classes;
    }
    if let Some(input) = args.input {
        spec.input = input;
    }
    if let Some(width) = args.width {
        spec.width = width;
    }
    if let Some(geometry) = args.geometry {
        if !model.is_fcn() {
            return Err(Failure::input(format_args!("--geometry does not go with {model}"))
                .help("leave it out: only fcn32s, fcn16s and fcn8s have a geometry"));
        }
        spec.geometry = geometry;
    }
    if let Some(head) = args.head {
        if !model.is_classifier() {
            return Err(Failure::input(format_args!(
                "--head does not go with {model}, a segmentation network"
            ))
            .help("leave it out: only vgg16 and vgg16_bn have heads to choose from"));
        }
        spec.head = head;
    }
    for (flag, given, setting) in [
        ("--head-width", args.head_width, &mut spec.head_width),
        ("--head-kernel", args.head_kernel, &mut spec.head_kernel),
    ] {
        let Some(given) = given else { continue };
        if !model.is_fcn() {
            return Err(Failure::input(format_args!("{flag} does not go with {model}"))
                .help("leave it out: only fcn32s, fcn16s and fcn8s have such layers"));
        }
        *setting = given;
    }
    Ok(spec)
}
