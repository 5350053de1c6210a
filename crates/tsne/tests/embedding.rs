//! Whole embeddings: what they must reach, and what must not change them.

use hectare_kernels::rng::{Key, fill_normal};
use hectare_kernels::threads::Pool;
use hectare_tsne::{
    Against, Embedding, Metric, Progress, Quality, Repulsion, Rows, Settings, Start, Tsne, TsneError, Watch,
    memory_needed,
};

/// `n` rows of `d` numbers in `clusters` clusters, and the cluster of each.
fn clusters(n: usize, d: usize, clusters: usize, distance: f32) -> (Vec<f32>, Vec<u32>) {
    let mut data = vec![0.0; n * d];
    fill_normal(&Key { seed: 1, stream: 0, step: 0 }, 1.0, &mut data);
    let mut centres = vec![0.0; clusters * d];
    fill_normal(&Key { seed: 2, stream: 0, step: 0 }, distance, &mut centres);
    let labels: Vec<u32> = (0..n).map(|i| (i % clusters) as u32).collect();
    for (row, label) in data.chunks_exact_mut(d).zip(&labels) {
        for (x, c) in row.iter_mut().zip(&centres[*label as usize * d..]) {
            *x += c;
        }
    }
    (data, labels)
}

fn fit(data: &[f32], columns: usize, settings: Settings) -> Embedding {
    Tsne::new(settings).fit(&Rows::new(data.to_vec(), columns).unwrap()).unwrap()
}

fn bits(embedding: &Embedding) -> Vec<u32> {
    embedding.flat().iter().map(|x| x.to_bits()).collect()
}

/// P as a full matrix.
fn dense(data: &[f32], columns: usize, settings: Settings) -> Vec<Vec<f64>> {
    let rows = Rows::new(data.to_vec(), columns).unwrap();
    let (p, _) = Tsne::new(settings).affinities(&rows).unwrap();
    (0..p.len())
        .map(|i| {
            let mut line = vec![0.0; p.len()];
            let (columns, values) = p.row(i);
            columns.iter().zip(values).for_each(|(j, p)| line[*j as usize] = f64::from(*p));
            line
        })
        .collect()
}

/// The divergence by its definition.
fn divergence(p: &[Vec<f64>], points: &[[f32; 2]]) -> f64 {
    let q = |a: [f32; 2], b: [f32; 2]| {
        let (dx, dy) = (f64::from(a[0]) - f64::from(b[0]), f64::from(a[1]) - f64::from(b[1]));
        1.0 / (1.0 + dx * dx + dy * dy)
    };
    let n = points.len();
    let pairs = || (0..n).flat_map(move |i| (0..n).filter(move |j| *j != i).map(move |j| (i, j)));
    let z: f64 = pairs().map(|(i, j)| q(points[i], points[j])).sum();
    pairs()
        .filter(|(i, j)| p[*i][*j] > 0.0)
        .map(|(i, j)| p[i][j] * (p[i][j] / (q(points[i], points[j]) / z)).ln())
        .sum()
}

#[test]
fn bits_do_not_depend_on_threads() {
    // All pairs, FFT, and so many rows that they are brought into another order on the way.
    let all =
        [(600, 60, Repulsion::Exact, 300), (600, 7, Repulsion::Fft, 300), (8500, 4, Repulsion::Auto, 160)];
    for (n, d, repulsion, iterations) in all {
        let (data, labels) = clusters(n, d, 6, 2.0);
        let run = |threads| {
            Pool::new(threads).install(|| {
                let settings =
                    Settings { repulsion, iterations, early_iterations: 100, ..Settings::default() };
                let rows = Rows::new(data.clone(), d).unwrap();
                let map = Tsne::new(settings).fit(&rows).unwrap();
                let new = map.transform(&rows, data[..40 * d].to_vec()).unwrap();
                let quality = Quality::of(&map, &rows, Some(&labels), Against::Reduced).unwrap();
                (bits(&map), map.kl.to_bits(), map.hash(), new, quality)
            })
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            let other = run(threads);
            assert!(one.0 == other.0 && one.1 == other.1 && one.2 == other.2, "{n} rows, {threads} threads");
            assert_eq!(one.3, other.3);
            assert_eq!(one.4, other.4);
        }
    }
}

