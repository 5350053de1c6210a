//! Text in aligned columns.

/// A column: its title, a figure per class (none where the class is absent) and their mean.
pub type Column = (String, Vec<Option<f64>>, Option<f64>);

/// A line per class of `names`, then the mean.
pub fn figures(names: &[String], columns: &[Column]) -> String {
    let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("mean".len());
    let width = |title: &str| title.chars().count().max("absent".len());
    let mut text = format!("{:first$}", "class");
    for (title, ..) in columns {
        text += &format!("  {title:>0$}", width(title));
    }
    text.push('\n');
    let mut line = |name: &str, figure: &dyn Fn(&Column) -> Option<f64>| {
        text += &format!("{name:first$}");
        for column in columns {
            let figure = figure(column).map_or("absent".to_string(), |value| format!("{value:.4}"));
            text += &format!("  {figure:>0$}", width(&column.0));
        }
        text.push('\n');
    };
    for (i, name) in names.iter().enumerate() {
        line(name, &|column| column.1.get(i).copied().flatten());
    }
    line("mean", &|column| column.2);
    text
}

/// Rows of cells in aligned columns: the first `left` to the left, as names are, the others to the right.
pub fn aligned<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cell = |(column, cell): (usize, &String)| match column < left {
            true => format!("{cell:<0$}", widths[column]),
            false => format!("{cell:>0$}", widths[column]),
        };
        let line = row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned() {
        let rows = [["name", "ms"], ["a", "10.5"]].map(|row| row.map(str::to_string));
        assert_eq!(aligned(&rows, 1), "name    ms\na     10.5\n");
    }

    #[test]
    fn columns_are_aligned() {
        let names = ["Urban".to_string(), "Water".to_string()];
        let columns = [("FCN32s".to_string(), vec![Some(0.5), None], Some(0.5))];
        let expected = "class  FCN32s\nUrban  0.5000\nWater  absent\nmean   0.5000\n";
        assert_eq!(figures(&names, &columns), expected);
    }
}
