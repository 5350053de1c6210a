//! Safetensors files of untrusted origin: tensors, the model's description, and the model that comes of both. No
//! number that is read is NaN or infinite.
#![no_main]

use hectare_net::weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = hectare_fuzz::file("w.safetensors", bytes);
    if let Ok(file) = weights::read(&path) {
        for tensor in &file.tensors {
            if let Ok(values) = tensor.values() {
                assert!(values.len() <= bytes.len() && values.iter().all(|value| value.is_finite()));
            }
        }
    }
    if let Ok(model) = weights::read_model(&path) {
        assert!(model.params.values.len() * 2 <= bytes.len());
        assert!(model.card.check().is_ok());
        assert_eq!(model.card.classes.len(), model.card.spec.classes);
    }
});