#[test]
fn clusters_come_apart_and_the_figures_say_so() {
    let (data, labels) = clusters(1000, 70, 8, 1.0);
    for repulsion in [Repulsion::Exact, Repulsion::Fft] {
        let rows = Rows::new(data.clone(), 70).unwrap();
        let map = Tsne::new(Settings { repulsion, ..Settings::default() }).fit(&rows).unwrap();
        assert_eq!((map.iterations, map.stopped), (750, false));
        assert_eq!(map.exact_iterations + map.fft_iterations, 750);
        assert_eq!((map.reduction.columns, map.reduction.components), (70, 50));
        assert!(map.reduction.kept_variance > 0.8 && map.reduction.kept_variance < 1.0);
        for against in [Against::Reduced, Against::Full] {
            let quality = Quality::of(&map, &rows, Some(&labels), against).unwrap();
            let labelled = quality.labels.as_ref().unwrap();
            assert!(labelled.accuracy_map > 0.99 && labelled.accuracy_features > 0.99, "{labelled:?}");
            assert!(labelled.silhouette_map > 0.6, "{labelled:?}");
            assert!(quality.trustworthiness > 0.85 && quality.trustworthiness < 1.0, "{quality:?}");
            assert!(quality.continuity > 0.85 && quality.continuity < 1.0, "{quality:?}");
            assert!(quality.neighbour_preservation > 0.1 && quality.neighbour_preservation < 0.9);
            assert!(quality.groups.as_ref().unwrap().is_empty());
            assert!(quality.line(map.kl).contains("10-NN accuracy"));
        }
    }
}

#[test]
fn kl_is_its_definition() {
    let (data, _) = clusters(700, 9, 5, 1.5);
    let p = dense(&data, 9, Settings::default());
    for repulsion in [Repulsion::Exact, Repulsion::Fft] {
        // Under exaggeration too, where the descent's own objective is another.
        for exaggeration in [1.0, 4.0] {
            let settings = Settings { repulsion, exaggeration, iterations: 400, ..Settings::default() };
            let map = fit(&data, 9, settings);
            let want = divergence(&p, &map.points);
            assert!(
                (map.kl / want - 1.0).abs() < 1e-5,
                "{repulsion:?}, {exaggeration}: {}, not {want}",
                map.kl
            );
            let looks: Vec<usize> = map.curve.iter().map(|look| look.iteration).collect();
            assert_eq!(looks, [0, 50, 100, 150, 200, 250, 300, 350, 400]);
            // What is seen on the way is within a thousandth of it, too.
            let stopped =
                Settings { iterations: 300, ..Settings { repulsion, exaggeration, ..Settings::default() } };
            let early = fit(&data, 9, stopped);
            let seen = map.curve.iter().find(|look| look.iteration == 300).unwrap().kl;
            assert!((seen / early.kl - 1.0).abs() < 1e-3, "{seen}, not {}", early.kl);
        }
    }
}

