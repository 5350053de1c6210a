//! A network printed as PyTorch prints a module.

use std::fmt;

use crate::Network;

/// A module, or a `Sequential` of modules.
enum Tree {
    Module(String),
    Sequential(Vec<(String, Tree)>),
}

impl Tree {
    fn insert(children: &mut Vec<(String, Tree)>, path: &str, line: String) {
        let Some((head, rest)) = path.split_once('.') else {
            children.push((path.to_owned(), Tree::Module(line)));
            return;
        };
        let known =
            children.iter().position(|(name, tree)| name == head && matches!(tree, Tree::Sequential(_)));
        let at = known.unwrap_or_else(|| {
            children.push((head.to_owned(), Tree::Sequential(Vec::new())));
            children.len() - 1
        });
        if let Tree::Sequential(inner) = &mut children[at].1 {
            Tree::insert(inner, rest, line);
        }
    }
}

fn write_children(f: &mut fmt::Formatter<'_>, children: &[(String, Tree)], depth: usize) -> fmt::Result {
    for (name, tree) in children {
        write!(f, "{:1$}({name}): ", "", 2 * depth)?;
        match tree {
            Tree::Module(line) => writeln!(f, "{line}")?,
            Tree::Sequential(inner) => {
                writeln!(f, "Sequential(")?;
                write_children(f, inner, depth + 1)?;
                writeln!(f, "{:1$})", "", 2 * depth)?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Network {
    /// PyTorch's `repr`: functional operations (crop, add, pad, flatten) are no modules and are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut children = Vec::new();
        for node in self.nodes() {
            if let Some(line) = node.op.module() {
                Tree::insert(&mut children, &node.name, line);
            }
        }
        writeln!(f, "{}(", self.name())?;
        write_children(f, &children, 1)?;
        write!(f, ")")
    }
}
