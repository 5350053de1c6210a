//! What is said of a window: the classes of its pixels, and their probabilities where those are needed.

use crate::Window;

/// What a map needs of a window.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The pixels that the window contributes to, a rectangle of it.
    pub part: Window,
    /// Those of them that it decides alone, counted from the upper left corner of `part`: of them the class is needed.
    pub alone: Window,
    /// For each class, whether pixels may become it.
    pub given: &'a [bool],
    /// Whether the probabilities of those that it decides alone are needed too.
    pub everywhere: bool,
}

/// What is said of a window. The numbers are kept for the next one's memory.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Probabilities of the pixels of [`Wanted::part`], rows x columns x K. Those of pixels that the window decides alone
    /// may be left as they were, if they are not wanted.
    pub probabilities: Vec<f32>,
    /// Classes of the pixels of [`Wanted::alone`], row by row.
    pub ids: Vec<u8>,
}

/// The most probable class of each pixel, of equals the first, among those that are `given`; 0 where none is.
pub(crate) fn choose(values: &[f32], given: &[bool], ids: &mut [u8]) {
    /// With the number of classes known, no pixel needs a loop.
    fn of<const K: usize>(values: &[f32], given: &[bool], ids: &mut [u8]) {
        let given: &[bool; K] = given.try_into().expect("as many classes");
        let first = given.iter().position(|given| *given).unwrap_or(0);
        for (values, id) in values.as_chunks::<K>().0.iter().zip(ids) {
            let (mut best, mut most) = (first as u8, values[first]);
            for class in 0..K {
                let more = given[class] & (values[class] > most);
                best = if more { class as u8 } else { best };
                most = if more { values[class] } else { most };
            }
            *id = best;
        }
    }
    match given.len() {
        2 => of::<2>(values, given, ids),
        3 => of::<3>(values, given, ids),
        4 => of::<4>(values, given, ids),
        5 => of::<5>(values, given, ids),
        6 => of::<6>(values, given, ids),
        7 => of::<7>(values, given, ids),
        8 => of::<8>(values, given, ids),
        k => {
            let first = given.iter().position(|given| *given).unwrap_or(0);
            for (values, id) in values.chunks_exact(k).zip(ids) {
                let mut best = first;
                for class in (0..k).filter(|class| given[*class]) {
                    best = if values[class] > values[best] { class } else { best };
                }
                *id = best as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NODATA;
    use crate::testing::noise;

    #[test]
    fn the_most_probable_class_that_may_be_given() {
        for k in 1..=10 {
            let values: Vec<f32> = (0..k * 97)
                .map(|i| match noise(i, k, 3) % 5 {
                    4 if i % 11 == 0 => f32::NAN,
                    level => f32::from(level),
                })
                .collect();
            for step in 1..=3 {
                let given: Vec<bool> =
                    (0..k).map(|class| (class + 1) % (step + 1) != 0 || step == 3).collect();
                let mut ids = vec![NODATA; 97];
                choose(&values, &given, &mut ids);
                for (values, id) in values.chunks_exact(k).zip(&ids) {
                    let mut best: Option<usize> = None;
                    for class in (0..k).filter(|class| given[*class]) {
                        if best.is_none_or(|best| values[class] > values[best]) {
                            best = Some(class);
                        }
                    }
                    assert_eq!(usize::from(*id), best.unwrap_or(0), "{values:?} {given:?}");
                }
            }
        }
    }
}
