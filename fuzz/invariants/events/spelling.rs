//! Other spellings of one JSON text.

/// What separates, and may have white space on both sides.
const STRUCTURE: &[u8] = b"{}[]:,";
const SPACE: [&[u8]; 5] = [b"", b" ", b"\n", b"\r\n\t", b"  "];

/// The text with other white space outside of its strings.
pub fn with_space(text: &[u8], mut seed: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    each(text, |byte, in_string| {
        if in_string || !STRUCTURE.contains(&byte) {
            out.push(if in_string || !byte.is_ascii_whitespace() || byte == 0x0C { byte } else { b' ' });
            return;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out.extend_from_slice(SPACE[(seed >> 33) % 5]);
        out.push(byte);
        out.extend_from_slice(SPACE[(seed >> 41) % 5]);
    });
    out
}

/// A text that has been found valid, with escapes in the place of the letters and digits in its strings.
pub fn with_escapes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 6);
    // How many of the next bytes belong to an escape that is there already.
    let mut escape = 0_u8;
    each(text, |byte, in_string| {
        if escape > 0 {
            escape = if escape == 1 && byte == b'u' { 4 } else { escape - 1 };
            out.push(byte);
        } else if in_string && byte.is_ascii_alphanumeric() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            escape = u8::from(in_string && byte == b'\\');
            out.push(byte);
        }
    });
    out
}

/// How deep arrays and objects nest.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    each(text, |byte, in_string| match byte {
        b'{' | b'[' if !in_string => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest
}

/// Calls `byte` with each byte and whether it is in a string; the quotes are.
fn each(text: &[u8], mut byte: impl FnMut(u8, bool)) {
    let (mut inside, mut escaped) = (false, false);
    for b in text {
        let quote = *b == b'"' && !escaped;
        byte(*b, inside || quote);
        escaped = inside && *b == b'\\' && !escaped;
        inside ^= quote;
    }
}
