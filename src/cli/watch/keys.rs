//! Keys, from the bytes that a terminal sends for them.

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A character, also one that means nothing.
    Char(char),
    /// Return.
    Enter,
    /// The key that takes the last character back.
    Back,
    /// Escape alone.
    Escape,
    /// Up and down by a line.
    Up,
    Down,
    /// By a screen.
    PageUp,
    PageDown,
    /// To the ends.
    Home,
    End,
    /// Ctrl-L.
    Redraw,
    /// Ctrl-Z.
    Suspend,
}

/// Bytes that may be the beginning of a key.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<u8>);

impl Keys {
    /// The keys in what has arrived; what may be a part of one is kept.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.0.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Some((length, key)) = first(&self.0) {
            self.0.drain(..length);
            keys.extend(key);
        }
        keys
    }

    /// Nothing more comes: an escape was a key of its own.
    pub(super) fn settle(&mut self) -> Option<Key> {
        let is_escape = self.0.first() == Some(&0x1b);
        self.0.clear();
        is_escape.then_some(Key::Escape)
    }
}

/// The length of the first key and what it means, if all of it is there.
fn first(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let key = match *bytes.first()? {
        0x1b => return escape(bytes),
        b'\r' | b'\n' => Some(Key::Enter),
        0x7f | 0x08 => Some(Key::Back),
        0x0c => Some(Key::Redraw),
        0x1a => Some(Key::Suspend),
        0x06 => Some(Key::PageDown),
        0x02 => Some(Key::PageUp),
        byte @ 0x20..=0x7e => Some(Key::Char(char::from(byte))),
        _ => None,
    };
    Some((1, key))
}

/// `ESC [ parameters letter`, or `ESC O letter` as keypads in application mode send it.
fn escape(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let rest = match bytes.get(1)? {
        b'[' | b'O' => bytes.get(2..)?,
        // A key with Alt.
        _ => return Some((2, None)),
    };
    let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
    let key = match (&rest[..end], rest[end]) {
        (_, b'A') => Some(Key::Up),
        (_, b'B') => Some(Key::Down),
        (_, b'H') | (b"1" | b"7", b'~') => Some(Key::Home),
        (_, b'F') | (b"4" | b"8", b'~') => Some(Key::End),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    };
    Some((3 + end, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood_however_they_arrive() {
        let whole = b"qj\x1b[A\x1bOB\x1b[6~\x1b[1;5C\x1b[H\x7f\x0c\x1ax\xff\r";
        let keys = [
            Key::Char('q'),
            Key::Char('j'),
            Key::Up,
            Key::Down,
            Key::PageDown,
            Key::Home,
            Key::Back,
            Key::Redraw,
            Key::Suspend,
            Key::Char('x'),
            Key::Enter,
        ];
        assert_eq!(Keys::default().read(whole), keys);
        let mut slow = Keys::default();
        let one_by_one: Vec<Key> = whole.iter().flat_map(|byte| slow.read(&[*byte])).collect();
        assert_eq!(one_by_one, keys);
        assert_eq!(slow.settle(), None);
        assert_eq!(slow.read(b"\x1b"), []);
        assert_eq!(slow.settle(), Some(Key::Escape));
        assert_eq!(slow.read(b"j"), [Key::Char('j')]);
    }
}
