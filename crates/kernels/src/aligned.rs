//! Memory for tensors.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// Size of a large page. Buffers from this size on start at a multiple of it.
const HUGE: usize = 2 << 20;

/// A fixed-length `f32` buffer that starts at a cache line (64 bytes) and at zero.
pub struct AlignedVec {
    ptr: *mut f32,
    len: usize,
}

// SAFETY: the buffer is owned, like a `Vec<f32>`.
unsafe impl Send for AlignedVec {}
// SAFETY: as above.
unsafe impl Sync for AlignedVec {}

impl AlignedVec {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> AlignedVec {
        if len == 0 {
            return AlignedVec { ptr: std::ptr::dangling_mut(), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout's size is not zero.
        let ptr = unsafe { alloc_zeroed(layout) }.cast::<f32>();
        if ptr.is_null() {
            handle_alloc_error(layout);
        }
        #[cfg(target_os = "linux")]
        if layout.size() >= HUGE {
            // Large pages spare the page-table walks of strided access. Advice only: its failure is harmless.
            // SAFETY: the range is the allocation, and the advice does not change its content.
            unsafe { libc::madvise(ptr.cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        AlignedVec { ptr, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(4).expect("a buffer fits the address space");
        let align = if bytes >= HUGE { HUGE } else { 64 };
        Layout::from_size_align(bytes, align).expect("a buffer fits the address space")
    }
}

impl Drop for AlignedVec {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with the same layout.
            unsafe { dealloc(self.ptr.cast(), Self::layout(self.len)) }
        }
    }
}

impl Deref for AlignedVec {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `ptr` holds `len` initialised numbers.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: `ptr` holds `len` initialised numbers, borrowed mutably with self.
        unsafe { std::slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl Clone for AlignedVec {
    fn clone(&self) -> Self {
        AlignedVec::from(&self[..])
    }
}

impl From<&[f32]> for AlignedVec {
    fn from(values: &[f32]) -> Self {
        let mut copy = AlignedVec::zeroed(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl std::fmt::Debug for AlignedVec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedVec({} numbers)", self.len)
    }
}

impl PartialEq for AlignedVec {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}
