//! What drawings in text are made on: the width, the characters and the colours of a terminal, as
//! the front end has found them.
//!
//! A drawing is never told by its colours alone: whatever has a colour has a letter or a pattern of
//! its own, too. The colours are those of Okabe and Ito, which people with any of the common forms
//! of colour blindness can tell apart.

/// How many colours a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colors {
    /// None: nothing but text is written.
    #[default]
    None,
    /// The eight of ECMA-48.
    Eight,
    /// A palette of 256.
    Palette,
    /// 24 bits.
    Full,
}

/// The place where a drawing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// How many characters fit on a line.
    pub width: usize,
    /// Whether characters beyond ASCII can be shown.
    pub unicode: bool,
    /// The colours.
    pub colors: Colors,
}

impl Default for Canvas {
    /// A pipe: 80 columns, no colours.
    fn default() -> Canvas {
        Canvas {
            width: 80,
            unicode: true,
            colors: Colors::None,
        }
    }
}

/// A colour in each of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hue {
    /// Red, green and blue.
    pub rgb: [u8; 3],
    /// The nearest entry of the palette of 256.
    palette: u8,
    /// The nearest of the eight colours.
    eight: u8,
    /// Whether white can be read on it, and black cannot.
    pub is_dark: bool,
}

const fn hue(rgb: [u8; 3], palette: u8, eight: u8, is_dark: bool) -> Hue {
    Hue {
        rgb,
        palette,
        eight,
        is_dark,
    }
}

/// The colours for objects, in the order in which they are given out.
pub(super) const HUES: [Hue; 7] = [
    hue([0x56, 0xb4, 0xe9], 74, 6, false),
    hue([0xe6, 0x9f, 0x00], 178, 3, false),
    hue([0x00, 0x9e, 0x73], 36, 2, false),
    hue([0xcc, 0x79, 0xa7], 175, 5, false),
    hue([0xf0, 0xe4, 0x42], 227, 7, false),
    hue([0x00, 0x72, 0xb2], 25, 4, true),
    hue([0xd5, 0x5e, 0x00], 166, 1, false),
];

/// How text is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ink {
    /// As the terminal has it.
    #[default]
    Plain,
    /// In the background.
    Faint,
    /// To be noticed.
    Strong,
    /// On a ground of one of [`HUES`].
    On(usize),
    /// On a neutral ground.
    Neutral,
}

