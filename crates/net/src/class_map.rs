//! What the classes are called, and which colours stand for them.

use serde::{Deserialize, Serialize};

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// The number that masks and logits use.
    pub id: u8,
    /// What people call it.
    pub name: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Whether its pixels are left out of the loss; such a class is never predicted.
    #[serde(default)]
    pub ignored: bool,
}

/// The classes of a data set or a model, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassMap {
    /// The classes; the id of each is its position.
    pub classes: Vec<Class>,
    /// Further colours that are read as a class (and never written), with that class's id.
    #[serde(default)]
    pub aliases: Vec<([u8; 3], u8)>,
}

impl ClassMap {
    /// The seven land-cover classes of the course and of DeepGlobe. Red is read as Unknown.
    pub fn course() -> ClassMap {
        const CLASSES: [(&str, [u8; 3]); 7] = [
            ("Urban", [0, 255, 255]),
            ("Agriculture", [255, 255, 0]),
            ("Rangeland", [255, 0, 255]),
            ("Forest", [0, 255, 0]),
            ("Water", [0, 0, 255]),
            ("Barren", [255, 255, 255]),
            ("Unknown", [0, 0, 0]),
        ];
        let class = |(id, (name, colour)): (usize, &(&str, [u8; 3]))| Class {
            id: id as u8,
            name: (*name).to_owned(),
            colour: *colour,
            ignored: false,
        };
        ClassMap { classes: CLASSES.iter().enumerate().map(class).collect(), aliases: vec![([255, 0, 0], 6)] }
    }

    /// `count` classes (at most 256) named by their number, in the colours of PASCAL VOC's palette.
    pub fn numbered(count: usize) -> ClassMap {
        let class = |id: usize| Class {
            id: id as u8,
            name: id.to_string(),
            colour: voc_colour(id as u8),
            ignored: false,
        };
        ClassMap { classes: (0..count.min(256)).map(class).collect(), aliases: Vec::new() }
    }

    /// The map that a new model of `count` classes starts with: the course's palette where a segmentation
    /// model has seven, numbers otherwise.
    pub fn default_for(count: usize, segmentation: bool) -> ClassMap {
        if segmentation && count == 7 { ClassMap::course() } else { ClassMap::numbered(count) }
    }

    /// Checks a map from a file of unknown origin: ids are positions, aliases belong to a class, and one class at
    /// least is not ignored.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if let Some((at, class)) =
            self.classes.iter().enumerate().find(|(at, class)| usize::from(class.id) != *at)
        {
            return Err(format!("class {} at place {at} has the id {}", class.name, class.id));
        }
        if let Some((_, id)) = self.aliases.iter().find(|(_, id)| usize::from(*id) >= self.classes.len()) {
            return Err(format!("a colour stands for class {id}, which is not there"));
        }
        if self.classes.iter().all(|class| class.ignored) {
            return Err("there is no class that is not ignored".into());
        }
        Ok(())
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The classes' names in the order of their ids.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// The id that a colour is read as.
    pub fn id_of(&self, colour: [u8; 3]) -> Option<u8> {
        let own = self.classes.iter().find(|class| class.colour == colour).map(|class| class.id);
        own.or_else(|| self.aliases.iter().find(|(alias, _)| *alias == colour).map(|(_, id)| *id))
    }

    /// The colour of class `id`.
    pub fn colour_of(&self, id: u8) -> Option<[u8; 3]> {
        self.classes.get(usize::from(id)).map(|class| class.colour)
    }
}

/// Colour `id` of PASCAL VOC's palette: the bits of the id dealt out to the high bits of R, G and B.
fn voc_colour(id: u8) -> [u8; 3] {
    let mut colour = [0u8; 3];
    for bit in 0..8 {
        if id >> bit & 1 == 1 {
            colour[bit % 3] |= 128 >> (bit / 3);
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn course_colours() {
        let map = ClassMap::course();
        assert_eq!(map.len(), 7);
        assert_eq!(map.id_of([0, 0, 255]), Some(4));
        assert_eq!(map.id_of([255, 0, 0]), Some(6));
        assert_eq!(map.colour_of(6), Some([0, 0, 0]));
        assert_eq!(map.id_of([1, 2, 3]), None);
    }

    #[test]
    fn numbered_colours_differ() {
        let map = ClassMap::numbered(256);
        let colours: std::collections::HashSet<_> = map.classes.iter().map(|class| class.colour).collect();
        assert_eq!(colours.len(), 256);
        assert_eq!(map.classes[1].colour, [128, 0, 0]);
        assert_eq!(map.classes[8].colour, [64, 0, 0]);
    }
}
