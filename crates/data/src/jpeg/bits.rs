//! Bits of entropy-coded data: a stuffed zero after 0xff is dropped, a marker ends the data.

use super::Fault;

/// Reads bits from the most significant down.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// Next byte to take in.
    at: usize,
    /// Bits taken in and not used, at the top.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Bits<'a> {
        Bits { data, at, held: 0, count: 0 }
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.at) {
                Some(0xff) if self.data.get(self.at + 1) == Some(&0) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                Some(0xff) | None => return,
                Some(&byte) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, without using them; zeros follow the end of the data.
    pub(super) fn peek16(&mut self) -> usize {
        if self.count < 16 {
            self.refill();
        }
        (self.held >> 48) as usize
    }

    /// Uses `n` bits (at most 16).
    pub(super) fn skip(&mut self, n: u32) -> Result<(), Fault> {
        if n > self.count {
            return Err(Fault::Truncated);
        }
        self.held <<= n;
        self.count -= n;
        Ok(())
    }

    /// The next `n` bits as a number (`n` at most 16).
    pub(super) fn take(&mut self, n: u32) -> Result<i32, Fault> {
        if n == 0 {
            return Ok(0);
        }
        let value = self.peek16() >> (16 - n);
        self.skip(n)?;
        Ok(value as i32)
    }

    /// A number of `n` bits in the format's way of writing signs: the lower half are negative.
    pub(super) fn take_signed(&mut self, n: u32) -> Result<i32, Fault> {
        let value = self.take(n)?;
        Ok(if n > 0 && value < 1 << (n - 1) { value - (1 << n) + 1 } else { value })
    }

    /// Drops what is left before the next marker and returns where that is.
    pub(super) fn end(&mut self) -> usize {
        self.held = 0;
        self.count = 0;
        while self.at < self.data.len() {
            if self.data[self.at] == 0xff && self.data.get(self.at + 1) != Some(&0) {
                break;
            }
            self.at += 1;
        }
        self.at
    }

    /// Goes past the restart marker that must come now.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        let mut at = self.end();
        while self.data.get(at) == Some(&0xff) {
            at += 1;
        }
        match self.data.get(at) {
            Some(0xd0..=0xd7) => {
                self.at = at + 1;
                Ok(())
            }
            None | Some(0xd9) => Err(Fault::Truncated),
            Some(_) => Err(Fault::Damaged("a restart marker is missing")),
        }
    }
}
