//! Arrays in `.npy` files: what is read is as long as its shape says, and is read again as it is written.
#![no_main]

use hectare_train::npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = hectare_fuzz::file("a.npy", bytes);
    if let Ok((shape, values)) = npy::read(&path) {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        npy::write(&path, &shape, &values).expect("memory can be written");
        let (again, same) = npy::read(&path).expect("what was written is read");
        assert_eq!(again, shape);
        assert!(same.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
});
