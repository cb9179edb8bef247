//! `init`: the two files to begin with, as they are shipped, and beside them the schemas that their first lines name. Nothing that is there
//! is touched. `schema`: one of those schemas.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::config::FileKind;
use crate::config::schema::schema_text;

/// The shipped files, by name.
const FILES: [(&str, &str); 2] =
    [("rules.yaml", include_str!("../../config/rules.yaml")), ("sidecar.yaml", include_str!("../../config/sidecar.yaml"))];

/// Prints the schema of a kind of files.
#[must_use]
pub fn schema(kind: FileKind) -> ExitCode {
    io::stdout().write_all(schema_text(kind).as_bytes()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Runs `init`.
#[must_use]
pub fn run(folder: &Path) -> ExitCode {
    let mut out = io::stdout().lock();
    let schemas = [FileKind::Rules, FileKind::Sidecar].map(|kind| (kind.schema_file(), schema_text(kind)));
    let files = FILES.map(|(name, text)| (name, text.to_owned())).into_iter().chain(schemas);
    for (name, text) in files {
        let file = folder.join(name);
        let said = match write(&file, &text) {
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
