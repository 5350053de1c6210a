//! Layers of features written as a GeoPackage (OGC 12-128r18): one table, filled while it is made.

use std::fs::File;
use std::io;

use crate::sqlite::{Index, Table, Value, Writer};
use crate::vector::Geometry;
use crate::{Crs, MapError};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Integer,
    Real,
    Text,
}

/// A GeoPackage in the making.
pub(crate) struct GeoPackage {
    writer: Writer,
    table: Table,
    rows: i64,
    bounds: [f64; 4],
    name: String,
    kind: &'static str,
    sql: String,
    srs: i64,
    system: Option<Crs>,
}

/// A name within SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl GeoPackage {
    /// Begins a layer of geometries of `kind` (`POINT`, `GEOMETRY`...) in the system `crs`; of one that has no EPSG number
    /// the layer says that its system is not defined.
    pub fn new(
        file: File,
        name: &str,
        kind: &'static str,
        fields: &[(&str, FieldKind)],
        crs: Option<&Crs>,
    ) -> io::Result<GeoPackage> {
        let mut sql = format!(
            "CREATE TABLE {} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom {kind}",
            quoted(name)
        );
        // AUTOINCREMENT would need the table sqlite_sequence.
        sql = sql.replace(" AUTOINCREMENT", "");
        for (field, kind) in fields {
            let kind = match kind {
                FieldKind::Integer => "INTEGER",
                FieldKind::Real => "REAL",
                FieldKind::Text => "TEXT",
            };
            sql += &format!(", {} {kind}", quoted(field));
        }
        sql.push(')');
        let system = crs.filter(|crs| crs.epsg.is_some()).cloned();
        let srs = system.as_ref().and_then(|crs| crs.epsg).map_or(-1, i64::from);
        Ok(GeoPackage {
            writer: Writer::new(file)?,
            table: Table::default(),
            rows: 0,
            bounds: [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY],
            name: name.to_owned(),
            kind,
            sql,
            srs,
            system,
        })
    }

    /// Adds a feature; `values` are those of the fields in their order.
    pub fn add(&mut self, geometry: &Geometry, values: &[Value]) -> io::Result<()> {
        let blob = blob(geometry, self.srs as i32, &mut self.bounds);
        let mut row = vec![Value::Null, Value::Blob(blob)];
        row.extend(values.iter().cloned());
        self.rows += 1;
        self.writer.row(&mut self.table, self.rows, &row)
    }

    /// Writes what makes the file a GeoPackage.
    pub fn finish(mut self) -> io::Result<()> {
        let text = |text: &str| Value::Text(text.to_owned());
        let layer = self.writer.finish_table(self.table)?;
        let mut systems = vec![
            (-1, "Undefined Cartesian SRS", "NONE", -1, "undefined"),
            (0, "Undefined geographic SRS", "NONE", 0, "undefined"),
            (4326, "WGS 84 geodetic", "EPSG", 4326, WGS84),
        ];
        let name = self.system.as_ref().map(|crs| crs.name.clone()).unwrap_or_default();
        if self.srs > 0 && self.srs != 4326 {
            systems.push((self.srs, &name, "EPSG", self.srs, "undefined"));
        }
        systems.sort_by_key(|system| system.0);
        let mut table = Table::default();
        for (id, name, organisation, code, definition) in systems {
            let row = [
                text(name),
                Value::Null,
                text(organisation),
                Value::Integer(code),
                text(definition),
                Value::Null,
            ];
            self.writer.row(&mut table, id, &row)?;
        }
        let spatial_ref_sys = self.writer.finish_table(table)?;
        let number = |at: usize| if self.rows > 0 { Value::Real(self.bounds[at]) } else { Value::Null };
        let mut table = Table::default();
        let row = [
            text(&self.name),
            text("features"),
            text(&self.name),
            text(""),
            // A time would make every run's file another one.
            text("1970-01-01T00:00:00.000Z"),
            number(0),
            number(1),
            number(2),
            number(3),
            Value::Integer(self.srs),
        ];
        self.writer.row(&mut table, 1, &row)?;
        let contents = self.writer.finish_table(table)?;
        let mut table = Table::default();
        let zero = || Value::Integer(0);
        let row = [text(&self.name), text("geom"), text(self.kind), Value::Integer(self.srs), zero(), zero()];
        self.writer.row(&mut table, 1, &row)?;
        let geometry_columns = self.writer.finish_table(table)?;
        let own = |writer: &mut Writer, key: &[&str]| {
            let mut key: Vec<Value> = key.iter().map(|key| text(key)).collect();
            key.push(Value::Integer(1));
            writer.index(&[key])
        };
        let by_name = own(&mut self.writer, &[&self.name])?;
        let by_identifier = own(&mut self.writer, &[&self.name])?;
        let by_column = own(&mut self.writer, &[&self.name, "geom"])?;
        let by_table = own(&mut self.writer, &[&self.name])?;
        let tables = [
            ("gpkg_spatial_ref_sys", spatial_ref_sys, SPATIAL_REF_SYS),
            ("gpkg_contents", contents, CONTENTS),
            ("gpkg_geometry_columns", geometry_columns, GEOMETRY_COLUMNS),
            (&self.name, layer, &self.sql),
        ];
        let indices = [
            Index { table: "gpkg_contents", number: 1, root: by_name },
            Index { table: "gpkg_contents", number: 2, root: by_identifier },
            Index { table: "gpkg_geometry_columns", number: 1, root: by_column },
            Index { table: "gpkg_geometry_columns", number: 2, root: by_table },
        ];
        // "GPKG" and version 1.3.0.
        self.writer.finish(&tables, &indices, 0x4750_4B47, 10_300)
    }
}

