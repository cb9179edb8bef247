//! `init`: the two files to begin with, as they are shipped. Nothing that is there is touched.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// The shipped files, by name.
const FILES: [(&str, &str); 2] =
    [("rules.yaml", include_str!("../../config/rules.yaml")), ("sidecar.yaml", include_str!("../../config/sidecar.yaml"))];

/// Runs the command.
#[must_use]
pub fn run(folder: &Path) -> ExitCode {
    let mut out = io::stdout().lock();
    for (name, text) in FILES {
        let file = folder.join(name);
        let said = match write(&file, text) {
            Ok(()) => writeln!(out, "wrote {}", file.display()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                writeln!(out, "{} is there already and stays as it is", file.display())
            }
            Err(error) => {
                eprintln!("edge-sidecar: cannot write {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        };
        if said.is_err() {
            return ExitCode::FAILURE;
        }
    }
    let next = format!("next: edge-sidecar check {0}/sidecar.yaml {0}/rules.yaml, then run --config {0}/sidecar.yaml", folder.display());
    writeln!(out, "{next}").map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Writes a file that is not there yet, in a folder that is made if need be.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(file)?.write_all(text.as_bytes())
}