#[test]
fn scale_does_not_matter() {
    let (data, _) = clusters(300, 8, 4, 1.5);
    let p = dense(&data, 8, Settings::default());
    let map = fit(&data, 8, Settings::default());
    for scale in [1e-30_f32, 1e-3, 1e3, 1e30] {
        let scaled: Vec<f32> = data.iter().map(|x| x * scale).collect();
        let other = dense(&scaled, 8, Settings::default());
        let off =
            p.iter().flatten().zip(other.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let largest = p.iter().flatten().copied().fold(0.0, f64::max);
        assert!(off < 2e-5 * largest, "{scale}: P off by {:e}", off / largest);
        let other = fit(&scaled, 8, Settings::default());
        assert!((other.kl / map.kl - 1.0).abs() < 0.05, "{scale}: {}, not {}", other.kl, map.kl);
    }
    // By a power of two no bit changes.
    let scaled: Vec<f32> = data.iter().map(|x| x * 1024.0).collect();
    assert!(bits(&map) == bits(&fit(&scaled, 8, Settings::default())));
    // Cosines do not see the length of a row.
    let settings = || Settings { metric: Metric::Cosine, ..Settings::default() };
    let stretched: Vec<f32> = data
        .chunks(8)
        .enumerate()
        .flat_map(|(i, row)| row.iter().map(move |x| x * (1 + i % 7) as f32))
        .collect();
    let (a, b) = (dense(&data, 8, settings()), dense(&stretched, 8, settings()));
    let off = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 1e-7, "P off by {off:e}");
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let (n, d) = (530, 8);
    let (data, _) = clusters(n, d, 4, 1.5);
    let order: Vec<usize> = (0..n).map(|i| i * 37 % n).collect();
    let moved: Vec<f32> = order.iter().flat_map(|i| data[i * d..(i + 1) * d].to_vec()).collect();
    let (p, other) = (dense(&data, d, Settings::default()), dense(&moved, d, Settings::default()));
    for (i, a) in order.iter().enumerate() {
        for (j, b) in order.iter().enumerate() {
            let (got, want) = (other[i][j], p[*a][*b]);
            assert!((got - want).abs() <= 1e-5 * want + 1e-10, "{got}, not {want}");
        }
    }
    // The same start for each row: after a while the maps are the same map, to what rounding has grown to.
    let mut start = vec![[0.0; 2]; n];
    fill_normal(&Key { seed: 5, stream: 0, step: 0 }, 1.0, start.as_flattened_mut());
    let settings = |start| Settings {
        start: Start::Given(start),
        iterations: 30,
        early_iterations: 0,
        learning_rate: Some(20.0),
        ..Settings::default()
    };
    let map = fit(&data, d, settings(start.clone()));
    let other = fit(&moved, d, settings(order.iter().map(|i| start[*i]).collect()));
    let size = map.flat().iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (i, a) in order.iter().enumerate() {
        for c in 0..2 {
            let (got, want) = (other.points[i][c], map.points[*a][c]);
            assert!((got - want).abs() < 1e-3 * size, "row {a}: {got}, not {want}");
        }
    }
}

#[test]
fn few_rows() {
    for n in [1, 2, 3, 4, 5, 10, 40] {
        for d in [1, 3, 60] {
            let (data, _) = clusters(n, d, 2, 2.0);
            for repulsion in [Repulsion::Auto, Repulsion::Exact, Repulsion::Fft] {
                let map = fit(&data, d, Settings { repulsion, ..Settings::default() });
                assert_eq!(map.points.len(), n);
                assert!(map.flat().iter().all(|x| x.is_finite()), "{n} x {d}: {:?}", map.points);
                assert!(map.kl.is_finite() && map.kl > -1e-4, "{n} x {d}: {}", map.kl);
                assert!(map.changes.iter().any(|change| change.starts_with("perplexity lowered to")));
                let rows = Rows::new(data.clone(), d).unwrap();
                let labels: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
                for against in [Against::Reduced, Against::Full] {
                    let quality = Quality::of(&map, &rows, Some(&labels), against).unwrap();
                    assert!(quality.neighbour_preservation >= 0.0 && quality.trustworthiness <= 1.0);
                }
                let new = map.transform(&rows, data.clone()).unwrap();
                assert!(new.len() == n && new.as_flattened().iter().all(|x| x.is_finite()));
            }
        }
    }
    let (data, _) = clusters(40, 3, 2, 2.0);
    let map = fit(&data, 3, Settings::default());
    assert!(map.changes[0].ends_with("because N = 40") && map.perplexity == 13.0, "{:?}", map.changes);
}

