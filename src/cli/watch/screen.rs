//! What stands on the screen of `status --watch`, and what has to be sent to make it so. Pure.
//!
//! Over a serial line of 9600 baud a screen takes two seconds, so only what differs from the last
//! one is sent. The sequences are those of a VT100: move, erase to the end of the line or of the
//! screen, bold.

use super::keys::Key;
use crate::report::watch::text::Line;
use std::time::Duration;

/// The shortest delay between two looks.
pub(in crate::cli) const SHORTEST: Duration = Duration::from_millis(100);

/// What a key asks for beyond the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Quit,
    /// Look now.
    Look,
    /// Send everything again.
    Redraw,
    /// Stop this process until it is continued.
    Suspend,
}

/// What the lines below the heading are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    /// The last look.
    Look,
    /// The help.
    Help,
    /// The last look, while a delay is typed.
    Delay(String),
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Screen {
    /// Columns and rows.
    pub size: (usize, usize),
    /// Whether characters beyond ASCII can be shown.
    pub unicode: bool,
    /// The time between two looks.
    pub every: Duration,
    body: Vec<Line>,
    at: String,
    offset: usize,
    mode: Mode,
    /// How long the present look has taken, when that is worth telling.
    waiting: Option<u64>,
}

const HELP: [&str; 9] = [
    "q          quit",
    "space      look now",
    "d, s       change the delay between two looks, in seconds",
    "j, k       down and up by a line, as the arrows",
    "PgDn, PgUp by a screen, as Ctrl-F and Ctrl-B",
    "g, G       to the beginning and to the end, as Home and End",
    "Ctrl-L     draw everything again",
    "Ctrl-Z     stop, until the shell continues it",
    "h, ?       this help; any key ends it",
];

impl Screen {
    pub(super) fn new(size: (usize, usize), unicode: bool, every: Duration) -> Screen {
        Screen {
            size,
            unicode,
            every,
            body: vec![Line::plain("looking ...")],
            at: String::new(),
            offset: 0,
            mode: Mode::Look,
            waiting: None,
        }
    }

    /// Takes a new look.
    pub(super) fn show(&mut self, at: &str, body: Vec<Line>) {
        self.at = at.to_owned();
        self.body = body;
        self.waiting = None;
        self.scroll(0);
    }

    /// Tells that the present look has taken so many seconds.
    pub(super) fn wait(&mut self, secs: u64) {
        self.waiting = Some(secs);
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: Key) -> Effect {
        match (&mut self.mode, key) {
            (_, Key::Suspend) => return Effect::Suspend,
            (_, Key::Redraw) => return Effect::Redraw,
            (Mode::Help, Key::Char('q')) | (Mode::Look, Key::Char('q' | 'Q')) => {
                return Effect::Quit;
            }
            (Mode::Help, _) => self.mode = Mode::Look,
            (Mode::Delay(text), Key::Char(c)) if c.is_ascii_digit() || c == '.' => {
                if text.len() < 8 {
                    text.push(c);
                }
            }
            (Mode::Delay(text), Key::Back) => drop(text.pop()),
            (Mode::Delay(text), Key::Enter) => {
                let every = text.parse().ok().map(Duration::try_from_secs_f64);
                if let Some(Ok(every)) = every {
                    self.every = every.max(SHORTEST);
                }
                self.mode = Mode::Look;
                return Effect::Look;
            }
            (Mode::Delay(_), Key::Escape | Key::Char('q')) => self.mode = Mode::Look,
            (Mode::Delay(_), _) => {}
            (Mode::Look, Key::Char(' ')) => return Effect::Look,
            (Mode::Look, Key::Char('d' | 's')) => self.mode = Mode::Delay(String::new()),
            (Mode::Look, Key::Char('h' | '?')) => self.mode = Mode::Help,
            (Mode::Look, key) => self.scroll(self.distance(key)),
        }
        Effect::None
    }

    /// How far a key moves.
    fn distance(&self, key: Key) -> isize {
        let whole = self.body.len().cast_signed();
        let page = self.room().saturating_sub(1).max(1).cast_signed();
        match key {
            Key::Down | Key::Char('j') => 1,
            Key::Up | Key::Char('k') => -1,
            Key::PageDown => page,
            Key::PageUp => -page,
            Key::Home | Key::Char('g') => -whole,
            Key::End | Key::Char('G') => whole,
            Key::Char(_) | Key::Enter | Key::Back | Key::Escape | Key::Redraw | Key::Suspend => 0,
        }
    }