impl Canvas {
    /// The text in this ink.
    pub(super) fn paint(&self, text: &str, ink: Ink) -> String {
        match self.codes(ink) {
            Some(codes) if !text.is_empty() => format!("\u{1b}[{codes}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }

    fn codes(&self, ink: Ink) -> Option<String> {
        if self.colors == Colors::None {
            return None;
        }
        match ink {
            Ink::Plain => None,
            Ink::Faint => Some("2".to_owned()),
            Ink::Strong => Some("1".to_owned()),
            Ink::Neutral => Some("7".to_owned()),
            Ink::On(at) => Some(self.ground(&HUES[at % HUES.len()])),
        }
    }

    /// The hue as a ground, and what can be read on it.
    fn ground(&self, hue: &Hue) -> String {
        let [red, green, blue] = hue.rgb;
        match self.colors {
            Colors::None => String::new(),
            // Of the eight, black can be read on all but red and blue.
            Colors::Eight if [1, 4].contains(&hue.eight) => format!("37;4{}", hue.eight),
            Colors::Eight => format!("30;4{}", hue.eight),
            Colors::Palette => {
                let text = if hue.is_dark { 231 } else { 16 };
                format!("38;5;{text};48;5;{}", hue.palette)
            }
            Colors::Full => {
                let text = if hue.is_dark { "255;255;255" } else { "0;0;0" };
                format!("38;2;{text};48;2;{red};{green};{blue}")
            }
        }
    }

    /// Words in lines of at most this canvas's width, the second and later ones indented. A word
    /// that is longer than a line has one to itself.
    pub(super) fn wrap(&self, first: &str, words: &[String], indent: usize) -> String {
        let (mut text, mut line) = (String::new(), first.to_owned());
        let mut is_bare = true;
        for word in words {
            let length = line.chars().count() + usize::from(!is_bare) + word.chars().count();
            if !is_bare && length > self.width {
                text.push_str(line.trim_end());
                text.push('\n');
                line = " ".repeat(indent);
                is_bare = true;
            }
            if !is_bare {
                line.push(' ');
            }
            line.push_str(word);
            is_bare = false;
        }
        text + line.trim_end() + "\n"
    }
}

/// A character with its ink, on the way to a line.
pub(super) type Cell = (char, Ink);

impl Canvas {
    /// A row of cells: those of one ink are written together.
    pub(super) fn row(&self, cells: &[Cell]) -> String {
        cells
            .chunk_by(|one, other| one.1 == other.1)
            .map(|run| {
                let text: String = run.iter().map(|(letter, _)| letter).collect();
                self.paint(&text, run.first().map_or(Ink::Plain, |(_, ink)| *ink))
            })
            .collect()
    }
}

/// Divides so many cells among parts in proportion to their sizes, each of them at least its
/// minimum. They add up to `cells`, or to all minimums when these are more.
pub(super) fn divide(sizes: &[u64], minimums: &[usize], cells: usize) -> Vec<usize> {
    let mut shares: Vec<Option<usize>> = vec![None; sizes.len()];
    let least = |at: usize| minimums.get(at).copied().unwrap_or(0);
    // Those that would get too little get their minimum; the others share what is left, which is
    // less now.
    let (rest, left) = loop {
        let open = || (0..sizes.len()).filter(|at| shares[*at].is_none());
        let taken: usize = shares.iter().flatten().sum();
        let rest: u128 = open().map(|at| u128::from(sizes[at])).sum();
        let left = cells.saturating_sub(taken);
        let small: Vec<usize> = open()
            .filter(|at| portion(sizes[*at], left, rest).0 < least(*at))
            .collect();
        if small.is_empty() {
            break (rest, left);
        }
        small
            .into_iter()
            .for_each(|at| shares[at] = Some(least(at)));
    };
    let open: Vec<usize> = (0..sizes.len())
        .filter(|at| shares[*at].is_none())
        .collect();
    let mut portions: Vec<(u128, usize, usize)> = open
        .iter()
        .map(|at| {
            let (whole, fraction) = portion(sizes[*at], left, rest);
            (fraction, *at, whole)
        })
        .collect();
    let given: usize = portions.iter().map(|(_, _, whole)| whole).sum();
    // What rounding down has left goes to the largest fractions.
    portions.sort_by_key(|(fraction, at, _)| (std::cmp::Reverse(*fraction), *at));
    let mut over = left.saturating_sub(given);
    for (_, at, whole) in portions {
        let more = usize::from(over > 0);
        over -= more;
        shares[at] = Some(whole + more);
    }
    shares.into_iter().flatten().collect()
}

/// The whole part and the rest of a portion of `cells`.
fn portion(size: u64, cells: usize, all: u128) -> (usize, u128) {
    let product = u128::from(size) * cells as u128;
    let all = all.max(1);
    (
        usize::try_from(product / all).unwrap_or(usize::MAX),
        product % all,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        let canvas = Canvas {
            width: 12,
            ..Canvas::default()
        };
        let words = ["one", "two", "three", "a-very-long-word"].map(str::to_owned);
        assert_eq!(
            canvas.wrap("x  ", &words, 3),
            "x  one two\n   three\n   a-very-long-word\n"
        );
        assert_eq!(canvas.wrap("x", &[], 3), "x\n");
    }

    #[test]
    fn every_hue_has_a_ground_of_its_own() {
        for colors in [Colors::Eight, Colors::Palette, Colors::Full] {
            let canvas = Canvas {
                colors,
                ..Canvas::default()
            };
            let grounds: std::collections::BTreeSet<String> =
                HUES.iter().map(|hue| canvas.ground(hue)).collect();
            assert_eq!(grounds.len(), HUES.len(), "{colors:?}");
        }
        assert_eq!(Canvas::default().paint("x", Ink::On(3)), "x");
    }

    proptest! {
        #[test]
        fn cells_add_up_and_nothing_disappears(
            parts in proptest::collection::vec((0..u64::MAX / 64, 0..3_usize), 1..40),
            cells in 1..300_usize,
        ) {
            let (sizes, minimums): (Vec<u64>, Vec<usize>) = parts.into_iter().unzip();
            let shares = divide(&sizes, &minimums, cells);
            let least: usize = minimums.iter().sum();
            prop_assert_eq!(shares.len(), sizes.len());
            prop_assert!(shares.iter().zip(&minimums).all(|(share, least)| share >= least));
            // Without any size there is nothing to divide by.
            if sizes.iter().any(|size| *size > 0) {
                prop_assert_eq!(shares.iter().sum::<usize>(), cells.max(least));
            }
            // Of two parts without a minimum the larger one has no less.
            for (one, share) in sizes.iter().zip(&shares).zip(&minimums).filter(|(_, m)| **m == 0).map(|(p, _)| p) {
                for (other, more) in sizes.iter().zip(&shares) {
                    prop_assert!(one > other || share <= &(more + 1));
                }
            }
        }
    }
}
