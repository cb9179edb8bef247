//! Forms of text. A pattern takes all that the functions of [`crate::config::values`] take, and refuses what can be told by form.

/// A form of text.
#[derive(Debug)]
pub struct Form {
    /// What one is called.
    pub name: &'static str,
    /// Regular expression of the whole text (ECMA 262, as JSON Schema wants it); empty = any text.
    pub pattern: &'static str,
    /// What else it may be for a reader of YAML that tells types apart: a function may be named `404` or `true`.
    pub also: &'static [&'static str],
}

const fn form(name: &'static str, pattern: &'static str) -> Form {
    Form { name, pattern, also: &[] }
}

const fn loose(name: &'static str, pattern: &'static str) -> Form {
    Form { name, pattern, also: &["number", "boolean"] }
}

/// `1m30s`.
pub const DURATION: Form = form("duration", r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$");
/// `64MiB`.
pub const SIZE: Form = form("size", r"^[0-9]*\.?[0-9]*(B|kB|KiB|MB|MiB|GB|GiB)$");
/// `5%`.
pub const PERCENTAGE: Form = form("percentage", r"^0{0,2}(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$");
/// The name of a rule, a listener, an upstream.
pub const NAME: Form = Form { name: "name", pattern: r"^[a-z][a-z0-9-]{0,39}$", also: &["boolean"] };
/// `profile*`.
pub const GLOB: Form = loose("glob", r"^[^\u0000-\u001f]+$");
/// A function's name is a segment.
pub const FUNCTION_GLOB: Form = loose("glob of a function", r"^[^/\u0000-\u001f]+$");
/// `*.example.com`.
pub const HOST_GLOB: Form = loose("glob of a host", r"^[^/\u0000-\u001f]+$");
/// A glob, or nothing at all for the empty value.
pub const VALUE_GLOB: Form = loose("glob of a value", "");
/// `**/login`.
pub const PATH_GLOB: Form = form("glob of a path", r"^[/*?\[{\\]");
/// `hub.challenge`.
pub const QUERY_NAME: Form = loose("name of a query parameter", r"^[^&=# ]+$");
/// `x-tenant` (RFC 9110 5.1).
pub const HEADER: Form = loose("header field", r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$");
/// `0.0.0.0:8080`.
pub const ADDRESS: Form = form("address", r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]{1,5}$");
/// `10.0.0.0/8`.
pub const NETWORK: Form = form("network", r"^([0-9.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)(/[0-9]{1,3})?$");
/// `http://127.0.0.1:9000`.
pub const SERVER: Form = form("server", r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$");
/// `/functions/v1/`.
pub const PREFIX: Form = form("beginning of a path", r"^/([^?#%\\ ]*/)?$");
/// `/etc/ssl/roots.pem`.
pub const FILE: Form = loose("path of a file", r"^.+$");
/// A file that holds a secret: a path that cannot be the secret itself.
pub const SECRET_FILE: Form = form("path of a secret", r"^\.{0,2}/");
/// `META_APP_SECRET`.
pub const VARIABLE: Form = form("environment variable", r"^[A-Z_][A-Z0-9_]{0,63}$");
/// `entry[].changes[].value.messages[].id`.
pub const JSON_PATH: Form = loose("path in a JSON body", r"^([^\s.\[\]*$]+(\[\])*|(\[\])+)(\.[^\s.\[\]*$]+(\[\])*)*$");
/// `GET /functions/v1/profile-get`.
pub const REQUEST: Form = form("request", r"^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/|https?://)");
/// Text.
pub const TEXT: Form = loose("text", "");
/// Text that is not empty.
pub const SOME_TEXT: Form = loose("text, not empty", r"^[\s\S]+$");
