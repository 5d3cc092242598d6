//! `status --watch`: looks at all groups again and again until it is told to stop.
//!
//! On a terminal there is a screen with keys as `top` has them; with `TERM=dumb`, and where stdin
//! or stdout is no terminal, one block follows the other; with `--json`, one document.
//!
//! A thread of its own looks, so that a disk that hangs stops neither the keys nor the end.

mod keys;
mod screen;
mod tty;

pub(super) use screen::SHORTEST;

use super::{HERE, Style, drawing, output};
use crate::app::{self, Env, Mute, Options, Overview};
use crate::error::{Error, Kind, Result};
use crate::report;
use crate::report::watch::text::{Line, lines};
use crate::report::watch::{Memory, View};
use crate::sys::machine::Machine;
use crate::sys::process::Interrupts;
use keys::{Key, Keys};
use screen::{Effect, Screen, changes};
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tty::{Input, Tty};

/// How often signals, the size of the terminal and the end of a look are seen to.
const TICK: Duration = Duration::from_millis(100);
/// From when on a look that has not ended is told of.
const SLOW: Duration = Duration::from_secs(3);
/// How often it is seen to that a monitor runs.
const MONITOR: Duration = Duration::from_secs(30);
/// Where nothing is known of a terminal's size.
const USUAL: (usize, usize) = (80, 24);

/// How it ends: what is to be told, if it did not end well.
type End = std::result::Result<(), Error>;

/// Watches until a signal or a key ends it, or nobody reads any more. With `only_look` no monitor
/// is started.
pub(super) fn run(style: &Style, options: &Options, every: Duration, only_look: bool) -> End {
    let interrupts = HERE.interrupts();
    let looking = Looking::start(style, options, only_look);
    let watching = Watching {
        style,
        options,
        interrupts: interrupts.as_ref(),
        looking,
        memory: Memory::default(),
        begun: Instant::now(),
    };
    let term = std::env::var_os("TERM").unwrap_or_default();
    let is_dumb = term.is_empty() || term == "dumb";
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if style.json || is_dumb || !is_terminal {
        watching.blocks(every)
    } else {
        let has_more = !term.to_string_lossy().starts_with("vt");
        watching.screens(every, has_more)
    }
}

/// The thread that looks.
struct Looking {
    ask: Sender<()>,
    told: Receiver<Result<Overview>>,
    /// When the present look was asked for.
    since: Option<Instant>,
}

impl Looking {
    fn start(style: &Style, options: &Options, only_look: bool) -> Looking {
        let (ask, asked) = channel();
        let (tell, told) = channel();
        let (options, front_end) = (options.clone(), style.front_end);
        thread::spawn(move || {
            let mut checked: Option<Instant> = None;
            while asked.recv().is_ok() {
                // What would be a warning is among the findings.
                let ui = Mute(front_end.language());
                let env = Env {
                    machine: &HERE,
                    ui: &ui,
                };
                let is_due = checked.is_none_or(|last| last.elapsed() >= MONITOR) && !only_look;
                if is_due {
                    checked = Some(Instant::now());
                }
                if tell.send(app::overview(&options, is_due, env)).is_err() {
                    return;
                }
            }
        });
        Looking {
            ask,
            told,
            since: None,
        }
    }

    /// Begins a look, unless one has not ended yet.
    fn look(&mut self) {
        if self.since.is_none() && self.ask.send(()).is_ok() {
            self.since = Some(Instant::now());
        }
    }

    /// A look that has ended. Fails when there is nobody left who looks.
    fn ended(&mut self) -> Result<Option<Result<Overview>>> {
        let came = match self.told.try_recv() {
            Ok(came) => came,
            Err(TryRecvError::Empty) => return Ok(None),
            Err(TryRecvError::Disconnected) => {
                return Err(Error::failed("the look has broken off"));
            }
        };
        self.since = None;
        Ok(Some(came))
    }
}

struct Watching<'a> {
    style: &'a Style,
    options: &'a Options,
    interrupts: &'a dyn Interrupts,
    looking: Looking,
    memory: Memory,
    begun: Instant,
}

