//! `hectare init MODEL --seed N --out FILE`: the weights file of a network that was not trained.

use hectare_net::ModelCard;

use super::summary::spec;
use crate::args::InitArgs;
use crate::failure::{Answer, Failure, OrFail};
use crate::{console, output};

/// Draws the weights and writes the file.
///
/// # Errors
/// When the network cannot be built or FILE cannot be written.
pub fn run(args: &InitArgs) -> Result<Answer, Failure> {
    let spec = spec(args.model, &args.network)?;
    let network = hectare_net::build(&spec).or_input()?;
    output::check_file(&args.out)?;
    let params = hectare_net::initialise(&network, args.seed);
    let card = ModelCard::new(spec);
    output::create_folder(&output::parent(&args.out))?;
    hectare_net::weights::write(&args.out, &card, &params).or_work()?;
    console::say(format_args!(
        "wrote {}: {}, {} parameters, seed {}",
        args.out.display(),
        args.model,
        network.layout().total,
        args.seed
    ));
    Ok(Answer::Yes)
}
