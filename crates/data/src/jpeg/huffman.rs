//! Huffman tables.

use super::Fault;
use super::bits::Bits;

const FAST_BITS: u32 = 9;

/// A Huffman table, ready to decode with.
#[derive(Clone)]
pub(super) struct Huffman {
    /// For the next 9 bits: length of the code and its symbol; length 0 for longer codes.
    fast: Vec<(u8, u8)>,
    /// For each length, the first code beyond those of this length, as 16 bits.
    limit: [u32; 17],
    /// For each length, what to add to a code to find its symbol.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// A table from the number of codes of each length (1 to 16) and the symbols in order.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Huffman, Fault> {
        let damaged = Fault::Damaged("a Huffman table is not possible");
        let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
        if total > 256 || total != symbols.len() {
            return Err(damaged);
        }
        let mut fast = vec![(0, 0); 1 << FAST_BITS];
        let mut limit = [0; 17];
        let mut offset = [0; 17];
        let mut code = 0u32;
        let mut index = 0usize;
        for length in 1..=16u32 {
            offset[length as usize] = index as i32 - code as i32;
            for _ in 0..counts[length as usize - 1] {
                if code >= 1 << length {
                    return Err(damaged);
                }
                if length <= FAST_BITS {
                    let first = (code << (FAST_BITS - length)) as usize;
                    let entries = &mut fast[first..first + (1 << (FAST_BITS - length))];
                    entries.fill((length as u8, symbols[index]));
                }
                code += 1;
                index += 1;
            }
            limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(Huffman { fast, limit, offset, symbols: symbols.to_vec() })
    }

    /// The next symbol.
    #[inline]
    pub(super) fn decode(&self, bits: &mut Bits) -> Result<u8, Fault> {
        let ahead = bits.peek16();
        let (length, symbol) = self.fast[ahead >> (16 - FAST_BITS)];
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for length in FAST_BITS + 1..=16 {
            if (ahead as u32) < self.limit[length as usize] {
                bits.skip(length)?;
                let index = (ahead >> (16 - length)) as i32 + self.offset[length as usize];
                return self
                    .symbols
                    .get(index as usize)
                    .copied()
                    .ok_or(Fault::Damaged("a code without a symbol"));
            }
        }
        // All ones is no code. Where data have ended, zeros were read, which may be none either.
        bits.skip(16)?;
        Err(Fault::Damaged("a code that is in no table"))
    }
}
