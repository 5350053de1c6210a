//! The check of a set of one class per pixel.

use std::collections::HashMap;
use std::path::Path;

use hectare_net::ClassMap;

use super::fault::{Fault, FaultKind};
use super::look::{Look, MaskLook};
use super::report::{CheckReport, ClassShare, ColourCount, MOST_COLOURS, SetContents, SizeCount};
use super::twins::{self, Item, Label};
use super::{absent_classes, for_each, other_sizes};
use crate::mask_file::nearest_class;
use crate::segmentation::Clash;
use crate::verify::Progress;
use crate::{DataError, Exclusion, SegSample, SegmentationSet};

/// Looks at every picture and mask of a segmentation set, and at those of the set `against`, where given.
///
/// # Errors
/// Only when a set cannot be opened at all; faults of files are part of the report.
pub fn check_segmentation(
    path: &Path,
    classes: &ClassMap,
    against: Option<&Path>,
    progress: Progress,
) -> Result<CheckReport, DataError> {
    let open = |path| SegmentationSet::survey(path, &Exclusion::default());
    let mut sides = vec![open(path)?];
    sides.extend(against.map(open).transpose()?);
    let samples: Vec<&SegSample> = sides.iter().flat_map(|(set, _)| &set.samples).collect();
    let looks = for_each(samples.len(), progress, |i| {
        (Look::at(&samples[i].image), MaskLook::at(&samples[i].mask, classes))
    });

    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    let (mut contents, mut items) = (Vec::new(), Vec::new());
    let mut looks = looks.into_iter();
    for (set, clashes) in &sides {
        let mut side = Side::new(classes);
        for (sample, (image, mask)) in set.samples.iter().zip(looks.by_ref()) {
            side.add(sample, image, mask, &mut faults, &mut notes);
        }
        faults.extend(set.orphans.iter().map(|orphan| orphan_fault(orphan.as_path())));
        faults.extend(clashes.iter().map(clash_fault));
        let (contradictions, duplicates) = twins::within(&set.root, &side.items);
        faults.extend(contradictions);
        notes.extend(duplicates);
        notes.extend(other_sizes(&side.sized));
        let paired = set.samples.iter().flat_map(|sample| [&sample.image, &sample.mask]);
        notes.extend(twins::case_collisions(
            paired.chain(&set.orphans).chain(clashes.iter().map(|c| &c.second)),
        ));
        contents.push(SetContents {
            root: set.root.clone(),
            samples: set.samples.len(),
            sizes: SizeCount::of(side.sized.iter().map(|(_, size)| *size)),
            classes: ClassShare::of(classes.classes.iter().map(|c| c.name.as_str()), &side.counts),
            colours: side.colour_counts(),
        });
        items.push(side.items);
    }
    if let [own, others] = &items[..] {
        faults.extend(twins::across(own, others));
    }
    let mut contents = contents.into_iter();
    let (set, against) = (contents.next().expect("the set itself"), contents.next());
    let wanted = |id: usize| {
        let class = &classes.classes[id];
        !class.ignored && !class.name.eq_ignore_ascii_case("unknown")
    };
    absent_classes(&set, against.as_ref(), "pixels", wanted, &mut faults, &mut notes);
    Ok(CheckReport { task: "segment", set, against, faults, notes })
}

/// What gathers while one set's pairs are gone through.
struct Side<'a> {
    classes: &'a ClassMap,
    counts: Vec<u64>,
    sized: Vec<(&'a Path, [usize; 2])>,
    items: Vec<Item<'a>>,
    /// Pixels and masks of each colour that is no class's own.
    colours: HashMap<[u8; 3], (u64, usize)>,
}

