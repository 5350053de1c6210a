//! Small pictures of eight kinds, for the demo's classifier: a shape or a texture in random colours, at a
//! random place, size and angle, on a shaded ground under noise, so that only the form tells the class.

use super::dice::Dice;
use hectare_data::Image;

/// What the pictures show, in the order of the class numbers.
pub const KINDS: [&str; 8] = ["disc", "square", "triangle", "ring", "cross", "stripes", "checks", "dots"];

/// Width and height of a picture.
pub const SIDE: usize = 32;

/// Sub-samples per pixel and axis.
const FINE: usize = 3;

/// Picture number `index` of class `kind` in the set that `stream` names.
pub fn draw(seed: u64, stream: u64, kind: usize, index: usize) -> Image {
    let mut dice = Dice::new(seed, stream, (kind * 1_000_000 + index) as u64);
    let (ground, ink) = two_colours(&mut dice);
    let angle = dice.between(0.0, std::f32::consts::TAU);
    let (sin, cos) = angle.sin_cos();
    let texture = kind >= 5;
    let centre = [dice.between(13.0, 19.0), dice.between(13.0, 19.0)];
    let radius = if texture { dice.between(3.2, 5.0) } else { dice.between(7.0, 11.5) };
    let shade = [dice.between(-1.2, 1.2), dice.between(-1.2, 1.2)];
    let noise = dice.between(4.0, 12.0);
    let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let mut inside = 0;
            for sub in 0..FINE * FINE {
                let step = |i: usize| (i as f32 + 0.5) / FINE as f32;
                let dx = x as f32 + step(sub % FINE) - centre[0];
                let dy = y as f32 + step(sub / FINE) - centre[1];
                let (u, v) = ((cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius);
                inside += usize::from(covers(kind, u, v));
            }
            let share = inside as f32 / (FINE * FINE) as f32;
            let light = shade[0] * (x as f32 - 16.0) + shade[1] * (y as f32 - 16.0);
            for channel in 0..3 {
                let value = ground[channel] + share * (ink[channel] - ground[channel]);
                pixels.push((value + light + noise * dice.normal()).clamp(0.0, 255.0) as u8);
            }
        }
    }
    Image { width: SIDE, height: SIDE, pixels }
}

/// Two colours that an eye tells apart.
fn two_colours(dice: &mut Dice) -> ([f32; 3], [f32; 3]) {
    loop {
        let mut colour = || [dice.between(20.0, 235.0), dice.between(20.0, 235.0), dice.between(20.0, 235.0)];
        let (a, b) = (colour(), colour());
        if (0..3).map(|i| (a[i] - b[i]).abs()).sum::<f32>() > 210.0 {
            return (a, b);
        }
    }
}

/// Whether the shape covers (`u`, `v`), in units of its radius.
fn covers(kind: usize, u: f32, v: f32) -> bool {
    let r = u.hypot(v);
    let (au, av) = (u.abs(), v.abs());
    match kind {
        0 => r < 0.9,
        1 => au < 0.8 && av < 0.8,
        2 => v < 0.55 && v > 1.73 * au - 1.1,
        3 => r < 1.05 && r > 0.6,
        4 => (au < 0.28 && av < 1.1) || (av < 0.28 && au < 1.1),
        5 => u.rem_euclid(1.5) < 0.75,
        6 => (u.rem_euclid(2.0) < 1.0) != (v.rem_euclid(2.0) < 1.0),
        _ => (u.rem_euclid(1.6) - 0.8).hypot(v.rem_euclid(1.6) - 0.8) < 0.48,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_depends_on_its_numbers_alone() {
        assert_eq!(draw(1, 2, 3, 4).pixels, draw(1, 2, 3, 4).pixels);
        assert_ne!(draw(1, 2, 3, 4).pixels, draw(1, 2, 3, 5).pixels);
        assert_ne!(draw(1, 2, 3, 4).pixels, draw(1, 3, 3, 4).pixels);
    }

    #[test]
    fn every_kind_covers_some_and_leaves_some() {
        for kind in 0..KINDS.len() {
            let grid = (0..400).map(|i| ((i % 20) as f32 / 10.0 - 0.95, (i / 20) as f32 / 10.0 - 0.95));
            let covered = grid.filter(|&(u, v)| covers(kind, u, v)).count();
            assert!((60..360).contains(&covered), "{} covers {covered} of 400", KINDS[kind]);
        }
    }
}
