//! Memory is bounded: while a target runs, no single allocation may be larger than it says.
//!
//! libFuzzer's own limit is for the whole process and sees an allocation only once it is written
//! to; a length that is believed too early is found here at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// The largest allocation since [`bounded`] was called.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; beside that only a number is kept.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Runs something and fails when it asked for more than so many bytes at once.
pub fn bounded<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    LARGEST.store(0, Relaxed);
    let result = work();
    let largest = LARGEST.load(Relaxed);
    assert!(
        largest <= limit,
        "{largest} bytes were allocated at once, {limit} are enough"
    );
    result
}