impl<'a> Side<'a> {
    fn new(classes: &'a ClassMap) -> Side<'a> {
        let counts = vec![0; classes.len()];
        Side { classes, counts, sized: Vec::new(), items: Vec::new(), colours: HashMap::new() }
    }

    fn add(
        &mut self,
        sample: &'a SegSample,
        image: Result<Look, DataError>,
        mask: Result<MaskLook, DataError>,
        faults: &mut Vec<Fault>,
        notes: &mut Vec<Fault>,
    ) {
        match &image {
            Err(error) => faults.push(Fault::of(&sample.image, error)),
            Ok(look) => {
                notes.extend(look.oddities(&sample.image));
                self.sized.push((&sample.image, look.size));
                // A mask that is at fault itself is no label.
                let sound = |mask: &&MaskLook| mask.unlisted.is_none() && mask.size == look.size;
                let mask = mask.as_ref().ok().filter(sound);
                let label = mask.map_or(Label::None, |mask| Label::Mask(mask.digest));
                self.items.push(Item { path: &sample.image, digest: look.digest, label });
            }
        }
        match &mask {
            Err(error) => faults.push(Fault::of(&sample.mask, error)),
            Ok(look) => {
                notes.extend(look.oddities(&sample.mask));
                faults.extend(look.unlisted.iter().map(|error| Fault::of(&sample.mask, error)));
                self.counts.iter_mut().zip(&look.counts).for_each(|(sum, n)| *sum += n);
                for &(colour, pixels) in &look.colours {
                    let entry = self.colours.entry(colour).or_default();
                    *entry = (entry.0 + pixels, entry.1 + 1);
                    notes.extend(self.alias(sample, colour, pixels));
                }
            }
        }
        if let (Ok(Look { size: image_size, .. }), Ok(MaskLook { size: mask_size, .. })) = (image, mask)
            && image_size != mask_size
        {
            let (image, mask) = (sample.image.clone(), sample.mask.clone());
            let error = DataError::SizeMismatch { image, image_size, mask, mask_size };
            faults.push(Fault::of(&sample.mask, &error));
        }
    }

    fn alias(&self, sample: &SegSample, colour: [u8; 3], pixels: u64) -> Option<Fault> {
        let class = self.read_as(colour)?;
        let [r, g, b] = colour;
        let mask = sample.mask.display();
        let what = if pixels == 1 { "pixel is" } else { "pixels are" };
        let text = format!("{mask}: {pixels} {what} of colour {r},{g},{b}, read as {class}");
        Some(Fault::new(FaultKind::Alias, &sample.mask, text))
    }

    /// The class that a colour which is no class's own is read as.
    fn read_as(&self, colour: [u8; 3]) -> Option<&str> {
        let id = self.classes.id_of(colour)?;
        self.classes.classes.get(usize::from(id)).map(|class| class.name.as_str())
    }

    /// The colours that are no class's own: aliases, then the most frequent unlisted ones.
    fn colour_counts(&self) -> Vec<ColourCount> {
        let count = |(&colour, &(pixels, masks)): (&[u8; 3], &(u64, usize))| ColourCount {
            colour,
            pixels,
            masks,
            read_as: self.read_as(colour).map(str::to_string),
            nearest: nearest_class(self.classes, colour).0,
        };
        let mut colours: Vec<ColourCount> = self.colours.iter().map(count).collect();
        colours.sort_by_key(|c| (c.read_as.is_none(), std::cmp::Reverse(c.pixels), c.colour));
        colours.truncate(MOST_COLOURS);
        colours
    }
}

fn orphan_fault(orphan: &Path) -> Fault {
    let is_mask = crate::files::stem(orphan).ends_with("_mask")
        || orphan.parent().and_then(Path::file_name).is_some_and(|f| f.eq_ignore_ascii_case("masks"));
    let partner = if is_mask { "picture" } else { "mask" };
    Fault::new(FaultKind::Orphan, orphan, format!("{} has no {partner}", orphan.display()))
}

fn clash_fault(Clash { stem, first, second }: &Clash) -> Fault {
    let error = DataError::DuplicateStem { stem: stem.clone(), first: first.clone(), second: second.clone() };
    Fault::pair(FaultKind::SameStem, second, first, error)
}
