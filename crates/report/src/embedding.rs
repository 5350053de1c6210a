//! A t-SNE picture as `hectare embed` leaves it: points with their classes, and the groups of classes that mix.

use std::path::Path;

use serde::Deserialize;

use crate::error::ReportError;

/// Points and groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedding {
    /// x, y and class of each point.
    pub points: Vec<(f64, f64, usize)>,
    /// The file of each point, where the table has names.
    pub names: Vec<String>,
    /// Groups of classes that mix.
    pub groups: Vec<Group>,
    /// Figures of quality by name.
    pub figures: Vec<(String, f64)>,
}

/// Classes that mix with each other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Group {
    /// `map` or `features`: among which points.
    pub space: String,
    /// Their numbers.
    pub classes: Vec<usize>,
    /// Share of the members' nearest others that belong to other members.
    pub mixed: f64,
    /// Share that belong to the point's own class.
    pub own: f64,
}

impl Embedding {
    /// Reads a folder of `hectare embed`: a table with columns `x`, `y` and `class` (or `label`), and a JSON file with
    /// `groups` beside it.
    ///
    /// # Errors
    /// No table there, or one without these columns or with a line that does not fit them.
    pub fn read(folder: &Path) -> Result<Embedding, ReportError> {
        let table = ["map.csv", "tsne.csv"].map(|name| folder.join(name));
        let Some(path) = table.iter().find(|path| path.exists()) else {
            return Err(ReportError::run(
                folder,
                "holds no map.csv; make one with `hectare embed MODEL --data DIR`",
            ));
        };
        let text =
            std::fs::read_to_string(path).map_err(|cause| ReportError::io("cannot read", path, cause))?;
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
        let column = |names: &[&str]| head.iter().position(|title| names.contains(title));
        let (Some(x), Some(y), Some(class)) = (column(&["x"]), column(&["y"]), column(&["class", "label"]))
        else {
            return Err(ReportError::run(path, "has no columns x, y and class"));
        };
        let name = column(&["name", "file"]);
        let mut found = Embedding::default();
        for (index, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |at: usize| cells.get(at).and_then(|cell| cell.trim().parse::<f64>().ok());
            let (Some(x), Some(y), Some(class)) = (number(x), number(y), number(class)) else {
                return Err(ReportError::run(path, format_args!("line {} is damaged", index + 2)));
            };
            found.points.push((x, y, class as usize));
            found.names.extend(
                name.map(|at| cells.get(at..).unwrap_or_default().join(",").trim_matches('"').to_string()),
            );
        }
        if let Ok(text) = std::fs::read(folder.join("map.json"))
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text)
        {
            if let Some(groups) = value.pointer("/quality/groups") {
                found.groups = serde_json::from_value(groups.clone()).unwrap_or_default();
            }
            let figure =
                |(place, name): &(&str, &str)| Some((name.to_string(), value.pointer(place)?.as_f64()?));
            found.figures = FIGURES.iter().filter_map(figure).collect();
        }
        Ok(found)
    }
}

/// The figures that are shown: where they are in `map.json`, and what they are called.
const FIGURES: [(&str, &str); 8] = [
    ("/perplexity", "perplexity"),
    ("/kl", "KL divergence"),
    ("/quality/neighbour_preservation", "10-neighbour preservation"),
    ("/quality/trustworthiness", "trustworthiness"),
    ("/quality/continuity", "continuity"),
    ("/quality/labels/accuracy_map", "10-neighbour accuracy in the map"),
    ("/quality/labels/accuracy_features", "among the features"),
    ("/quality/labels/silhouette_map", "silhouette in the map"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_and_without_groups() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("map.csv");
        assert!(Embedding::read(folder.path()).unwrap_err().to_string().contains("hectare embed"));
        std::fs::write(&table, "row,x,y,class,name\n0,1.5,-2,3,a.png\n1,0,1e-3,0,\"b,c.png\"\n").unwrap();
        let found = Embedding::read(folder.path()).unwrap();
        assert_eq!(found.points, [(1.5, -2.0, 3), (0.0, 1e-3, 0)]);
        assert_eq!((found.names[1].as_str(), found.groups.len()), ("b,c.png", 0));
        let groups = r#"{"kl": 1.5, "quality": {"groups":
            [{"space": "map", "classes": [3, 0], "mixed": 0.4, "own": 0.5, "outside": 0.1}]}}"#;
        std::fs::write(folder.path().join("map.json"), groups).unwrap();
        let found = Embedding::read(folder.path()).unwrap();
        assert_eq!((found.groups[0].classes.as_slice(), found.figures.len()), (&[3, 0][..], 1));
        std::fs::write(&table, "x,y,class\n1,2\n").unwrap();
        assert!(Embedding::read(folder.path()).unwrap_err().to_string().contains("line 2 is damaged"));
        std::fs::write(&table, "a,b\n1,2\n").unwrap();
        assert!(Embedding::read(folder.path()).unwrap_err().to_string().contains("no columns"));
    }
}
