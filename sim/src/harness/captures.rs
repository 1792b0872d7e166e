//! The packets of a run as files: one for each of its worlds, which all begin at the same instant, with the same addresses.

use std::fs::File;
use std::io::{self, BufWriter};

use crate::Capture;

/// Writes the first one into the file with that name, the second into one with `.2` behind it, and so on; says for each how much it is.
///
/// # Errors
/// Which file cannot be written, and why.
pub(super) fn write_captures(captures: &[Capture], path: &str) -> Result<(), String> {
    for (index, capture) in captures.iter().enumerate() {
        let path = if index == 0 { path.to_owned() } else { format!("{path}.{}", index + 1) };
        write(capture, &path).map_err(|error| format!("{path}: {error}"))?;
        println!("{path}: {} packets", capture.packet_count());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any run")]
fn write(capture: &Capture, path: &str) -> io::Result<()> {
    capture.write_to(BufWriter::new(File::create(path)?))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "it reads what a tool has written")]
mod tests {
    use super::*;

    #[test]
    fn each_world_has_a_file_and_one_that_cannot_be_is_named() {
        let folder =
            std::env::temp_dir().join(format!("mainspring-captures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("run.pcapng");
        let path = path.to_str().expect("plain names");
        write_captures(&[Capture::default(), Capture::default()], path).unwrap();
        for path in [path.to_owned(), format!("{path}.2")] {
            // A section of pcapng begins with these, whatever the order of its bytes.
            assert_eq!(std::fs::read(path).unwrap()[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
        }
        let error = write_captures(&[Capture::default()], &format!("{path}/x")).unwrap_err();
        assert!(error.starts_with(&format!("{path}/x: ")), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