    /// The lines below the heading and the line after it.
    fn room(&self) -> usize {
        self.size.1.saturating_sub(2).max(1)
    }

    fn scroll(&mut self, by: isize) {
        let last = self.body.len().saturating_sub(self.room());
        self.offset = self.offset.saturating_add_signed(by).min(last);
    }

    /// The rows of the screen, as many as it has.
    pub(super) fn frame(&mut self) -> Vec<Line> {
        self.scroll(0);
        let help: Vec<Line> = HELP.iter().map(|line| Line::plain(line)).collect();
        let (lines, offset) = match self.mode {
            Mode::Help => (&help, 0),
            Mode::Look | Mode::Delay(_) => (&self.body, self.offset),
        };
        let below = lines.iter().skip(offset).take(self.room()).cloned();
        let mut frame = vec![Line::heading(&self.heading()), Line::plain("")];
        frame.extend(below);
        frame.resize(self.size.1.max(1), Line::plain(""));
        frame.iter().map(|line| self.cut(line)).collect()
    }

    fn heading(&self) -> String {
        let every = self.every.as_secs_f64();
        if let Mode::Delay(text) = &self.mode {
            return format!("seconds between two looks (now {every}): {text}_");
        }
        let hidden = self.body.len().saturating_sub(self.room());
        let place = match hidden {
            0 => String::new(),
            _ => {
                let last = (self.offset + self.room()).min(self.body.len());
                format!("  lines {}-{last} of {}", self.offset + 1, self.body.len())
            }
        };
        let waiting = self.waiting.map_or_else(String::new, |secs| {
            format!("  looking for {secs} s: a disk may hang")
        });
        format!(
            "breakoff status  {}  every {every} s{place}{waiting}  h: help, q: quit",
            self.at
        )
    }

    /// As much of a line as fits. The last column stays empty: a character there makes some
    /// terminals move on, and in the last row scroll.
    fn cut(&self, line: &Line) -> Line {
        let shown = |c: char| if self.unicode || c.is_ascii() { c } else { '?' };
        let most = self.size.0.saturating_sub(1);
        Line {
            text: line.text.chars().take(most).map(shown).collect(),
            is_heading: line.is_heading,
        }
    }
}

/// What has to be sent to a terminal that shows one frame for it to show another. Without a frame
/// nothing is known of what it shows.
pub(super) fn changes(before: Option<&[Line]>, now: &[Line]) -> String {
    let mut sent = String::new();
    let known = before.filter(|before| before.len() == now.len());
    if known.is_none() {
        sent.push_str("\u{1b}[H\u{1b}[2J");
    }
    let empty = Line::plain("");
    for (row, line) in now.iter().enumerate() {
        let old = known.and_then(|before| before.get(row)).unwrap_or(&empty);
        if old != line {
            sent.push_str(&change(row + 1, old, line));
        }
    }
    sent
}

