//! Class maps, as CSV and as TOML: what is read is sound, and is read again from what it is written as.
#![no_main]

use hectare_data::class_map_file::{read_class_map, to_toml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for name in ["map.csv", "map.toml"] {
        if let Ok(map) = read_class_map(&hectare_fuzz::file(name, bytes)) {
            assert!(!map.is_empty() && map.len() < 256);
            let again = hectare_fuzz::file("again.toml", to_toml(&map).as_bytes());
            assert_eq!(read_class_map(&again).as_ref(), Ok(&map));
        }
    }
});
