//! Segments and scans: from the bytes of a file to the samples of each component.

use super::Fault;
use super::bits::Bits;
use super::header::{Frame, Tables, ZIGZAG, word};
use super::huffman::Huffman;
use super::idct::idct;

/// More scans than any encoder writes; a file that has more wants to waste time.
const MAX_SCANS: usize = 1000;

/// Samples of one component, at its own resolution.
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub stride: usize,
    pub samples: Vec<u8>,
}

type Block = [i16; 64];

/// What a scan header says.
struct Scan {
    /// Component, its DC table, its AC table.
    components: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in the order of the file.
    first: usize,
    last: usize,
    /// Bits left out below those of this scan, and below those of earlier ones.
    low: u32,
    high: u32,
}

/// The next marker from `at` on, and where it ends. Anything may stand between segments.
fn next_marker(data: &[u8], mut at: usize) -> Result<(u8, usize), Fault> {
    while at < data.len() && data[at] != 0xff {
        at += 1;
    }
    while data.get(at) == Some(&0xff) {
        at += 1;
    }
    Ok((*data.get(at).ok_or(Fault::Truncated)?, at + 1))
}

/// Whether a marker stands alone, without a segment.
fn is_bare(marker: u8) -> bool {
    matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9)
}

/// The segment that begins at `at`, without its length.
fn segment(data: &[u8], at: usize) -> Result<&[u8], Fault> {
    match word(data, at)? {
        0 | 1 => Err(Fault::Damaged("a segment is too short")),
        length => data.get(at + 2..at + length).ok_or(Fault::Truncated),
    }
}

/// Width and height from the frame header.
pub(super) fn size(data: &[u8]) -> Result<[usize; 2], Fault> {
    let mut at = 2;
    loop {
        let (marker, end) = next_marker(data, at)?;
        at = end;
        if marker == 0xd9 || marker == 0xda {
            return Err(Fault::Damaged("no frame"));
        }
        if is_bare(marker) {
            continue;
        }
        let segment = segment(data, at)?;
        if matches!(marker, 0xc0..=0xc2) {
            let frame = Frame::parse(segment, false)?;
            return Ok([frame.width, frame.height]);
        }
        at += segment.len() + 2;
    }
}

/// Reads a file.
pub(super) fn read(data: &[u8]) -> Result<(Frame, Vec<Plane>), Fault> {
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut blocks: Vec<Vec<Block>> = Vec::new();
    let mut restart_interval = 0;
    let (mut has_jfif, mut adobe) = (false, None);
    let mut scans = 0;
    let mut at = 2;
    loop {
        let (marker, end) = next_marker(data, at)?;
        at = end;
        if marker == 0xd9 {
            break;
        }
        if is_bare(marker) {
            continue;
        }
        let segment = segment(data, at)?;
        at += segment.len() + 2;
        match marker {
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(Fault::Damaged("two frames"));
                }
                let new = Frame::parse(segment, marker == 0xc2)?;
                let stored = new.components.iter().map(|c| c.stored[0] * c.stored[1]);
                // Each block takes at least one bit: without that many, do not ask for the memory.
                if stored.clone().sum::<usize>() > data.len() * 8 {
                    return Err(Fault::Truncated);
                }
                blocks = stored.map(|n| vec![[0; 64]; n]).collect();
                frame = Some(new);
            }
            0xc4 => tables.define_huffman(segment)?,
            0xc3 | 0xc5..=0xcf => {
                return Err(Fault::Unsupported("a lossless, hierarchical or arithmetic JPEG"));
            }
            0xdb => tables.define_quantisation(segment)?,
            0xdd => restart_interval = word(segment, 0)?,
            0xe0 => has_jfif |= segment.starts_with(b"JFIF\0"),
            0xee if segment.starts_with(b"Adobe") => adobe = segment.get(11).copied(),
            0xda => {
                let frame = frame.as_mut().ok_or(Fault::Damaged("a scan before the frame"))?;
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(Fault::Damaged("too many scans"));
                }
                let scan = Scan::parse(segment, frame)?;
                for &(c, ..) in &scan.components {
                    let component = &mut frame.components[c];
                    if component.quantisation.is_none() {
                        component.quantisation = tables.quantisation[component.table];
                    }
                }
                let mut bits = Bits::new(data, at);
                scan.decode(frame, &tables, restart_interval, &mut bits, &mut blocks)?;
                at = bits.end();
            }
            _ => {}
        }
    }
    let mut frame = frame.ok_or(Fault::Damaged("no frame"))?;
    frame.set_colours(has_jfif, adobe);
    let mut planes = Vec::with_capacity(blocks.len());
    for (c, blocks) in frame.components.iter().zip(&blocks) {
        let table = c.quantisation.ok_or(Fault::Damaged("a component without data or quantisation table"))?;
        let stride = c.blocks[0] * 8;
        let mut samples = vec![0; stride * c.blocks[1] * 8];
        for y in 0..c.blocks[1] {
            for x in 0..c.blocks[0] {
                idct(&blocks[y * c.stored[0] + x], &table, &mut samples[y * 8 * stride + x * 8..], stride);
            }
        }
        planes.push(Plane { width: c.width, height: c.height, stride, samples });
    }
    Ok((frame, planes))
}