/// A row from its first difference on.
fn change(row: usize, old: &Line, new: &Line) -> String {
    // How wide a character beyond ASCII is, only the terminal knows.
    let is_plain = old.text.is_ascii() && new.text.is_ascii();
    let pairs = old.text.bytes().zip(new.text.bytes());
    let same = if is_plain && old.is_heading == new.is_heading {
        pairs.take_while(|(a, b)| a == b).count()
    } else {
        0
    };
    let rest = new.text.get(same..).unwrap_or_default();
    let erase = if is_plain && old.text.len() <= new.text.len() {
        ""
    } else {
        "\u{1b}[K"
    };
    let rest = if new.is_heading && !rest.is_empty() {
        format!("\u{1b}[1m{rest}\u{1b}[0m")
    } else {
        rest.to_owned()
    };
    format!("\u{1b}[{row};{}H{rest}{erase}", same + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A terminal that knows what is sent here.
    fn terminal(rows: &mut [String], sent: &str) {
        let (mut row, mut column) = (0, 0);
        let mut rest = sent;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                let numbers: Vec<usize> = sequence[..end]
                    .split(';')
                    .map(|n| n.parse().unwrap_or(1))
                    .collect();
                match &sequence[end..=end] {
                    "H" => {
                        row = numbers[0] - 1;
                        column = numbers.get(1).map_or(0, |n| n - 1);
                    }
                    "J" => rows.iter_mut().for_each(String::clear),
                    "K" => {
                        rows[row] = rows[row].chars().take(column).collect();
                    }
                    "m" => {}
                    other => panic!("{other} is not of a VT100"),
                }
                rest = &sequence[end + 1..];
            } else {
                let mut line: Vec<char> = rows[row].chars().collect();
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                rows[row] = line.into_iter().collect();
                column += 1;
                rest = &rest[c.len_utf8()..];
            }
        }
    }

    fn line() -> impl Strategy<Value = Line> {
        ("[a-c é]{0,12}", any::<bool>()).prop_map(|(text, is_heading)| Line { text, is_heading })
    }

    proptest! {
        #[test]
        fn a_terminal_shows_each_frame_after_the_other(
            frames in proptest::collection::vec(proptest::collection::vec(line(), 6), 1..6),
        ) {
            let mut rows = vec!["what was there".to_owned(); 6];
            let mut before: Option<Vec<Line>> = None;
            for frame in frames {
                terminal(&mut rows, &changes(before.as_deref(), &frame));
                let texts: Vec<&str> = frame.iter().map(|line| line.text.trim_end()).collect();
                let shown: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
                prop_assert_eq!(shown, texts);
                before = Some(frame);
            }
        }
    }

    fn screen(lines: usize) -> Screen {
        let mut screen = Screen::new((40, 12), true, Duration::from_secs(2));
        let body = (0..lines).map(|n| Line::plain(&format!("line {n}")));
        screen.show("then", body.collect());
        screen
    }

    #[test]
    fn only_what_differs_is_sent() {
        let mut screen = screen(5);
        let before = screen.frame();
        assert_eq!(changes(Some(&before), &screen.frame()), "");
        let body = (0..5).map(|n| Line::plain(&format!("line {}", if n == 3 { 7 } else { n })));
        screen.show("then", body.collect());
        assert_eq!(changes(Some(&before), &screen.frame()), "\u{1b}[6;6H7");
    }

    #[test]
    fn what_is_longer_than_the_screen_is_scrolled() {
        let mut screen = screen(30);
        let first = |screen: &mut Screen| screen.frame()[2].text.clone();
        assert_eq!(screen.frame().len(), 12);
        for (key, shown) in [
            (Key::Char('j'), "line 1"),
            (Key::Down, "line 2"),
            (Key::Up, "line 1"),
            (Key::PageDown, "line 10"),
            (Key::Char('G'), "line 20"),
            (Key::Char('j'), "line 20"),
            (Key::PageUp, "line 11"),
            (Key::Char('g'), "line 0"),
            (Key::Char('k'), "line 0"),
        ] {
            assert_eq!(screen.press(key), Effect::None);
            assert_eq!(first(&mut screen), shown, "{key:?}");
        }
        screen.press(Key::End);
        screen.size = (40, 40);
        assert_eq!(first(&mut screen), "line 0");
        screen.show("now", vec![Line::plain("x")]);
        assert_eq!(first(&mut screen), "x");
    }

    #[test]
    fn keys_do_what_they_do_in_top() {
        let mut screen = screen(3);
        assert_eq!(screen.press(Key::Char(' ')), Effect::Look);
        assert_eq!(screen.press(Key::Char('?')), Effect::None);
        assert!(screen.frame()[2].text.starts_with("q "));
        assert_eq!(screen.press(Key::Char('x')), Effect::None);
        assert_eq!(screen.frame()[2].text, "line 0");
        for (typed, every) in [("0.5", 500), ("0", 100), ("nonsense", 100), ("10", 10_000)] {
            screen.press(Key::Char('d'));
            for c in typed.chars() {
                screen.press(Key::Char(c));
            }
            assert_eq!(screen.press(Key::Enter), Effect::Look);
            assert_eq!(screen.every, Duration::from_millis(every), "{typed}");
        }
        screen.press(Key::Char('s'));
        screen.press(Key::Char('7'));
        assert!(screen.frame()[0].text.contains("7_"));
        screen.press(Key::Escape);
        assert_eq!(screen.every, Duration::from_secs(10));
        assert_eq!(screen.press(Key::Char('q')), Effect::Quit);
    }
}
