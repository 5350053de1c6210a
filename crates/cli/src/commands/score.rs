//! `hectare score --labels DIR --pred DIR`: the course's grader.

use crate::args::ScoreArgs;
use crate::console;
use crate::failure::{Answer, Failure, OrFail};

/// Prints the grader's lines. The answer is no when a label has no prediction or the mean is too low.
///
/// # Errors
/// When a folder or a mask cannot be read (exit code 2).
pub fn run(args: &ScoreArgs) -> Result<Answer, Failure> {
    let score = hectare_train::score(&args.labels, &args.pred).or_input()?;
    if args.json {
        console::json(&score)?;
    } else {
        console::result(format_args!("{score}\n"))?;
    }
    for name in &score.surplus {
        console::warn(format_args!("{name} in {} has no label", args.pred.display()));
    }
    for name in &score.orphans {
        console::warn(format_args!("the label {name} has no prediction in {}", args.pred.display()));
    }
    let low = super::eval::below("mean IoU", score.mean_iou, args.min_miou);
    Ok(if low || !score.orphans.is_empty() { Answer::No } else { Answer::Yes })
}