impl Scan {
    fn parse(segment: &[u8], frame: &Frame) -> Result<Scan, Fault> {
        let damaged = Fault::Damaged("a scan header is not possible");
        let count = usize::from(*segment.first().ok_or(damaged.clone())?);
        if count == 0 || count > frame.components.len() || segment.len() < 4 + 2 * count {
            return Err(damaged);
        }
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for spec in segment[1..1 + 2 * count].as_chunks::<2>().0 {
            let index = frame.components.iter().position(|c| c.id == spec[0]).ok_or(damaged.clone())?;
            let (dc, ac) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            if dc > 3 || ac > 3 || components.iter().any(|&(other, ..)| other == index) {
                return Err(damaged);
            }
            components.push((index, dc, ac));
        }
        let tail = &segment[1 + 2 * count..];
        let (first, last) = (usize::from(tail[0]), usize::from(tail[1]));
        let (high, low) = (u32::from(tail[2] >> 4), u32::from(tail[2] & 15));
        if !frame.progressive {
            return Ok(Scan { components, first: 0, last: 63, low: 0, high: 0 });
        }
        let fits = if first == 0 { last == 0 } else { first <= last && last <= 63 && count == 1 };
        if !fits || low > 13 || (high != 0 && high != low + 1) {
            return Err(damaged);
        }
        Ok(Scan { components, first, last, low, high })
    }

