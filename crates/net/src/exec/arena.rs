//! Places in one arena for buffers that live for a while.

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
}

/// A buffer that is used from step `first` to step `last`, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub len: usize,
    pub first: usize,
    pub last: usize,
}

/// Gives each buffer a place such that no two that live at the same time overlap; returns the places and
/// the arena's length. Starts are multiples of `align`. Without `reuse` no two overlap at all.
///
/// Largest buffers first, each in the lowest gap that fits: "greedy by size" of Pisarchyk and Lee 2020
/// (Efficient memory management for deep neural net inference).
pub(crate) fn place(buffers: &[Lifetime], align: usize, reuse: bool) -> (Vec<Span>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).filter(|&i| buffers[i].len > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].len), buffers[i].first, i));
    let mut spans = vec![Span::default(); buffers.len()];
    let mut placed: Vec<usize> = Vec::new(); // by start
    let mut total = 0;
    for i in order {
        let buffer = buffers[i];
        let mut start = 0;
        for &j in &placed {
            let other = buffers[j];
            if reuse && (other.last < buffer.first || buffer.last < other.first) {
                continue;
            }
            if start + buffer.len <= spans[j].start {
                break;
            }
            start = start.max((spans[j].start + other.len).next_multiple_of(align));
        }
        spans[i] = Span { start, len: buffer.len };
        total = total.max(start + buffer.len);
        let at = placed.partition_point(|&j| spans[j].start <= start);
        placed.insert(at, i);
    }
    (spans, total.next_multiple_of(align))
}

/// The most spans that [`split`] takes.
const MOST: usize = 16;

/// Cuts `arena` into slices to read and slices to write. Spans to read may be equal to one another;
/// beyond that none may overlap.
///
/// # Panics
/// When spans overlap: the plan is wrong.
pub(crate) fn split<const R: usize, const W: usize>(
    arena: &mut [f32],
    reads: [Span; R],
    writes: [Span; W],
) -> ([&[f32]; R], [&mut [f32]; W]) {
    const { assert!(R + W <= MOST) };
    let mut order = [(0, 0, 0); MOST]; // start, length, index
    let mut count = 0;
    for (index, span) in reads.iter().chain(&writes).enumerate() {
        let seen = index < R && reads[..index].contains(span);
        if span.len > 0 && !seen {
            order[count] = (span.start, span.len, index);
            count += 1;
        }
    }
    order[..count].sort_unstable();
    let mut read: [&[f32]; R] = [&[]; R];
    let mut written: [&mut [f32]; W] = std::array::from_fn(|_| -> &mut [f32] { &mut [] });
    let (mut rest, mut at) = (arena, 0);
    for &(start, len, index) in &order[..count] {
        let skip = start.checked_sub(at).expect("buffers in use do not overlap");
        let (part, tail) = rest.split_at_mut(skip).1.split_at_mut(len);
        (rest, at) = (tail, start + len);
        if index < R {
            read[index] = part;
        } else {
            written[index - R] = part;
        }
    }
    for index in 1..R {
        if let Some(first) = reads[..index].iter().position(|span| *span == reads[index]) {
            read[index] = read[first];
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_in_use_never_overlap() {
        // Lengths and lifetimes from a small linear congruential generator.
        let mut state = 1_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let buffers: Vec<Lifetime> = (0..200)
            .map(|_| {
                let first = draw(100) as usize;
                Lifetime { len: draw(50) as usize, first, last: first + draw(20) as usize }
            })
            .collect();
        let (spans, total) = place(&buffers, 16, true);
        for (i, (a, s)) in buffers.iter().zip(&spans).enumerate() {
            assert!(s.len == a.len && s.start + s.len <= total && s.start % 16 == 0);
            for (b, t) in buffers.iter().zip(&spans).skip(i + 1) {
                let apart_in_time = a.last < b.first || b.last < a.first;
                let apart_in_space = s.start + s.len <= t.start || t.start + t.len <= s.start;
                assert!(
                    apart_in_time || apart_in_space || s.len == 0 || t.len == 0,
                    "{a:?} {s:?} {b:?} {t:?}"
                );
            }
        }
        let apart = place(&buffers, 16, false).1;
        assert!(total < apart / 3, "{total} {apart}");
    }

    #[test]
    fn split_gives_the_right_parts() {
        let mut arena: Vec<f32> = (0..10).map(|x| x as f32).collect();
        let span = |start, len| Span { start, len };
        let (reads, writes) = split(
            &mut arena,
            [span(6, 2), span(1, 2), span(6, 2)],
            [span(8, 1), Span::default(), span(3, 3)],
        );
        assert_eq!(reads, [&[6.0, 7.0][..], &[1.0, 2.0], &[6.0, 7.0]]);
        assert_eq!(writes, [&[8.0][..], &[], &[3.0, 4.0, 5.0]]);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn split_refuses_overlaps() {
        split(&mut [0.0; 8], [Span { start: 0, len: 4 }], [Span { start: 3, len: 2 }]);
    }
}
