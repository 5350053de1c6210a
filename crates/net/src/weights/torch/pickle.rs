//! The part of Python's pickle that a state_dict needs. Nothing is executed: a call is only taken if it is one of the
//! few below, which make a dictionary or describe a tensor; any other is refused by name.
//!
//! Values lie in one list and refer to each other by index, so that no nesting, however deep, recurses.

use super::super::tensor::Kind;

/// Bytes that one pickle may have.
const MOST_BYTES: usize = 64 << 20;
/// Values that one pickle may make.
const MOST_VALUES: usize = 2_000_000;

/// Index of a value in [`Pickle::values`].
pub(super) type Id = usize;

/// Numbers in a file that tensors look into.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub kind: Kind,
    pub key: String,
    pub len: usize,
}

/// A view of a storage; sizes and strides count numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    /// An integer longer than eight bytes, in little-endian order.
    Long(Vec<u8>),
    Text(String),
    Global(Callable),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage(Storage),
    Tensor(View),
}

/// The names that may be looked up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(Kind),
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
    /// Bytes that it took.
    pub len: usize,
}

impl Pickle {
    pub fn root(&self) -> &Value {
        &self.values[self.root]
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match &self.values[id] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads one pickle from the start of `bytes`.
///
/// # Errors
/// What is wrong, or which name it wanted to call.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { values: machine.values, root, len: machine.at });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

const EMPTY: &str = "the pickle takes from an empty stack";

impl<'a> Machine<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the pickle is cut short")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// An unsigned integer of `len` bytes.
    fn number(&mut self, len: usize) -> Result<usize, String> {
        let bytes = self.take(len)?;
        let value = bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(value).map_err(|_| "a length in the pickle is too large".to_owned())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let len =
            rest.iter().take(256).position(|byte| *byte == b'\n').ok_or("a name in the pickle has no end")?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| "a name in the pickle is not UTF-8".to_owned())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() == MOST_VALUES {
            return Err(format!("the pickle makes more than {MOST_VALUES} values"));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(EMPTY.to_owned());
        }
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    /// Everything above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("the pickle ends a group that it did not begin")?;
        Ok(self.stack.split_off(mark))
    }

    fn text(&mut self, len: usize) -> Result<(), String> {
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a text in the pickle is not UTF-8")?;
        self.push(Value::Text(text.to_owned()))
    }