    fn decode(
        &self,
        frame: &Frame,
        tables: &Tables,
        restart_interval: usize,
        bits: &mut Bits,
        blocks: &mut [Vec<Block>],
    ) -> Result<(), Fault> {
        let needs_dc = self.first == 0 && self.high == 0;
        let needs_ac = self.last > 0;
        let missing = Fault::Damaged("a Huffman table is missing");
        let mut coders = Vec::new();
        for &(c, dc, ac) in &self.components {
            let (dc, ac) = (tables.dc[dc].as_ref(), tables.ac[ac].as_ref());
            if (needs_dc && dc.is_none()) || (needs_ac && ac.is_none()) {
                return Err(missing);
            }
            coders.push((
                c,
                Coder { scan: self, progressive: frame.progressive, dc, ac, predicted: 0, band_end: 0 },
            ));
        }
        let interleaved = coders.len() > 1;
        let units = match &coders[..] {
            [(c, _)] => frame.components[*c].blocks,
            _ => frame.mcus,
        };
        for unit in 0..units[0] * units[1] {
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                bits.restart()?;
                for (_, coder) in &mut coders {
                    coder.predicted = 0;
                    coder.band_end = 0;
                }
            }
            let (x, y) = (unit % units[0], unit / units[0]);
            for (c, coder) in &mut coders {
                let component = &frame.components[*c];
                let (h, v) = if interleaved { (component.h, component.v) } else { (1, 1) };
                for row in y * v..(y + 1) * v {
                    for column in x * h..(x + 1) * h {
                        coder.block(bits, &mut blocks[*c][row * component.stored[0] + column])?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Decodes the blocks of one component in one scan.
struct Coder<'a> {
    scan: &'a Scan,
    progressive: bool,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
    /// The last DC coefficient.
    predicted: i32,
    /// Blocks to come that have nothing left in this band.
    band_end: u32,
}

impl Coder<'_> {
    fn block(&mut self, bits: &mut Bits, block: &mut Block) -> Result<(), Fault> {
        match (self.progressive, self.scan.first, self.scan.high) {
            (false, ..) => {
                self.dc_first(bits, block)?;
                self.ac_sequential(bits, block)
            }
            (true, 0, 0) => self.dc_first(bits, block),
            (true, 0, _) => {
                block[0] |= (bits.take(1)? << self.scan.low) as i16;
                Ok(())
            }
            (true, _, 0) => self.ac_first(bits, block),
            (true, ..) => self.ac_refine(bits, block),
        }
    }

    fn dc_first(&mut self, bits: &mut Bits, block: &mut Block) -> Result<(), Fault> {
        let size = decode(self.dc, bits)?;
        if size > 15 {
            return Err(Fault::Damaged("a DC difference is too long"));
        }
        self.predicted = self.predicted.wrapping_add(bits.take_signed(u32::from(size))?);
        block[0] = (self.predicted << self.scan.low) as i16;
        Ok(())
    }

    fn ac_sequential(&mut self, bits: &mut Bits, block: &mut Block) -> Result<(), Fault> {
        let mut k = 1;
        while k < 64 {
            let symbol = decode(self.ac, bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run != 15 {
                    return Ok(());
                }
                k += 16;
                continue;
            }
            k += run;
            if k > 63 {
                return Err(Fault::Damaged("a block has too many coefficients"));
            }
            block[usize::from(ZIGZAG[k])] = bits.take_signed(size)? as i16;
            k += 1;
        }
        Ok(())
    }

    fn ac_first(&mut self, bits: &mut Bits, block: &mut Block) -> Result<(), Fault> {
        if self.band_end > 0 {
            self.band_end -= 1;
            return Ok(());
        }
        let mut k = self.scan.first;
        while k <= self.scan.last {
            let symbol = decode(self.ac, bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run != 15 {
                    self.band_end = (1 << run) - 1 + bits.take(run as u32)? as u32;
                    return Ok(());
                }
                k += 16;
                continue;
            }
            k += run;
            if k > self.scan.last {
                return Err(Fault::Damaged("a block has too many coefficients"));
            }
            block[usize::from(ZIGZAG[k])] = (bits.take_signed(size)? << self.scan.low) as i16;
            k += 1;
        }
        Ok(())
    }

    /// One more bit for coefficients that are not zero, and new ones of size one between them.
    fn ac_refine(&mut self, bits: &mut Bits, block: &mut Block) -> Result<(), Fault> {
        let plus = 1i16 << self.scan.low;
        let mut k = self.scan.first;
        if self.band_end == 0 {
            while k <= self.scan.last {
                let symbol = decode(self.ac, bits)?;
                let (mut run, size) = (symbol >> 4, symbol & 15);
                let mut new = 0;
                match size {
                    0 if run < 15 => {
                        self.band_end = (1 << run) + bits.take(u32::from(run))? as u32;
                        break;
                    }
                    0 => {}
                    1 => new = if bits.take(1)? == 1 { plus } else { -plus },
                    _ => return Err(Fault::Damaged("a refined coefficient is not of size one")),
                }
                while k <= self.scan.last {
                    let at = usize::from(ZIGZAG[k]);
                    k += 1;
                    if block[at] != 0 {
                        refine(bits, &mut block[at], plus)?;
                    } else if run == 0 {
                        block[at] = new;
                        break;
                    } else {
                        run -= 1;
                    }
                }
            }
        }
        if self.band_end > 0 {
            for k in k..=self.scan.last {
                let at = usize::from(ZIGZAG[k]);
                if block[at] != 0 {
                    refine(bits, &mut block[at], plus)?;
                }
            }
            self.band_end -= 1;
        }
        Ok(())
    }
}

fn decode(table: Option<&Huffman>, bits: &mut Bits) -> Result<u8, Fault> {
    table.ok_or(Fault::Damaged("a Huffman table is missing"))?.decode(bits)
}

fn refine(bits: &mut Bits, coefficient: &mut i16, plus: i16) -> Result<(), Fault> {
    if bits.take(1)? == 1 && *coefficient & plus == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { plus } else { -plus });
    }
    Ok(())
}
