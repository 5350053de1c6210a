//! As much of protocol buffers as an event needs: fields written one after the other.

/// A message in the making.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

/// How the value of a field is stored.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

impl Message {
    /// The bytes of the fields so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Field `number`, an integer that is not negative.
    pub fn integer(mut self, number: u32, value: u64) -> Message {
        self.key(number, Wire::Varint);
        self.varint(value);
        self
    }

    /// Field `number`, a double.
    pub fn double(mut self, number: u32, value: f64) -> Message {
        self.key(number, Wire::Fixed64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Field `number`, a float.
    pub fn float(mut self, number: u32, value: f32) -> Message {
        self.key(number, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Field `number`: text, bytes, or another message's bytes.
    pub fn field(mut self, number: u32, value: impl AsRef<[u8]>) -> Message {
        self.key(number, Wire::Bytes);
        self.varint(value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }

    fn key(&mut self, number: u32, wire: Wire) {
        self.varint(u64::from(number << 3 | wire as u32));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_the_documentation_shows() {
        // protobuf.dev/programming-guides/encoding: `a: 150` and `b: "testing"`.
        assert_eq!(Message::default().integer(1, 150).bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().field(2, "testing");
        assert_eq!(text.bytes(), b"\x12\x07testing");
        // `c: {a: 150}`
        let inner = Message::default().integer(1, 150);
        assert_eq!(Message::default().field(3, inner).bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().double(1, 1.0).bytes(), [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(Message::default().float(2, 1.0).bytes(), [0x15, 0, 0, 0x80, 0x3f]);
    }
}