    fn tuple(&mut self, len: usize) -> Result<(), String> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<Id>, String>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let id = *self.stack.last().ok_or(EMPTY)?;
        if place > MOST_VALUES {
            return Err("the pickle's memory is too large".to_owned());
        }
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(id);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), String> {
        let id = self.memo.get(place).copied().flatten().ok_or("the pickle recalls what it never stored")?;
        if self.stack.len() > MOST_VALUES {
            return Err("the pickle's stack is too large".to_owned());
        }
        self.stack.push(id);
        Ok(())
    }

    fn extend(&mut self, items: &[Id], pairs: bool) -> Result<(), String> {
        let target = *self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[target] {
            Value::List(list) if !pairs => list.extend_from_slice(items),
            Value::Dict(dict) if pairs && items.len().is_multiple_of(2) => {
                dict.extend(items.as_chunks::<2>().0.iter().map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("the pickle fills something that is no list or dictionary".to_owned()),
        }
        Ok(())
    }

    /// One instruction; the pickle's value when it was the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let code = self.take(1)?[0];
        match code {
            0x80 => {
                let version = self.number(1)?;
                if !(2..=5).contains(&version) {
                    return Err(format!("pickle of version {version}"));
                }
            }
            0x95 => drop(self.take(8)?),
            b'(' => {
                if self.marks.len() == 10_000 {
                    return Err("the pickle nests more than 10000 groups".to_owned());
                }
                self.marks.push(self.stack.len());
            }
            b'.' => return self.pop().map(Some),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool)?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b'K' => {
                let value = self.number(1)?;
                self.push(Value::Int(value as i64))?;
            }
            b'M' => {
                let value = self.number(2)?;
                self.push(Value::Int(value as i64))?;
            }
            b'J' => {
                let value = self.number(4)? as u32;
                self.push(Value::Int(i64::from(value.cast_signed())))?;
            }
            0x8a => {
                let len = self.number(1)?;
                let bytes = self.take(len)?;
                self.push(if len > 8 { Value::Long(bytes.to_vec()) } else { Value::Int(signed(bytes)) })?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)?;
            }
            b'X' | b'T' | b'B' => {
                let len = self.number(4)?;
                self.text(len)?;
            }
            0x8c | b'U' | b'C' => {
                let len = self.number(1)?;
                self.text(len)?;
            }
            0x8d => {
                let len = self.number(8)?;
                self.text(len)?;
            }
            0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))?;
            }
            b'q' => {
                let place = self.number(1)?;
                self.remember(place)?;
            }
            b'r' => {
                let place = self.number(4)?;
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let place = self.number(1)?;
                self.recall(place)?;
            }
            b'j' => {
                let place = self.number(4)?;
                self.recall(place)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item], false)?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend(&items, false)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(&[key, value], true)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend(&items, true)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(callable(module, name)?))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name])
                else {
                    return Err("the pickle looks up something that is no name".to_owned());
                };
                let found = callable(module, name)?;
                self.push(Value::Global(found))?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(function, arguments)?;
                self.push(value)?;
            }
            // Attributes of a dictionary (a state_dict's version numbers): not wanted.
            b'b' => {
                self.pop()?;
                let target = *self.stack.last().ok_or(EMPTY)?;
                if !matches!(self.values[target], Value::Dict(_)) {
                    return Err("it holds a Python object; only a state_dict can be read".to_owned());
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage))?;
            }
            other => {
                return Err(format!("the pickle uses instruction 0x{other:02x}, which no state_dict needs"));
            }
        }
        Ok(None)
    }

    fn call(&self, function: Id, arguments: Id) -> Result<Value, String> {
        let (Value::Global(function), Value::Tuple(arguments)) =
            (&self.values[function], &self.values[arguments])
        else {
            return Err("the pickle calls something that is no function".to_owned());
        };
        let argument = |i: usize| arguments.get(i).map(|id| &self.values[*id]);
        match function {
            Callable::OrderedDict if arguments.is_empty() => Ok(Value::Dict(Vec::new())),
            Callable::RebuildParameter => match argument(0) {
                Some(Value::Tensor(view)) => Ok(Value::Tensor(view.clone())),
                _ => Err("a parameter without a tensor".to_owned()),
            },
            Callable::RebuildTensor => {
                let (Some(Value::Storage(storage)), Some(Value::Int(offset)), Some(shape), Some(stride)) =
                    (argument(0), argument(1), argument(2), argument(3))
                else {
                    return Err("a tensor without storage, place, shape or strides".to_owned());
                };
                let offset = usize::try_from(*offset).map_err(|_| "a tensor begins before its storage")?;
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                Ok(Value::Tensor(View { storage: storage.clone(), offset, shape, stride }))
            }
            _ => Err("the pickle makes a call that no state_dict needs".to_owned()),
        }
    }

    fn sizes(&self, value: &Value) -> Result<Vec<usize>, String> {
        let Value::Tuple(items) = value else { return Err("a shape that is no tuple".to_owned()) };
        if items.len() > 8 {
            return Err(format!("a tensor of {} dimensions", items.len()));
        }
        let size = |id: &Id| match self.values[*id] {
            Value::Int(size) => usize::try_from(size).map_err(|_| format!("a tensor of size {size}")),
            _ => Err("a size that is no integer".to_owned()),
        };
        items.iter().map(size).collect()
    }

    /// `('storage', type, key, device, length[, view])`.
    fn storage(&self, id: Id) -> Result<Storage, String> {
        let wrong = || "a storage that is not described as PyTorch does".to_owned();
        let Value::Tuple(items) = &self.values[id] else { return Err(wrong()) };
        let item = |i: usize| items.get(i).map(|id| &self.values[*id]);
        match (item(0), item(1), item(2), item(4), item(5)) {
            (
                Some(Value::Text(word)),
                Some(Value::Global(Callable::StorageType(kind))),
                Some(Value::Text(key)),
                Some(Value::Int(len)),
                None | Some(Value::None),
            ) if word == "storage" => {
                let len = usize::try_from(*len).map_err(|_| wrong())?;
                Ok(Storage { kind: *kind, key: key.clone(), len })
            }
            _ => Err(wrong()),
        }
    }
}

/// A two's complement integer of at most eight bytes.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|byte| byte >> 7 == 1) { -1 } else { 0 };
    bytes.iter().rev().fold(fill, |sum, byte| sum << 8 | i64::from(*byte))
}

fn callable(module: &str, name: &str) -> Result<Callable, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Callable::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Callable::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Callable::RebuildParameter,
        ("torch" | "torch.cuda", "FloatStorage") => Callable::StorageType(Kind::F32),
        ("torch" | "torch.cuda", "DoubleStorage") => Callable::StorageType(Kind::F64),
        ("torch" | "torch.cuda", "HalfStorage") => Callable::StorageType(Kind::F16),
        ("torch" | "torch.cuda", "BFloat16Storage") => Callable::StorageType(Kind::Bf16),
        ("torch" | "torch.cuda", "LongStorage") => Callable::StorageType(Kind::I64),
        _ => {
            let name: String = format!("{module}.{name}")
                .chars()
                .take(80)
                .map(|c| if c.is_control() { '?' } else { c })
                .collect();
            return Err(format!("it wants to call {name}, which is not done; save model.state_dict() alone"));
        }
    })
}
