//! Safetensors files of untrusted origin: tensors, the model's description, and the model that comes of both.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hectare_fuzz::read_weights("w.safetensors", bytes));
