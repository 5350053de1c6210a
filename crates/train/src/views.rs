//! A picture shown to the network several times, turned and mirrored, and the answers averaged (test-time augmentation).

use hectare_data::Image;
use hectare_kernels::threads;

/// In which positions a network sees a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// As it is.
    #[default]
    One,
    /// Mirrored and turned: all eight positions for segmentation, and for classification as it is and mirrored left
    /// to right. The probabilities are averaged.
    Flips,
}

impl Views {
    pub(crate) fn positions(self, is_classifier: bool) -> &'static [Position] {
        match (self, is_classifier) {
            (Views::One, _) => &ALL[..1],
            (Views::Flips, true) => &ALL[..2],
            (Views::Flips, false) => &ALL,
        }
    }
}

/// One of the eight positions of a rectangle: mirrored, then its rows made columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    flip_h: bool,
    flip_v: bool,
    transpose: bool,
}

/// All of them; the first leaves everything as it is, the second mirrors left to right.
const ALL: [Position; 8] = {
    let mut all = [Position { flip_h: false, flip_v: false, transpose: false }; 8];
    let mut at = 0;
    while at < 8 {
        all[at] = Position { flip_h: at & 1 != 0, flip_v: at & 2 != 0, transpose: at & 4 != 0 };
        at += 1;
    }
    all
};

impl Position {
    /// The picture in this position.
    pub fn show(self, image: &Image) -> Image {
        let [width, height] = image.size();
        let [to_width, to_height] = self.size([width, height]);
        Image::from_fn(to_width, to_height, |x, y| {
            let (x, y) = if self.transpose { (y, x) } else { (x, y) };
            let (x, y) = self.mirror([x, y], [width, height]);
            let at = 3 * (y * width + x);
            [image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]]
        })
    }

    /// Width and height in this position.
    pub fn size(self, [width, height]: [usize; 2]) -> [usize; 2] {
        if self.transpose { [height, width] } else { [width, height] }
    }

    /// Adds what was said of a picture of `size` in this position (H x W x `k` there) to `sum`, which lies as the
    /// picture does.
    pub fn add_back(self, said: &[f32], [width, height]: [usize; 2], k: usize, sum: &mut [f32]) {
        let [shown_width, _] = self.size([width, height]);
        threads::parallel_chunks_mut(sum, (width * k).max(1), |y, row| {
            for (x, sum) in row.chunks_exact_mut(k).enumerate() {
                let (u, v) = self.mirror([x, y], [width, height]);
                let (u, v) = if self.transpose { (v, u) } else { (u, v) };
                let said = &said[(v * shown_width + u) * k..][..k];
                sum.iter_mut().zip(said).for_each(|(sum, said)| *sum += said);
            }
        });
    }

    fn mirror(self, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> (usize, usize) {
        (if self.flip_h { width - 1 - x } else { x }, if self.flip_v { height - 1 - y } else { y })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_comes_back() {
        for size in [[1, 1], [5, 3], [4, 7]] {
            let [width, height] = size;
            let image = Image::from_fn(width, height, |x, y| [x as u8, y as u8, 7]);
            let mut seen = Vec::new();
            for position in Views::Flips.positions(false) {
                let shown = position.show(&image);
                assert_eq!(shown.size(), position.size(size));
                let said: Vec<f32> = shown.pixels.iter().map(|v| f32::from(*v)).collect();
                let mut sum = vec![1.0; said.len()];
                position.add_back(&said, size, 3, &mut sum);
                let back: Vec<u8> = sum.iter().map(|v| *v as u8 - 1).collect();
                assert_eq!(back, image.pixels, "{position:?}");
                seen.push(shown);
            }
            if width > 1 {
                seen.dedup();
                assert_eq!(seen.len(), 8);
            }
        }
        let image = Image::from_fn(2, 1, |x, _| [x as u8; 3]);
        let mirrored = Image::from_fn(2, 1, |x, _| [1 - x as u8; 3]);
        let [first, second] = Views::Flips.positions(true) else { panic!("two positions") };
        assert_eq!((first.show(&image), second.show(&image)), (image, mirrored));
    }
}
