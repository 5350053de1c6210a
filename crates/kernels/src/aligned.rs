//! Memory for tensors.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut, Range};

/// Size of a large page. Buffers from this size on start at a multiple of it.
pub(crate) const HUGE: usize = 2 << 20;

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
        let ptr = match layout.size() {
            HUGE.. => Self::large(layout),
            // SAFETY: the layout's size is not zero.
            _ => unsafe { alloc_zeroed(layout) },
        };
        let ptr = ptr.cast::<f32>();
        if ptr.is_null() {
            handle_alloc_error(layout);
        }
        AlignedVec { ptr, len }
    }

    /// Gives back the memory of numbers that are not needed any more, where the system can; their values are
    /// unspecified from then on.
    ///
    /// # Panics
    /// When the range is not within the buffer.
    pub fn discard(&mut self, range: Range<usize>) {
        let numbers = &mut self[range];
        #[cfg(target_os = "linux")]
        {
            // The largest page that memory may have been mapped with: a smaller one divides it.
            const PAGE: usize = 1 << 16;
            let bytes = numbers.as_mut_ptr_range();
            let (start, end) = (bytes.start.addr().next_multiple_of(PAGE), bytes.end.addr() / PAGE * PAGE);
            if start < end {
                let first = numbers.as_mut_ptr().wrapping_byte_add(start - bytes.start.addr());
                // SAFETY: whole pages within numbers that are borrowed mutably; they are private memory and may
                // hold anything afterwards. Failure is harmless.
                unsafe { libc::madvise(first.cast(), end - start, libc::MADV_DONTNEED) };
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = numbers;
    }

    /// Zeroed memory on large pages, which spare the page-table walks of strided access, or null. The system gives
    /// them at a page's first touch, so that the advice comes before the zeros.
    fn large(layout: Layout) -> *mut u8 {
        // SAFETY: the layout's size is not zero.
        let ptr = unsafe { alloc(layout) };
        if !ptr.is_null() {
            // SAFETY: the range is the allocation. The advice does not change its content, and its failure is harmless.
            #[cfg(target_os = "linux")]
            unsafe {
                libc::madvise(ptr.cast(), layout.size(), libc::MADV_HUGEPAGE)
            };
            // SAFETY: as above.
            unsafe { ptr.write_bytes(0, layout.size()) };
        }
        ptr
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarding_leaves_the_rest() {
        let mut values = AlignedVec::zeroed(3 << 18);
        values.fill(1.0);
        let range = 5..(3 << 18) - 7;
        values.discard(range.clone());
        assert!(values[..5].iter().chain(&values[range.end..]).all(|x| *x == 1.0));
        #[cfg(target_os = "linux")]
        assert_eq!(values[1 << 18], 0.0, "its page is a new one");
        values[range.clone()].fill(2.0);
        assert!(values[range].iter().all(|x| *x == 2.0));
        values.discard(0..0);
        AlignedVec::zeroed(0).discard(0..0);
    }
}
