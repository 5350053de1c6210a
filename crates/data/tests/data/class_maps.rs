//! Class maps on disk.

use hectare_data::class_map_file::{read_class_map, to_toml};
use hectare_net::ClassMap;

use crate::Folder;

const DEEPGLOBE: &str = "name,r,g,b\nurban_land,0,255,255\nagriculture_land,255,255,0\nrangeland,255,0,255\n\
                         forest_land,0,255,0\nwater,0,0,255\nbarren_land,255,255,255\nunknown,0,0,0\n";

#[test]
fn class_dict_of_deepglobe() {
    let folder = Folder::new();
    let map = read_class_map(&folder.write("class_dict.csv", DEEPGLOBE)).unwrap();
    assert_eq!(map.len(), 7);
    assert_eq!(map.classes[4].name, "water");
    let course = ClassMap::course();
    assert!(map.classes.iter().zip(&course.classes).all(|(a, b)| a.colour == b.colour && a.id == b.id));
    assert_eq!(map.id_of([255, 0, 0]), Some(6), "red is unknown");
    // Without a header, with blanks and Windows line ends.
    let bare = DEEPGLOBE.lines().skip(1).map(|l| l.replace(',', " , ") + "\r\n").collect::<String>();
    assert_eq!(read_class_map(&folder.write("bare.csv", bare)).unwrap(), map);
}

#[test]
fn toml_round_trips() {
    let folder = Folder::new();
    let mut map = ClassMap::course();
    map.classes[6].ignored = true;
    map.classes[0].name = "a \"name\" with \\ signs".into();
    let path = folder.write("classes.toml", to_toml(&map));
    assert_eq!(read_class_map(&path).unwrap(), map);
    let numbered = ClassMap::numbered(50);
    assert_eq!(read_class_map(&folder.write("n.toml", to_toml(&numbered))).unwrap(), numbered);
}

#[test]
fn faults_name_the_line() {
    let folder = Folder::new();
    let fault = |name: &str, text: &str| read_class_map(&folder.write(name, text)).unwrap_err().to_string();
    let cases = [
        (
            "a.csv",
            "name,r,g,b\nwater,0,0,256\n",
            "line 2: expected a colour value from 0 to 255, found \"256\"",
        ),
        ("a.csv", "water,0,0\n", "line 1: expected name,r,g,b, found 3 fields"),
        ("a.csv", "name,r,g,b\n", "no classes"),
        ("a.csv", "a,1,1,1\na,2,2,2\n", "two classes are called a"),
        ("a.csv", "a,1,1,1\nb,1,1,1\n", "a and b share the colour 1,1,1"),
        ("a.toml", "[[class]]\nname = \"a\"\n", "missing field `colour`"),
        (
            "a.toml",
            "[[class]]\nname = \"a\"\ncolour = [1, 2, 3]\nshade = 1\n",
            "line 4: unknown field `shade`",
        ),
        ("a.toml", "class = []", "no classes"),
    ];
    for (name, text, expected) in cases {
        let message = fault(name, text);
        assert!(message.contains(expected) && message.contains(name), "{message:?} lacks {expected:?}");
    }
    let many: String = (0..256).map(|i| format!("c{i},{i},{},7\n", i / 2)).collect();
    assert!(fault("many.csv", &many).contains("256 classes"));
    assert!(fault("bytes.csv", "").contains("no classes"));
    assert!(read_class_map(&folder.write("latin.csv", b"\xe9,1,2,3\n")).is_err());
}
