//! Text in aligned columns.

/// Rows of cells in aligned columns: the first `left` to the left, as names are, the others to the right. A
/// rule stands under the first row and above the last.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (N - 1));
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        if i == 1 || i + 1 == rows.len() {
            text += &rule;
            text.push('\n');
        }
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let between = if column == 0 { "" } else { "  " };
            line += &match column < left {
                true => format!("{between}{cell:<width$}"),
                false => format!("{between}{cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_to_the_left_and_numbers_to_the_right() {
        let rows = [["node", "ms"], ["a", "10.5"], ["total", "9"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows, 1), "node     ms\n-----------\na      10.5\n-----------\ntotal     9\n");
    }
}
