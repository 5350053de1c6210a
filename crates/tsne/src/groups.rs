//! Classes that do not separate.
//!
//! The mixing of two classes is the share of either's neighbours that belong to the other. Classes are joined, the
//! most mixed first, into groups whose members mix with each other on average (average linkage), down to a bound
//! that follows from the classes at hand.

use std::collections::BTreeMap;

use hectare_kernels::nearest::Neighbours;
use serde::Serialize;

use crate::quality::NEIGHBOURS;

/// Labels as places in the list of those that occur.
pub(crate) struct Classes {
    /// Numbers that occur, ascending.
    pub numbers: Vec<u32>,
    /// Rows of each.
    pub counts: Vec<usize>,
    /// The place of each row's number.
    pub of_row: Vec<usize>,
}

impl Classes {
    pub(crate) fn of(labels: &[u32]) -> Classes {
        let mut counts = BTreeMap::new();
        for label in labels {
            *counts.entry(*label).or_insert(0) += 1;
        }
        let numbers: Vec<u32> = counts.keys().copied().collect();
        let place: BTreeMap<u32, usize> = numbers.iter().enumerate().map(|(i, label)| (*label, i)).collect();
        let of_row = labels.iter().map(|label| place[label]).collect();
        Classes { numbers, counts: counts.into_values().collect(), of_row }
    }
}

/// Where classes mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Among the points of the map.
    Map,
    /// Among the features.
    Features,
}

/// Classes that mix with each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Where.
    pub space: Space,
    /// Their numbers, ascending.
    pub classes: Vec<u32>,
    /// Share of the members' 10 nearest others that belong to other members.
    pub mixed: f64,
    /// Share that belong to the point's own class.
    pub own: f64,
    /// Share that belong to classes outside the group.
    pub outside: f64,
    /// Pairs of members by their mixing, the most mixed first.
    pub pairs: Vec<MixedPair>,
}

/// Two classes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MixedPair {
    /// One of them.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// Share of the neighbours of a's points that are b's, and of b's that are a's, mean over all points of both.
    pub mixed: f64,
}

/// Classes join while their mean mixing is at least this many times that of all pairs of classes ...
const TIMES_MEAN: f64 = 4.0;

/// ... and at least the first of these shares of neighbours. The second is enough whatever the mean: with few classes
/// the mean is high where most of them mix.
const ENOUGH: [f64; 2] = [0.03, 0.1];

/// Groups of at least two classes, those of the map first, the most mixed first.
pub(crate) fn groups(labels: &[u32], of_rows: &Neighbours, of_points: &Neighbours) -> Vec<Group> {
    let classes = Classes::of(labels);
    let mut found = Vec::new();
    for (space, neighbours) in [(Space::Map, of_points), (Space::Features, of_rows)] {
        let shares = neighbour_shares(&classes, neighbours);
        let mut of_space: Vec<Group> = join(&classes, &shares)
            .into_iter()
            .filter(|members| members.len() > 1)
            .map(|members| describe(space, &classes, &shares, &members))
            .collect();
        of_space.sort_by(|a, b| b.mixed.total_cmp(&a.mixed));
        found.extend(of_space);
    }
    found
}

/// `shares[a][b]`: of the neighbours of a's points, those of class b.
fn neighbour_shares(classes: &Classes, found: &Neighbours) -> Vec<Vec<f64>> {
    let count = classes.numbers.len();
    let k = NEIGHBOURS.min(found.k);
    let mut shares = vec![vec![0.0; count]; count];
    for (row, class) in classes.of_row.iter().enumerate() {
        for j in &found.index[row * found.k..row * found.k + k] {
            shares[*class][classes.of_row[*j as usize]] += 1.0 / (k * classes.counts[*class]) as f64;
        }
    }
    shares
}

/// The mean of both directions, weighted by points.
fn mixing(classes: &Classes, shares: &[Vec<f64>], a: usize, b: usize) -> f64 {
    let (na, nb) = (classes.counts[a] as f64, classes.counts[b] as f64);
    (na * shares[a][b] + nb * shares[b][a]) / (na + nb)
}

