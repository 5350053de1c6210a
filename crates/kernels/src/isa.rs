//! Which instruction set a kernel may use.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, SimdOp};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user chose bf16.
static PREFER_BF16: AtomicBool = AtomicBool::new(false);

/// An instruction set that this CPU was seen to have. Values exist only through detection, so holding
/// one proves that its instructions may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Isa {
    /// The name of the one that multiplies in bf16.
    pub const BF16: &str = "amx";

    /// All instruction sets of this machine, the slowest first.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut found = vec![Isa(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if Avx2::detect().is_some() {
                found.push(Isa(Kind::Avx2));
            }
            if Avx512::detect().is_some() {
                found.push(Isa(Kind::Avx512));
            }
        }
        found
    }

    /// The fastest instruction set of this machine that computes in f32, or the one that the environment variable
    /// `HECTARE_ISA` (`portable`, `avx2`, `avx512`, `amx`) names if the machine has it; [`Isa::bf16`] after
    /// [`Isa::prefer_bf16`].
    pub fn best() -> Isa {
        if PREFER_BF16.load(Ordering::Relaxed)
            && let Some(isa) = Isa::bf16()
        {
            return isa;
        }
        let wanted = std::env::var("HECTARE_ISA").ok();
        wanted
            .and_then(|name| Isa::named(&name))
            .unwrap_or_else(|| *Isa::available().last().expect("portable is always there"))
    }

    /// The instruction set with a unit for products of bf16 numbers (AMX), if this machine has it: convolutions round
    /// what they multiply to bf16, 8 binary digits, and sum in f32. Not among [`Isa::available`], whose results
    /// differ by rounding errors of f32 only.
    pub fn bf16() -> Option<Isa> {
        #[cfg(target_arch = "x86_64")]
        if crate::amx::detect() {
            return Some(Isa(Kind::Amx));
        }
        None
    }

    /// Lets [`Isa::best`] be [`Isa::bf16`] from now on, in the whole process, or not.
    pub fn prefer_bf16(prefer: bool) {
        PREFER_BF16.store(prefer, Ordering::Relaxed);
    }

    /// Whether convolutions multiply in bf16.
    pub fn is_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => true,
            _ => false,
        }
    }

    /// The instruction set of that name, if this machine has it.
    pub fn named(name: &str) -> Option<Isa> {
        Isa::available().into_iter().chain(Isa::bf16()).find(|isa| isa.name().eq_ignore_ascii_case(name))
    }

    /// `portable`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => Isa::BF16,
        }
    }

    /// Runs `op` compiled for this instruction set. The body of `op` must be `#[inline(always)]` all the
    /// way down; plain loops in it are then vectorised with the wide registers too.
    #[inline]
    pub fn run<O: SimdOp>(self, op: O) -> O::Output {
        match self.0 {
            Kind::Portable => op.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                #[target_feature(enable = "avx2,fma")]
                fn shim<O: SimdOp>(op: O, simd: Avx2) -> O::Output {
                    op.run(simd)
                }
                let simd = Avx2::detect().expect("an Isa value proves the feature");
                // SAFETY: `detect` returned a token, so the CPU has avx2 and fma.
                unsafe { shim(op, simd) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Amx => {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn shim<O: SimdOp>(op: O, simd: Avx512) -> O::Output {
                    op.run(simd)
                }
                let simd = Avx512::detect().expect("an Isa value proves the feature");
                // SAFETY: `detect` returned a token, so the CPU has the listed features.
                unsafe { shim(op, simd) }
            }
        }
    }
}
