//! What is refused, and with which words.

use hectare_data::{DataError, MAX_PIXELS, list_images, read_image, write_png};

use crate::{Folder, coordinates, fixtures};

fn is_decode(error: &DataError) -> bool {
    matches!(error, DataError::Decode { .. } | DataError::Truncated { .. })
}

#[test]
fn a_png_cut_anywhere_is_refused() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.image("whole.png", &coordinates(40, 30))).unwrap();
    for length in (0..whole.len() - 1).step_by(7).chain([whole.len() - 1, whole.len() - 12]) {
        let path = folder.write("cut.png", &whole[..length]);
        let error = read_image(&path).expect_err(&format!("{length} of {} bytes", whole.len()));
        assert!(is_decode(&error), "{error}");
        assert!(error.to_string().contains("cut.png does not decode"), "{error}");
    }
}

#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    let folder = Folder::new();
    for name in ["420", "444", "progressive", "restart", "grey", "1x1"] {
        let whole = std::fs::read(fixtures().join(format!("jpeg_{name}.jpg"))).unwrap();
        for length in (0..whole.len() - 1).step_by(13).chain([whole.len() - 1, whole.len() - 2]) {
            let path = folder.write("cut.jpg", &whole[..length]);
            let error = read_image(&path).expect_err(&format!("{name}: {length} of {} bytes", whole.len()));
            assert!(is_decode(&error), "{error}");
        }
    }
}

/// Damage may be decoded to something or refused; it must not panic, and a changed PNG is always refused.
#[test]
fn damaged_bytes_never_panic() {
    let folder = Folder::new();
    let png = std::fs::read(folder.image("whole.png", &coordinates(20, 20))).unwrap();
    for at in (0..png.len()).step_by(3) {
        let mut bytes = png.clone();
        bytes[at] ^= 0x55;
        assert!(read_image(&folder.write("bad.png", bytes)).is_err(), "byte {at} of {}", png.len());
    }
    for name in ["420", "progressive", "restart", "rgb"] {
        let jpeg = std::fs::read(fixtures().join(format!("jpeg_{name}.jpg"))).unwrap();
        for at in 0..jpeg.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = jpeg.clone();
                bytes[at] ^= flip;
                let path = folder.write("bad.jpg", bytes);
                if let Err(error) = read_image(&path) {
                    assert!(
                        matches!(
                            error,
                            DataError::Decode { .. }
                                | DataError::Truncated { .. }
                                | DataError::TooLarge { .. }
                        ),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn files_that_are_no_pictures() {
    let folder = Folder::new();
    let message = |name: &str, bytes: &[u8]| read_image(&folder.write(name, bytes)).unwrap_err().to_string();
    assert!(message("empty.png", b"").contains("the file is empty"));
    assert!(message("text.png", b"hello").contains("neither a PNG nor a JPEG"));
    assert!(message("start.jpg", b"\xff\xd8").contains("truncated"));
    let missing = folder.path().join("missing.png");
    assert_eq!(read_image(&missing), Err(DataError::NotFound { path: missing }));
    assert!(matches!(read_image(folder.path()), Err(DataError::Io { .. })));
}

/// A header that promises more pixels than there can be must not cost the memory for them.
#[test]
fn decompression_bombs_are_refused() {
    let folder = Folder::new();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    for side in [20_000u32, 20_000] {
        header.extend(side.to_be_bytes());
    }
    header.extend([8, 2, 0, 0, 0]);
    png.extend(13u32.to_be_bytes());
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    let error = read_image(&folder.write("bomb.png", &png)).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { width: 20_000, height: 20_000, .. }), "{error}");
    const { assert!(20_000 * 20_000 > MAX_PIXELS) };

    let mut jpeg = std::fs::read(fixtures().join("jpeg_420.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = read_image(&folder.write("bomb.jpg", &jpeg)).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { width: 65535, height: 65535, .. }), "{error}");
    // Below the limit, but far more blocks than the file has bits.
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x20, 0x00, 0x20, 0x00]);
    assert!(is_decode(&read_image(&folder.write("bomb.jpg", &jpeg)).unwrap_err()));
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn unwritable_places_leave_nothing_behind() {
    let folder = Folder::new();
    let image = coordinates(2, 2);
    let error = write_png(&image, &folder.path().join("no/such/folder/a.png")).unwrap_err();
    assert!(error.to_string().contains("a.png"), "{error}");
    // A folder stands where the file should go: the temporary file must be gone again.
    std::fs::create_dir(folder.path().join("taken.png")).unwrap();
    assert!(write_png(&image, &folder.path().join("taken.png")).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn inputs_of_predict() {
    let folder = Folder::new();
    for name in ["0002_sat.png", "0001_sat.png", "0001_mask.png", "plain.PNG", "notes.txt", ".hidden.png"] {
        folder.picture(name, [0; 3]);
    }
    let names = |inputs: &[std::path::PathBuf]| -> Vec<String> {
        let images = list_images(inputs).unwrap();
        images.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&[folder.path().into()]), ["0001_sat.png", "0002_sat.png", "plain.PNG"]);
    // A file that is named is taken, whatever it is called.
    assert_eq!(names(&[folder.path().join("0001_mask.png")]), ["0001_mask.png"]);

    let other = folder.picture("deeper/0001.png", [0; 3]);
    let error = list_images(&[folder.path().into(), other.clone()]).unwrap_err();
    let first = folder.path().join("0001_sat.png");
    let expected = DataError::DuplicateStem { stem: "0001".into(), first, second: other };
    // Sorted by file name, `0001.png` comes first.
    let DataError::DuplicateStem { stem, first, second } = error else { panic!("{error}") };
    assert_eq!(expected, DataError::DuplicateStem { stem, first: second, second: first });

    let missing = folder.path().join("missing");
    assert_eq!(list_images(std::slice::from_ref(&missing)), Err(DataError::NotFound { path: missing }));
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(list_images(&[empty]), Err(DataError::Empty { .. })));
}

/// Below the limit of pixels, but more of them than deflate could have made of the file's bytes.
#[test]
fn a_png_too_short_for_its_pixels_costs_no_memory() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.image("whole.png", &coordinates(4, 4))).unwrap();
    let mut header = b"IHDR".to_vec();
    header.extend([10_000u32.to_be_bytes(), 10_000u32.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let bytes = [&whole[..12], &header[..], &crc32(&header).to_be_bytes(), &whole[33..]].concat();
    let error = read_image(&folder.write("large.png", bytes)).unwrap_err();
    assert!(matches!(error, DataError::Truncated { .. }), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_an_end_is_refused() {
    let error = hectare_data::class_map_file::read_class_map(std::path::Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.to_string(), "/dev/zero is longer than the limit of 64 MiB");
}
