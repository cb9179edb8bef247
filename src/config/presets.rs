//! The rules of `run` without a rules file.

use std::str::FromStr;

/// A ready set of rules, chosen by `--preset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Deduplicates the WhatsApp Cloud API's webhooks and caches health checks.
    WhatsApp,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::WhatsApp];

    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "whatsapp",
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("unknown preset `{text}`, known: {}", Self::ALL.map(Self::as_str).join(", "));
        Self::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or_else(unknown)
    }
}

/// The text of the built-in rules; it judges without problems.
#[must_use]
pub const fn builtin(preset: Option<Preset>) -> &'static str {
    match preset {
        None => "version: 1\n",
        Some(Preset::WhatsApp) => WHATSAPP,
    }
}

const WHATSAPP: &str = r#"version: 1
cache:
  include:
    - name: health
      match: { path: "**/health" }
      ttl: 10s
      scope: public
dedup:
  include:
    - name: whatsapp
      match: { function: "wa-webhook*", method: POST }
      id: whatsapp
      window: 24h
"#;
