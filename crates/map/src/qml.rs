//! The style that QGIS gives a map: `map.qml` beside `map.tif` is taken up by itself.

use hectare_net::ClassMap;

use crate::map_file::escape;

/// A paletted style with the classes' names and colours.
pub fn qml(classes: &ClassMap) -> String {
    let mut text = String::from(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n\
         <qgis version=\"3.22.0\" styleCategories=\"AllStyleCategories\">\n  <pipe>\n    \
         <rasterrenderer type=\"paletted\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" nodataColor=\"\">\n      \
         <rasterTransparency/>\n      <colorPalette>\n",
    );
    for class in &classes.classes {
        let [r, g, b] = class.colour;
        text += &format!(
            "        <paletteEntry value=\"{}\" color=\"#{r:02x}{g:02x}{b:02x}\" label=\"{}\" alpha=\"255\"/>\n",
            class.id,
            escape(&class.name)
        );
    }
    text + "      </colorPalette>\n    </rasterrenderer>\n    <brightnesscontrast/>\n    <huesaturation/>\n    \
            <rasterresampler/>\n  </pipe>\n  <blendMode>0</blendMode>\n</qgis>\n"
}
