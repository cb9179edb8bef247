//! The name of a function in a path.

/// The function a normalised path names: the segment after `prefix` (`/functions/v1/`), or, in a path without the prefix
/// (behind a gateway that strips it), the first segment. Empty if there is none.
///
/// ```
/// use edge_sidecar::rules::function::name;
/// assert_eq!(name("/functions/v1/profile/a", "/functions/v1/"), "profile");
/// assert_eq!(name("/profile/a", "/functions/v1/"), "profile");
/// assert_eq!(name("/", "/functions/v1/"), "");
/// ```
#[must_use]
pub fn name<'a>(path: &'a str, prefix: &str) -> &'a str {
    let rest = path.strip_prefix(prefix).or_else(|| path.strip_prefix('/')).unwrap_or(path);
    rest.split('/').next().unwrap_or_default()
}
