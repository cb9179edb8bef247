//! A digest of a JSON value that does not depend on its spelling: white space and escapes make no difference, any other change does.

use super::json::Reader;
use crate::dedup::SkipReason;
use crate::dedup::key::{EventKey, KeyHasher};

/// Reads a value and digests its tokens. Names keep their order and numbers their text: where two spellings of one value are
/// told apart, the event is forwarded once more than needed, never once too few.
pub fn fingerprint(reader: &mut Reader<'_>) -> Result<EventKey, SkipReason> {
    let mut tokens = KeyHasher::content();
    value(reader, &mut tokens)?;
    Ok(tokens.finish())
}

fn value(reader: &mut Reader<'_>, tokens: &mut KeyHasher) -> Result<(), SkipReason> {
    match reader.peek()? {
        b'{' => {
            tokens.part(Some(b"{"));
            reader.object(|reader, name| {
                tokens.part(Some(&name.decode()));
                value(reader, tokens)
            })?;
            tokens.part(None);
        }
        b'[' => {
            tokens.part(Some(b"["));
            reader.array(|reader| value(reader, tokens))?;
            tokens.part(None);
        }
        b'"' => {
            tokens.part(Some(b"\""));
            tokens.part(Some(&reader.string()?.decode()));
        }
        b't' | b'f' | b'n' => tokens.part(Some(reader.literal()?)),
        _ => tokens.part(Some(reader.number()?)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> EventKey {
        let mut reader = Reader::new(text.as_bytes());
        let print = fingerprint(&mut reader).expect("JSON");
        reader.end().expect("read to its end");
        print
    }

    #[test]
    fn spelling_makes_no_difference() {
        assert_eq!(of(r#"{"a":["x",1,{}],"b":null}"#), of("{ \"\\u0061\" : [ \"\\u0078\" ,\t1, { } ],\n\"b\": null }"));
    }

    #[test]
    fn content_does() {
        let lists = r#"{} [] [[]] [[],[]] [{}] {"a":[]} {"a":{}} [1,2] [12] [[1],2] [[1,2]] {"a":1} {"b":1} {"a":"1"} ["a",1]"#;
        let others = r#"{"a":1,"b":2} {"a":{"b":2}} "{" "" [""] ["\""] ["\"",""] ["["] [[""]] 1 "1" 12 null "null" true [null,"null"]"#;
        let values: Vec<&str> = lists.split(' ').chain(others.split(' ')).collect();
        let prints: std::collections::BTreeSet<_> = values.iter().copied().map(of).collect();
        assert_eq!(prints.len(), values.len());
    }
}