#[test]
fn rows_that_are_equal() {
    // All of them, most of them, and pairs of them.
    for (n, different) in [(5, 1), (300, 1), (300, 3), (300, 150)] {
        let (few, _) = clusters(different, 4, 1, 0.0);
        let data: Vec<f32> =
            (0..n).flat_map(|i| few[i % different * 4..(i % different + 1) * 4].to_vec()).collect();
        let map = fit(&data, 4, Settings::default());
        assert!(map.flat().iter().all(|x| x.is_finite()), "{different} of {n}");
        assert!(map.kl.is_finite());
        let rows = Rows::new(data, 4).unwrap();
        assert!(Quality::of(&map, &rows, None, Against::Reduced).is_ok());
    }
    // A column that never changes is no harm.
    let (data, _) = clusters(200, 3, 3, 3.0);
    let with_constant: Vec<f32> = data.chunks(3).flat_map(|row| [row[0], 7.0, row[1], row[2]]).collect();
    let (p, other) = (dense(&data, 3, Settings::default()), dense(&with_constant, 4, Settings::default()));
    for (a, b) in p.iter().flatten().zip(other.iter().flatten()) {
        assert!((a - b).abs() <= 1e-5 * a, "{b}, not {a}");
    }
}

#[test]
fn new_rows_go_to_their_own() {
    let (data, labels) = clusters(900, 60, 6, 1.0);
    let rows = Rows::new(data[..800 * 60].to_vec(), 60).unwrap();
    let map = Tsne::new(Settings::default()).fit(&rows).unwrap();
    let new = map.transform(&rows, data[800 * 60..].to_vec()).unwrap();
    let right = new.iter().zip(&labels[800..]).filter(|(point, label)| {
        let distance = |other: &[f32; 2]| (other[0] - point[0]).hypot(other[1] - point[1]);
        let nearest = (0..800).min_by(|a, b| distance(&map.points[*a]).total_cmp(&distance(&map.points[*b])));
        labels[nearest.unwrap()] == **label
    });
    assert!(right.count() >= 98);
    // Each is placed as if it came alone, and rows of the map come to lie near themselves.
    assert_eq!(new[..1], map.transform(&rows, data[800 * 60..801 * 60].to_vec()).unwrap());
    let again = map.transform(&rows, data[..800 * 60].to_vec()).unwrap();
    let off =
        again.iter().zip(&map.points).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum::<f32>() / 800.0;
    let quality = Quality::of(&map, &rows, None, Against::Reduced).unwrap();
    assert!(off < 0.05 * quality.extent, "{off} of {}", quality.extent);
    assert!(map.transform(&rows, Vec::new()).unwrap().is_empty());
    assert_eq!(map.transform(&rows, vec![0.0; 61]), Err(TsneError::Shape { numbers: 61, columns: 60 }));
    let mut broken = data[..120].to_vec();
    broken[70] = f32::NAN;
    assert!(matches!(map.transform(&rows, broken), Err(TsneError::NotFinite { row: 1, column: 10, .. })));
}

/// Ends the run at an iteration.
struct Until {
    end: usize,
    seen: Vec<usize>,
    last: Vec<[f32; 2]>,
}

impl Watch for Until {
    fn iteration(&mut self, progress: &Progress<'_>) -> bool {
        self.seen.push(progress.iteration);
        self.last = progress.points();
        assert_eq!(progress.exaggeration, if progress.iteration < 250 { 12.0 } else { 1.0 });
        progress.iteration < self.end
    }
}

