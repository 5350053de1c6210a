//! Products of bf16 numbers with sums in f32, by the tile unit (AMX) of Intel's server CPUs since 2023.
//!
//! The unit multiplies 16 x 32 numbers of `A` with 32 x 16 of `B` in 16 cycles, 16 times as many products as AVX-512
//! does in f32. Its instructions are written as assembly, since the compiler's functions for them are not stable yet.

use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows and columns of the block of `C` that [`Tiles::multiply`] computes.
pub(crate) const SIDE: usize = 32;
/// Depth of a step of [`Tiles::multiply`].
pub(crate) const DEPTH: usize = 32;
/// Numbers of `B` (of 16 bits) in a step: two tiles of 16 pairs of rows by 16 columns.
pub(crate) const STEP: usize = DEPTH * SIDE;
/// Bytes between the rows of a tile of `B`, and from it to the right one, if the steps are packed one after the other.
pub(crate) const PACKED: [usize; 2] = [64, 16 * 64];

/// Whether this process may use the tile unit: the CPU has it, and the system gives it (Linux asks to be asked).
pub(crate) fn detect() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(found)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn found() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    if crate::simd::Avx512::detect().is_none() || __cpuid(0).eax < 7 {
        return false;
    }
    if __cpuid_count(7, 0).edx & TILES_AND_BF16 != TILES_AND_BF16 {
        return false;
    }
    // SAFETY: the call changes nothing but this process's right to use the tiles.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn found() -> bool {
    false
}

/// The tiles of this thread, set up for as long as the value lives.
pub(crate) struct Tiles(PhantomData<*const ()>);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Sets the tiles up.
    ///
    /// # Panics
    /// When [`detect`] says no.
    pub(crate) fn new() -> Tiles {
        assert!(detect(), "no tile unit");
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(16);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the unit is there, and the configuration is one of its palette 1.
        unsafe {
            std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        }
        Tiles(PhantomData)
    }

    /// `C (+)= A B`, 32 x 32 numbers in f32, in steps of a depth of 32: one for each of `steps`, which says how many
    /// bytes from `a` and from `b` its operands begin.
    ///
    /// `A` has rows of 32 bf16 numbers, `a_row` bytes from one to the next. `B` is two tiles of 16 columns, the right
    /// one `b_row[1]` bytes behind the left one; a tile has first rows 0 and 1 in pairs, column by column, then, `b_row[0]`
    /// bytes on, rows 2 and 3, and so on. `c` has its rows 32 numbers apart.
    ///
    /// # Safety
    /// 64 bytes of each of the 32 rows of `A` and of the 16 rows of either tile of `B` must be readable at each step, and
    /// the 1,024 numbers at `c` must be writable, and initialised if accumulating.
    #[inline]
    pub(crate) unsafe fn multiply(
        &self,
        (a, a_row): (*const u16, usize),
        (b, b_row): (*const u16, [usize; 2]),
        steps: &[[usize; 2]],
        c: *mut f32,
        accumulate: bool,
    ) {
        assert!(!steps.is_empty());
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a value of this type proves that the tiles are set up on this thread (it is not `Send`); memory is
        // touched within the bounds that the caller promises.
        unsafe {
            std::arch::asm!(
                "test {at_a}, {at_a}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_row}*1]",
                "tileloadd tmm1, [{c} + {c_row}*1 + 64]",
                "tileloadd tmm2, [{c} + {c_row}*1 + 2048]",
                "tileloadd tmm3, [{c} + {c_row}*1 + 2112]",
                "jmp 4f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "4:",
                "mov {at_a}, [{steps}]",
                "mov {at_b}, [{steps} + 8]",
                "add {at_a}, {a}",
                "add {at_b}, {b}",
                "tileloadd tmm6, [{at_b} + {b_row}*1]",
                "tileloadd tmm4, [{at_a} + {a_row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "add {at_b}, {b_right}",
                "tileloadd tmm7, [{at_b} + {b_row}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {at_a}, {a_half}",
                "tileloadd tmm5, [{at_a} + {a_row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {steps}, 16",
                "cmp {steps}, {end}",
                "jne 4b",
                "tilestored [{c} + {c_row}*1], tmm0",
                "tilestored [{c} + {c_row}*1 + 64], tmm1",
                "tilestored [{c} + {c_row}*1 + 2048], tmm2",
                "tilestored [{c} + {c_row}*1 + 2112], tmm3",
                a = in(reg) a,
                a_row = in(reg) a_row,
                a_half = in(reg) 16 * a_row,
                b = in(reg) b,
                b_row = in(reg) b_row[0],
                b_right = in(reg) b_row[1],
                c = in(reg) c,
                c_row = in(reg) 4 * SIDE,
                steps = inout(reg) steps.as_ptr() => _,
                end = in(reg) steps.as_ptr_range().end,
                at_a = inout(reg) u64::from(accumulate) => _,
                at_b = out(reg) _,
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("{a:?} {a_row} {b:?} {b_row:?} {c:?} {accumulate}: detection found no unit");
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tiles hold nothing that is needed any more.
        unsafe {
            std::arch::asm!("tilerelease", options(nostack, nomem));
        }
    }
}

/// The bits of the nearest bf16 number, ties to even, in the lower half.
#[inline(always)]
pub(crate) fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { 0x7fc0 } else { rounded }
}

/// `from` as bf16, one number after the other.
#[inline(always)]
pub(crate) fn round_all(from: &[f32], to: &mut [u16]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = round(*from) as u16;
    }
}

/// Two rows of 32 columns as a row of pairs of each of the two tiles of a packed step: the first tile's pairs from `to` on,
/// the second's half a step behind them.
///
/// # Safety
/// 32 numbers must be readable at `even` and `odd`, 16 pairs writable at either place.
#[inline(always)]
pub(crate) unsafe fn pair(even: *const f32, odd: *const f32, to: *mut u32) {
    for half in 0..2 {
        for i in 0..16 {
            // SAFETY: within the bounds that the caller promises.
            unsafe {
                let (even, odd) = (*even.add(16 * half + i), *odd.add(16 * half + i));
                *to.add(STEP / 4 * half + i) = round(even) | round(odd) << 16;
            }
        }
    }
}
