//! Clusters in 50 dimensions, to the plane: `cargo run --release -p hectare-tsne --example clusters [N]`.
//!
//! Prints the time of each stage, the KL divergence and figures of quality.

use hectare_kernels::rng::{Key, fill_normal};
use hectare_tsne::{Against, Progress, Quality, Rows, Settings, Stage, Tsne, Watch};

/// Prints what it hears.
struct Printer;

impl Watch for Printer {
    fn stage(&mut self, stage: Stage) {
        eprintln!("{stage:?}");
    }

    fn iteration(&mut self, progress: &Progress<'_>) -> bool {
        eprintln!("iteration {}: KL {:.4}", progress.iteration, progress.kl);
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n = std::env::args().nth(1).map_or(Ok(5000), |n| n.parse())?;
    let (columns, clusters) = (50, 20);
    let mut data = vec![0.0; n * columns];
    fill_normal(&Key { seed: 1, stream: 0, step: 0 }, 1.0, &mut data);
    let mut centres = vec![0.0; clusters * columns];
    fill_normal(&Key { seed: 2, stream: 0, step: 0 }, 1.0, &mut centres);
    let labels: Vec<u32> = (0..n).map(|i| (i % clusters) as u32).collect();
    for (row, label) in data.chunks_exact_mut(columns).zip(&labels) {
        for (x, c) in row.iter_mut().zip(&centres[*label as usize * columns..]) {
            *x += c;
        }
    }
    let rows = Rows::new(data, columns)?;
    let map = Tsne::new(Settings::default()).fit_watched(&rows, &mut Printer)?;
    println!("{:?}", map.times);
    println!("{} iterations over all pairs, {} by FFT", map.exact_iterations, map.fft_iterations);
    for change in &map.changes {
        println!("{change}");
    }
    println!("{}", Quality::of(&map, &rows, Some(&labels), Against::Reduced)?.line(map.kl));
    Ok(())
}