#[test]
fn a_run_can_be_watched_and_ended() {
    let (data, _) = clusters(400, 5, 4, 2.0);
    let rows = Rows::new(data, 5).unwrap();
    let mut watch = Until { end: 300, seen: Vec::new(), last: Vec::new() };
    let map = Tsne::new(Settings { check_every: 100, ..Settings::default() })
        .fit_watched(&rows, &mut watch)
        .unwrap();
    assert_eq!((map.iterations, map.stopped), (300, true));
    assert_eq!(watch.seen[..4], [0, 100, 200, 300]);
    assert_eq!(watch.last, map.points);
    let early = Tsne::new(Settings { stop_below: Some(0.2), ..Settings::default() }).fit(&rows).unwrap();
    assert!(early.stopped && early.iterations > 250 && early.iterations < 750, "{}", early.iterations);
}

#[test]
fn starts() {
    let (data, _) = clusters(300, 5, 4, 2.0);
    let maps: Vec<Embedding> = [0, 1]
        .map(|seed| fit(&data, 5, Settings { start: Start::Random, seed, ..Settings::default() }))
        .into();
    assert!(bits(&maps[0]) != bits(&maps[1]) && maps[0].hash() != maps[1].hash());
    let start: Vec<[f32; 2]> = (0..300).map(|i| [i as f32, -(i as f32)]).collect();
    let given =
        |points, iterations| Settings { start: Start::Given(points), iterations, ..Settings::default() };
    assert_eq!(fit(&data, 5, given(start.clone(), 0)).points, start);
    let rows = Rows::new(data, 5).unwrap();
    assert_eq!(
        Tsne::new(given(start[1..].to_vec(), 0)).fit(&rows).unwrap_err().to_string(),
        "299 points to start from for 300 rows"
    );
    let mut broken = start;
    broken[17][1] = f32::INFINITY;
    assert!(Tsne::new(given(broken, 0)).fit(&rows).unwrap_err().to_string().contains("row 17"));
}

#[test]
fn settings_out_of_range_are_refused() {
    let rows = Rows::new(vec![1.0, 2.0, 4.0], 1).unwrap();
    type Spoil = fn(&mut Settings);
    let bad: [(&str, Spoil); 10] = [
        ("perplexity", |s| s.perplexity = 0.5),
        ("perplexity", |s| s.perplexity = f64::NAN),
        ("early exaggeration", |s| s.early_exaggeration = 0.0),
        ("exaggeration", |s| s.exaggeration = f64::INFINITY),
        ("learning rate", |s| s.learning_rate = Some(0.0)),
        ("longest step", |s| s.longest_step = -1.0),
        ("momentum", |s| s.momentum = 1.0),
        ("pca", |s| s.pca = Some(0)),
        ("check every", |s| s.check_every = 0),
        ("stop below", |s| s.stop_below = Some(2.0)),
    ];
    for (name, spoil) in bad {
        let mut settings = Settings::default();
        spoil(&mut settings);
        let error = Tsne::new(settings).fit(&rows).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn memory_is_known_before_and_is_not_square() {
    let settings = Settings::default();
    let gib = |n, d| memory_needed(n, d, &settings) as f64 / (1u64 << 30) as f64;
    assert!(gib(300_000, 50) < 4.0, "{}", gib(300_000, 50));
    assert!(gib(2_000_000, 50) / gib(1_000_000, 50) < 2.1);
    let rows = Rows::new(clusters(500, 50, 2, 1.0).0, 50).unwrap();
    let limited = Settings { memory_limit: Some(1 << 20), ..Settings::default() };
    let error = Tsne::new(limited).fit(&rows).unwrap_err();
    assert!(matches!(error, TsneError::Memory { rows: 500, limit: 0x10_0000, .. }), "{error}");
}

#[test]
fn labels_must_be_as_many_as_rows() {
    let rows = Rows::new(vec![1.0, 2.0, 4.0], 1).unwrap();
    let map = Tsne::new(Settings::default()).fit(&rows).unwrap();
    let error = Quality::of(&map, &rows, Some(&[1, 2]), Against::Reduced).unwrap_err();
    assert_eq!(error.to_string(), "2 labels for 3 rows");
}