/// Average linkage.
fn join(classes: &Classes, shares: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let count = classes.numbers.len();
    if count < 2 {
        return Vec::new();
    }
    let pairs = (count * (count - 1) / 2) as f64;
    let all: f64 = (0..count)
        .flat_map(|a| (0..a).map(move |b| (a, b)))
        .map(|(a, b)| mixing(classes, shares, a, b))
        .sum();
    let bound = (TIMES_MEAN * all / pairs).clamp(ENOUGH[0], ENOUGH[1]);
    let mut clusters: Vec<Vec<usize>> = (0..count).map(|class| vec![class]).collect();
    loop {
        let mut best = (bound, None);
        for i in 0..clusters.len() {
            for j in 0..i {
                let sum: f64 = clusters[i]
                    .iter()
                    .flat_map(|a| clusters[j].iter().map(move |b| (*a, *b)))
                    .map(|(a, b)| mixing(classes, shares, a, b))
                    .sum();
                let mean = sum / (clusters[i].len() * clusters[j].len()) as f64;
                if mean > best.0 {
                    best = (mean, Some((i, j)));
                }
            }
        }
        let Some((i, j)) = best.1 else { break };
        let joined = clusters.remove(i);
        clusters[j].extend(joined);
    }
    for cluster in &mut clusters {
        cluster.sort_unstable();
    }
    clusters
}

fn describe(space: Space, classes: &Classes, shares: &[Vec<f64>], members: &[usize]) -> Group {
    let points: usize = members.iter().map(|a| classes.counts[*a]).sum();
    let mean = |of: &dyn Fn(usize) -> f64| {
        members.iter().map(|a| classes.counts[*a] as f64 * of(*a)).sum::<f64>() / points as f64
    };
    let own = mean(&|a| shares[a][a]);
    let mixed = mean(&|a| members.iter().filter(|b| **b != a).map(|b| shares[a][*b]).sum());
    let mut pairs: Vec<MixedPair> = members
        .iter()
        .flat_map(|a| members.iter().filter(move |b| *b > a).map(move |b| (*a, *b)))
        .map(|(a, b)| MixedPair {
            a: classes.numbers[a],
            b: classes.numbers[b],
            mixed: mixing(classes, shares, a, b),
        })
        .collect();
    pairs.sort_by(|a, b| b.mixed.total_cmp(&a.mixed));
    Group {
        space,
        classes: members.iter().map(|a| classes.numbers[*a]).collect(),
        mixed,
        own,
        outside: (1.0 - own - mixed).max(0.0),
        pairs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six classes of ten; the points of 0, 1 and 2 stand alternately in one row, those of 3 and 4 in another.
    fn neighbours_of(labels: &[u32]) -> Neighbours {
        let ring: Vec<Vec<u32>> = [&[0, 1, 2][..], &[3, 4], &[5]]
            .iter()
            .map(|set| (0..labels.len() as u32).filter(|i| set.contains(&labels[*i as usize])).collect())
            .collect();
        let mut index = Vec::new();
        for (i, label) in labels.iter().enumerate() {
            let set = ring.iter().find(|set| set.contains(&(i as u32))).expect("each has a ring");
            let at = set.iter().position(|j| *j == i as u32).expect("itself");
            let others = (1..set.len()).map(|step| set[(at + step) % set.len()]);
            index.extend(others.take(9));
            let _ = label;
        }
        Neighbours { k: 9, squared: vec![0.0; index.len()], index }
    }

    #[test]
    fn classes_that_stand_among_each_other_are_a_group() {
        let labels: Vec<u32> = (0..60).map(|i| i % 6).collect();
        let found = groups(&labels, &neighbours_of(&labels), &neighbours_of(&labels));
        let sets: Vec<_> = found.iter().map(|group| (group.space, group.classes.clone())).collect();
        assert_eq!(
            sets,
            [
                (Space::Map, vec![0, 1, 2]),
                (Space::Map, vec![3, 4]),
                (Space::Features, vec![0, 1, 2]),
                (Space::Features, vec![3, 4])
            ]
        );
        for group in &found {
            assert!((group.own + group.mixed + group.outside - 1.0).abs() < 1e-12 && group.outside < 1e-12);
        }
    }

    #[test]
    fn one_class_is_no_group() {
        let labels = vec![4; 60];
        assert!(
            groups(
                &labels,
                &neighbours_of(&(0..60).map(|i| i % 6).collect::<Vec<_>>()),
                &neighbours_of(&(0..60).map(|i| i % 6).collect::<Vec<_>>())
            )
            .is_empty()
        );
    }
}
