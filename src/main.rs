//! The program. Which command line it understands is decided by the name it is called by; see
//! `breakoff::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust's runtime ignores SIGPIPE and so it stays: nobody's closed pipe may kill a command
    // between two steps. A write to such a pipe fails instead, and `cli` takes that as success.
    ExitCode::from(breakoff::cli::run(std::env::args_os()))
}