impl Watching<'_> {
    /// What a look shows. A group of `-g` that there is not is an error at the first look, not
    /// something to wait for.
    fn take(&mut self, came: Result<Overview>, is_first: bool) -> Result<View> {
        let mut seen = came?;
        let is_wrong = self.options.group.is_some() && is_first && seen.groups.is_empty();
        let missing = |(_, error): &(String, Error)| error.kind() == Kind::NotFound;
        if is_wrong && let Some(at) = seen.unread.iter().position(missing) {
            return Err(seen.unread.swap_remove(at).1);
        }
        Ok(self.memory.take(&seen, self.begun.elapsed()))
    }

    /// One block or document after the other.
    fn blocks(mut self, every: Duration) -> End {
        let (mut next, mut is_first) = (Instant::now(), true);
        while !self.interrupts.arrived() {
            if Instant::now() >= next {
                self.looking.look();
            }
            if let Some(came) = self.looking.ended()? {
                let came = self.take(came, is_first);
                // What was wrong from the beginning is told as by any command.
                if let (Err(error), true) = (&came, is_first) {
                    return Err(error.clone());
                }
                if !output::stream(&self.block(came)?).map_err(|err| unwritten(&err))? {
                    return Ok(());
                }
                (next, is_first) = (next.max(Instant::now()) + every, false);
            }
            // Near the next look no time is lost.
            let left = next.saturating_duration_since(Instant::now());
            let pause = if self.looking.since.is_some() {
                TICK / 10
            } else {
                left
            };
            thread::sleep(pause.clamp(Duration::from_millis(1), TICK));
        }
        Ok(())
    }

    fn block(&self, came: Result<View>) -> Result<String> {
        let verb = self.style.verb.as_deref();
        let language = self.style.front_end.language();
        match came {
            Ok(view) if self.style.json => report::json::watched(verb, &view),
            Err(error) if self.style.json => report::json::failure(verb, &error, language),
            Ok(view) => {
                let mut text = format!("{}\n", view.at);
                for line in lines(&view, view.events.iter().rev()) {
                    text.push_str(&line.text);
                    text.push('\n');
                }
                Ok(text + "\n")
            }
            Err(error) => Ok(report::text::failure(&self.style.program, &error, language)),
        }
    }

    /// A screen with keys.
    fn screens(mut self, every: Duration, has_more: bool) -> End {
        let unicode = drawing::canvas(self.style.color).unicode;
        let mut screen = Screen::new(size(), unicode, every);
        let tty = Tty::open(has_more).map_err(|err| no_terminal(&err))?;
        let mut keys = Keys::default();
        let mut shown: Option<Vec<Line>> = None;
        let (mut next, mut is_first) = (Instant::now(), true);
        while !self.interrupts.arrived() {
            if Instant::now() >= next {
                self.looking.look();
            }
            if let Some(came) = self.looking.ended()? {
                match self.take(came, is_first) {
                    Ok(view) => screen.show(&view.at, lines(&view, self.memory.events())),
                    Err(error) if is_first => return Err(error),
                    Err(error) => screen.show("", self.failed(&error)),
                }
                (next, is_first) = (Instant::now() + screen.every, false);
            }
            let waits = self.looking.since.map(|since| since.elapsed());
            if let Some(long) = waits.filter(|long| *long >= SLOW) {
                screen.wait(long.as_secs());
            }
            if std::mem::replace(&mut screen.size, size()) != screen.size {
                shown = None;
            }
            let frame = screen.frame();
            let sent = changes(shown.as_deref(), &frame);
            if !output::stream(&sent).map_err(|err| unwritten(&err))? {
                return Ok(());
            }
            shown = Some(frame);
            let typed: Vec<Key> = match tty.read(TICK).map_err(|err| no_terminal(&err))? {
                Input::Bytes(bytes) => keys.read(&bytes),
                Input::Nothing => keys.settle().into_iter().collect(),
                Input::End => return Ok(()),
            };
            for key in typed {
                match screen.press(key) {
                    Effect::None => {}
                    Effect::Quit => return Ok(()),
                    Effect::Look => next = Instant::now(),
                    Effect::Redraw => shown = None,
                    Effect::Suspend => {
                        tty.suspend().map_err(|err| no_terminal(&err))?;
                        shown = None;
                    }
                }
            }
        }
        Ok(())
    }

    fn failed(&self, error: &Error) -> Vec<Line> {
        let language = self.style.front_end.language();
        let text = report::text::failure(&self.style.program, error, language);
        text.lines().map(Line::plain).collect()
    }
}

/// The columns and rows of the terminal.
fn size() -> (usize, usize) {
    let known = terminal_size::terminal_size_of(io::stdout());
    let known = known.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
    // A serial line does not know its size, and says 0.
    known
        .filter(|(width, height)| *width > 0 && *height > 0)
        .unwrap_or(USUAL)
}

fn unwritten(err: &io::Error) -> Error {
    Error::failed(format!("the status cannot be written: {err}"))
}

fn no_terminal(err: &io::Error) -> Error {
    Error::failed(format!("the terminal cannot be used: {err}"))
}
