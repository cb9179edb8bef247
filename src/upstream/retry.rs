//! Which failed attempt may be repeated: only where the function cannot have run.

use std::time::Duration;

/// Why an attempt to call a function failed. Closed: log field, error code, label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No free connection slot within the connect time.
    Busy,
    /// Connection refused, unreachable, or the name does not resolve.
    Refused,
    /// No connection within `timeouts.connect`.
    ConnectTimeout,
    /// TLS handshake failed.
    Tls,
    /// Closed or reset before an answer's head.
    Lost,
    /// No complete head within `timeouts.first_byte`.
    FirstByte,
    /// The head is not HTTP, or a 101 that nobody asked for.
    BadHead,
    /// The body broke off.
    Cut,
    /// No byte of the body for `timeouts.between_bytes`.
    Stalled,
    /// The call itself ended without an answer (a panic).
    Internal,
}

impl Cause {
    /// The closed word of the cause.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "upstream_busy",
            Self::Refused => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls_failed",
            Self::Lost => "connection_lost",
            Self::FirstByte => "first_byte_timeout",
            Self::BadHead => "bad_response",
            Self::Cut => "response_cut",
            Self::Stalled => "between_bytes_timeout",
            Self::Internal => "internal",
        }
    }

    /// Status for the caller: 503 where another try soon can help, 504 where time ran out, 502 for the rest (RFC 9110 15.6).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Busy => 503,
            Self::ConnectTimeout | Self::FirstByte | Self::Stalled => 504,
            _ => 502,
        }
    }

    /// Whether nothing of the request was sent, so that the function cannot have run and any method may be tried again.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        matches!(self, Self::Busy | Self::Refused | Self::ConnectTimeout | Self::Tls)
    }
}

/// `retries:` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Pause before each further attempt.
    pub backoff: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { attempts: 8, backoff: Duration::from_millis(250) }
    }
}

impl Settings {
    /// The pause before the next attempt, or `None` where there is none: attempts used up, or the function may have run.
    /// A certificate does not change within seconds and a full pool has already waited, so neither is repeated.
    #[must_use]
    pub fn next(&self, cause: Cause, made: u32) -> Option<Duration> {
        (matches!(cause, Cause::Refused | Cause::ConnectTimeout) && made < self.attempts).then_some(self.backoff)
    }

    /// Whether a call on a kept connection that the other side closed meanwhile is made once more: only a method that may run twice
    /// (RFC 9110 9.2.2). Each such attempt uses up a kept connection, so the last one gets a new one.
    #[must_use]
    pub fn again_after_stale(&self, cause: Cause, reused: bool, idempotent: bool, made: u32) -> bool {
        cause == Cause::Lost && reused && idempotent && made < self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_connection_is_replaced_for_what_may_run_twice() {
        let settings = Settings::default();
        assert!(settings.again_after_stale(Cause::Lost, true, true, 1));
        for (cause, reused, idempotent, made) in
            [(Cause::FirstByte, true, true, 1), (Cause::Lost, false, true, 1), (Cause::Lost, true, false, 1), (Cause::Lost, true, true, 8)]
        {
            assert!(!settings.again_after_stale(cause, reused, idempotent, made), "{cause:?} {reused} {idempotent} {made}");
        }
    }

    #[test]
    fn only_what_was_never_sent_is_repeated() {
        let settings = Settings { attempts: 3, backoff: Duration::from_millis(5) };
        assert_eq!(settings.next(Cause::Refused, 1), Some(Duration::from_millis(5)));
        assert_eq!(settings.next(Cause::Refused, 3), None);
        for cause in [Cause::Lost, Cause::FirstByte, Cause::BadHead, Cause::Cut, Cause::Stalled, Cause::Internal] {
            assert_eq!(settings.next(cause, 1), None, "{cause:?}");
            assert!(!cause.is_unsent());
        }
    }
}
