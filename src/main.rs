//! The entry point of the program. The name that the program is called by selects the command line
//! that it understands; see `breakoff::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust's runtime ignores SIGPIPE, and it stays ignored: a reader that closes its pipe must not
    // kill a command between two steps. A write to such a pipe fails instead, and `cli` treats that
    // as success.
    ExitCode::from(breakoff::cli::run(std::env::args_os()))
}
