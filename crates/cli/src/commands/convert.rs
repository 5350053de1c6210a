//! `hectare convert MODEL_FILE --out FILE`: the model in a file of another kind.

use hectare_data::write_atomic;
use hectare_net::onnx::{self, Ending, Options, Pixels};
use hectare_net::weights;

use crate::args::ConvertArgs;
use crate::failure::{Answer, Failure, OrFail};
use crate::model_file::Loaded;
use crate::{console, output};

/// Writes the model as ONNX or safetensors, by the name's ending.
///
/// # Errors
/// A model file that cannot be read, an ending that is neither, flags of the other kind, a tile that the network does not
/// take, or a file that cannot be written.
pub fn run(args: &ConvertArgs) -> Result<Answer, Failure> {
    let ending = args.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let to_onnx = ending.eq_ignore_ascii_case("onnx");
    if !to_onnx && !ending.eq_ignore_ascii_case("safetensors") {
        return Err(Failure::input(format_args!("{} is neither .onnx nor .safetensors", args.out.display())));
    }
    let flags = [
        ("--softmax", args.softmax),
        ("--input", args.input != Pixels::default()),
        ("--tile", args.tile.is_some()),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, given)| *given && !to_onnx) {
        return Err(Failure::input(format_args!("{flag} goes with .onnx only")).help("leave it out"));
    }
    output::check_file(&args.out)?;
    let Loaded { card, network, params } = Loaded::open(&args.model)?;
    if args.tile.is_some() && card.spec.model.is_classifier() {
        return Err(Failure::input(format_args!(
            "--tile does not go with {}, whose input is fixed",
            card.spec.model
        ))
        .help("leave it out"));
    }
    if to_onnx {
        let ending = if args.softmax { Ending::Softmax } else { Ending::Logits };
        let options = Options { ending, pixels: args.input, tile: args.tile };
        let bytes = onnx::encode(&card, &network, &params, &options).or_input()?;
        output::create_folder(&output::parent(&args.out))?;
        write_atomic(&args.out, &bytes).or_work()?;
    } else {
        output::create_folder(&output::parent(&args.out))?;
        weights::write(&args.out, &card, &params).or_work()?;
    }
    console::say(format_args!("wrote {}", args.out.display()));
    Ok(Answer::Yes)
}
