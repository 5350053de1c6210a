//! PyTorch's files of untrusted origin, zip archives with a pickle: the tensors and the model that comes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hectare_fuzz::read_weights("w.pth", bytes));