const SPATIAL_REF_SYS: &str = "CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, \
     organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT)";

const CONTENTS: &str = "CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, \
     identifier TEXT UNIQUE, description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT \
     (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER, \
     CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id))";

const GEOMETRY_COLUMNS: &str = "CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, \
     geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT \
     pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name), CONSTRAINT \
     fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name), CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) \
     REFERENCES gpkg_spatial_ref_sys (srs_id))";

const WGS84: &str = "GEOGCS[\"WGS 84\",DATUM[\"WGS_1984\",SPHEROID[\"WGS 84\",6378137,298.257223563,AUTHORITY[\"EPSG\",\
     \"7030\"]],AUTHORITY[\"EPSG\",\"6326\"]],PRIMEM[\"Greenwich\",0,AUTHORITY[\"EPSG\",\"8901\"]],UNIT[\"degree\",\
     0.0174532925199433,AUTHORITY[\"EPSG\",\"9122\"]],AUTHORITY[\"EPSG\",\"4326\"]]";

/// GeoPackage's header, with an envelope where it is no point, and well-known binary.
fn blob(geometry: &Geometry, srs: i32, bounds: &mut [f64; 4]) -> Vec<u8> {
    let mut own = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let mut body = Vec::new();
    let mut point = |[x, y]: [f64; 2], body: &mut Vec<u8>| {
        own = [own[0].min(x), own[1].min(y), own[2].max(x), own[3].max(y)];
        body.extend(x.to_le_bytes());
        body.extend(y.to_le_bytes());
    };
    let head = |kind: u32, body: &mut Vec<u8>| {
        body.push(1);
        body.extend(kind.to_le_bytes());
    };
    let count = |count: usize, body: &mut Vec<u8>| body.extend((count as u32).to_le_bytes());
    match geometry {
        Geometry::Points(points) => {
            if points.len() != 1 {
                head(4, &mut body);
                count(points.len(), &mut body);
            }
            for at in points {
                head(1, &mut body);
                point(*at, &mut body);
            }
        }
        Geometry::Polygons(polygons) => {
            if polygons.len() != 1 {
                head(6, &mut body);
                count(polygons.len(), &mut body);
            }
            for polygon in polygons {
                head(3, &mut body);
                count(polygon.len(), &mut body);
                for ring in polygon {
                    count(ring.len(), &mut body);
                    ring.iter().for_each(|at| point(*at, &mut body));
                }
            }
        }
    }
    *bounds = [bounds[0].min(own[0]), bounds[1].min(own[1]), bounds[2].max(own[2]), bounds[3].max(own[3])];
    let is_point = matches!(geometry, Geometry::Points(points) if points.len() == 1);
    let mut out = b"GP\0".to_vec();
    out.push(if is_point { 1 } else { 3 });
    out.extend(srs.to_le_bytes());
    if !is_point {
        for at in [0, 2, 1, 3] {
            out.extend(own[at].to_le_bytes());
        }
    }
    out.extend(body);
    out
}

/// What went wrong with a GeoPackage at `path`.
pub(crate) fn failed(path: &std::path::Path) -> impl Fn(io::Error) -> MapError + '_ {
    move |error| MapError::io(path, &error)
}
