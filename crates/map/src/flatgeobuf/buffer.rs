//! A flatbuffer with its length before it, written from front to back: what is pointed to follows what points.
//!
//! Offsets count forward from where they stand. Numbers lie at multiples of their size, counted from the length.

/// What a table's slot holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inline {
    /// Nothing: the default.
    None,
    U8(u8),
    U16(u16),
    I32(i32),
    U64(u64),
    /// Of a string, vector or table, which follows.
    Offset,
}

impl Inline {
    fn size(self) -> usize {
        match self {
            Inline::None => 0,
            Inline::U8(_) => 1,
            Inline::U16(_) => 2,
            Inline::I32(_) | Inline::Offset => 4,
            Inline::U64(_) => 8,
        }
    }
}

/// Where the offset of the root table lies.
pub(super) const ROOT: usize = 4;

/// The bytes so far.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// The length and the offset of the root table, both not known yet.
    pub fn new() -> Buffer {
        Buffer(vec![0; 8])
    }

    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn put_offset(&mut self, from: usize, to: usize) {
        self.0[from..from + 4].copy_from_slice(&((to - from) as u32).to_le_bytes());
    }

    /// Writes a table that the offset at `from` points to; where each of its slots lies.
    pub fn table(&mut self, from: usize, slots: &[Inline]) -> Vec<usize> {
        self.align(2);
        let list = self.0.len();
        let list_bytes = 4 + 2 * slots.len();
        let start = (list + list_bytes).next_multiple_of(8);
        // The table begins with the way back to its list of slots.
        let mut end = start + 4;
        let mut places = Vec::new();
        for slot in slots {
            end = end.next_multiple_of(slot.size().max(1));
            places.push(end);
            end += slot.size();
        }
        self.0.resize(end, 0);
        let mut short =
            |at: usize, value: usize| self.0[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
        short(list, list_bytes);
        short(list + 2, end - start);
        for (i, (slot, place)) in slots.iter().zip(&places).enumerate() {
            let held = !matches!(slot, Inline::None);
            short(list + 4 + 2 * i, if held { place - start } else { 0 });
        }
        self.0[start..start + 4].copy_from_slice(&((start - list) as i32).to_le_bytes());
        for (slot, &place) in slots.iter().zip(&places) {
            match slot {
                Inline::None | Inline::Offset => {}
                Inline::U8(value) => self.0[place] = *value,
                Inline::U16(value) => self.0[place..place + 2].copy_from_slice(&value.to_le_bytes()),
                Inline::I32(value) => self.0[place..place + 4].copy_from_slice(&value.to_le_bytes()),
                Inline::U64(value) => self.0[place..place + 8].copy_from_slice(&value.to_le_bytes()),
            }
        }
        self.put_offset(from, start);
        places
    }

    /// Writes a vector of elements of `size` bytes that the offset at `from` points to; where its first element lies.
    pub fn vector(&mut self, from: usize, size: usize, bytes: &[u8]) -> usize {
        self.align(4);
        while !(self.0.len() + 4).is_multiple_of(size) {
            self.0.push(0);
        }
        self.put_offset(from, self.0.len());
        self.0.extend(((bytes.len() / size) as u32).to_le_bytes());
        let start = self.0.len();
        self.0.extend(bytes);
        start
    }

    /// Writes a vector of offsets; where each of them lies.
    pub fn offsets(&mut self, from: usize, count: usize) -> Vec<usize> {
        let start = self.vector(from, 4, &vec![0; 4 * count]);
        (0..count).map(|i| start + 4 * i).collect()
    }

    /// Writes a string.
    pub fn string(&mut self, from: usize, text: &str) {
        self.vector(from, 1, text.as_bytes());
        self.0.push(0);
    }

    /// The finished bytes, a multiple of 8.
    pub fn finish(mut self) -> Vec<u8> {
        self.align(8);
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}
