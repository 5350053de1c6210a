//! Which instruction set a kernel may use.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, SimdOp};

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
}

impl Isa {
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

    /// The fastest instruction set of this machine, or the one that the environment variable
    /// `HECTARE_ISA` (`portable`, `avx2`, `avx512`) names if the machine has it.
    pub fn best() -> Isa {
        let wanted = std::env::var("HECTARE_ISA").ok();
        wanted
            .and_then(|name| Isa::named(&name))
            .unwrap_or_else(|| *Isa::available().last().expect("portable is always there"))
    }

    /// The instruction set of that name, if this machine has it.
    pub fn named(name: &str) -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.name().eq_ignore_ascii_case(name))
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
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
            Kind::Avx512 => {
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
