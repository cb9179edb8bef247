//! Which form of the metrics an `Accept` list asks for (RFC 9110 12.5.1).

use axum::http::{HeaderMap, header};

/// A form of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The default: what `curl | jq` gets.
    Json,
    /// Text of version 0.0.4, which every scraper reads.
    Prometheus,
}

/// The form that the list names with the higher weight; of two with the same, the one named first. A list that names neither,
/// and no list, mean JSON: `*/*` is what every client sends that does not care.
pub(super) fn by_accept(headers: &HeaderMap) -> Form {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut best = (Form::Json, 0.0);
    for (form, weight) in lines.flat_map(|line| line.split(',')).filter_map(named) {
        if weight > best.1 {
            best = (form, weight);
        }
    }
    best.0
}

/// The form one item of the list names, and its weight.
fn named(item: &str) -> Option<(Form, f32)> {
    let mut parts = item.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let form = match kind.as_str() {
        "application/json" => Form::Json,
        // one who asks for protobuf alone is a scraper as well, and can read text but no JSON
        "text/plain" | "text/*" | "application/openmetrics-text" | "application/vnd.google.protobuf" => Form::Prometheus,
        _ => return None,
    };
    let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
    Some((form, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_clients_send_them() {
        for (lines, want) in [
            (vec![], Form::Json),
            (vec!["*/*"], Form::Json), // curl
            (vec!["application/json"], Form::Json),
            (vec!["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Form::Json), // a browser
            (vec!["application/json, text/plain, */*"], Form::Json),                               // a JavaScript client that prefers JSON
            (vec!["text/plain;q=0, */*"], Form::Json),
            (vec!["text/plain"], Form::Prometheus),
            (vec!["Text/Plain;version=0.0.4;Q=0.5,*/*;q=0.1"], Form::Prometheus),
            (vec!["text/plain;version=0.0.4;q=1,*/*;q=0.1"], Form::Prometheus), // Prometheus 2.0 to 2.4
            (vec!["application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"], Form::Prometheus), // up to 2.40
            (
                vec![
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                Form::Prometheus, // 2.41 to 2.54
            ),
            (
                vec![concat!(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,",
                    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
                )],
                Form::Prometheus, // 3
            ),
            (
                vec!["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.2"],
                Form::Prometheus,
            ),
            (vec!["application/json;q=0.5", "text/plain;q=0.9"], Form::Prometheus), // two lines are one list
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(header::ACCEPT, line.parse().expect("a field value"));
            }
            assert_eq!(by_accept(&headers), want, "{lines:?}");
        }
    }
}
