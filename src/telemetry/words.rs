//! The closed words of records: outcomes, sources, results, reasons.

/// A closed list of words: one enum for label, JSON key and log field, so that they cannot drift apart.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $doc])* $variant,)+ }

        impl $name {
            /// Every word, in the order of declaration, for series that start at zero.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, for the documentation.
            #[cfg(test)]
            #[must_use]
            pub fn about(self) -> String {
                match self { $(Self::$variant => [$($doc),*].concat().trim().to_owned(),)+ }
            }
        }
    };
}

words! {
    /// What became of a request (interface.md 5). Every answer has exactly one.
    Outcome {
        /// Passed to the function; no rule of the cache or of deduplication decided about it.
        Forwarded = "forwarded",
        /// Answered from the cache.
        Hit = "hit",
        /// Answered from the cache with what is not fresh any more: a new answer is being fetched, or the function failed.
        Stale = "stale",
        /// Looked up, not found, answered by a function's fresh answer: its own or, coalesced, another request's.
        Miss = "miss",
        /// Answered from the cache, after the function said that what is stored is still good.
        Revalidated = "revalidated",
        /// A cache rule matched, but the request may not be looked up.
        Bypass = "bypass",
        /// A webhook whose events are all new.
        New = "new",
        /// A webhook whose events were all accepted before.
        Duplicate = "duplicate",
        /// A webhook that waited for the copy in flight, which was accepted.
        Joined = "joined",
        /// A webhook with old and new events.
        Partial = "partial",
        /// A webhook forwarded without deduplication.
        Skipped = "skipped",
        /// Refused for what the request is (4xx made here).
        Refused = "refused",
        /// Refused for load, or because waiting took too long (503 made here).
        Shed = "shed",
        /// The function gave no answer (502, 503 or 504 made here), or the caller left before one.
        Failed = "failed",
    }
}

words! {
    /// Who made the answer.
    Source {
        /// The function.
        Upstream = "upstream",
        /// A stored answer.
        Cache = "cache",
        /// Deduplication: the answer to a duplicate.
        Dedup = "dedup",
        /// The sidecar itself: errors.
        Sidecar = "sidecar",
    }
}

words! {
    /// How a look-up in the cache ended.
    LookupResult {
        /// A fresh entry answered.
        Hit = "hit",
        /// One that is not fresh any more answered.
        Stale = "stale",
        /// None; this request fetched.
        Miss = "miss",
        /// None; the answer that another request was fetching answered this one too.
        Coalesced = "coalesced",
        /// Not looked up. Counted by `cache_bypass_total`, not as a look-up.
        Bypass = "bypass",
        /// None that is fresh; the function said that what is stored is still good.
        Revalidated = "revalidated",
    }
}

words! {
    /// What came of asking for an answer that was not fresh any more.
    RefreshResult {
        /// 304: it is still good.
        NotModified = "not_modified",
        /// Another answer took its place.
        Replaced = "replaced",
        /// Another answer, which may not be stored.
        NotStored = "not_stored",
        /// No answer, or a server error.
        Failed = "failed",
    }
}

words! {
    /// What deduplication said about a request.
    DedupResult {
        /// All events new.
        New = "new",
        /// All accepted before.
        Duplicate = "duplicate",
        /// Waited for the copy in flight, which was accepted.
        Joined = "joined",
        /// Some old, some new.
        Partial = "partial",
        /// Forwarded without deduplication.
        Skipped = "skipped",
        /// Waited for the copy in flight in vain: 503.
        Timeout = "timeout",
        /// Its signature is none that the rule accepts: 401, and nothing is claimed.
        BadSignature = "bad_signature",
    }
}

words! {
    /// Which limit shed a request.
    ShedReason {
        /// `limits.in_flight`.
        InFlight = "in_flight",
        /// `limits.in_flight_per_function`.
        FunctionInFlight = "in_flight_per_function",
        /// `pool.max_in_use` of the upstream.
        UpstreamBusy = "upstream_busy",
        /// `wait_timeout` of a deduplication rule.
        WaitTimeout = "wait_timeout",
        /// Too many wait already for the same message or answer.
        Waiters = "waiters",
        /// `memory.bodies`, where a signature is to be checked.
        Bodies = "bodies",
        /// `limits.connections`: a newcomer turned away, or an idle connection that made room for one. There is no request to record.
        Connections = "connections",
        /// `memory.budget`: an answer broken off because its caller took nothing of it for longest, and others needed the room. Counted
        /// beside the request's outcome.
        SlowReader = "slow_reader",
    }
}

words! {
    /// Why a request was refused for what it is or how it came.
    RefusedReason {
        /// The request line is none.
        RequestLine = "bad_request_line",
        /// Not HTTP/1.1 or 1.0.
        Version = "bad_version",
        /// CONNECT, TRACE, or longer than any method.
        Method = "method_not_allowed",
        /// The target is no path, or hides control characters.
        Target = "bad_target",
        /// The target is too long.
        TargetTooLarge = "target_too_large",
        /// A line does not end in CRLF.
        LineEnding = "bad_line_ending",
        /// The name of a field is none, or its line is folded.
        FieldName = "bad_field_name",
        /// The value of a field holds control characters.
        FieldValue = "bad_field_value",
        /// No `Host`, several, or one that is none.
        Host = "bad_host",
        /// Several lengths, or one that is no number.
        ContentLength = "bad_content_length",
        /// A transfer coding other than `chunked`, or one beside a length.
        TransferEncoding = "bad_transfer_encoding",
        /// `limits.header`.
        HeaderTooLarge = "header_too_large",
        /// Too many large heads are in memory already.
        LargeHeads = "large_heads",
        /// `limits.headers`.
        TooManyHeaders = "too_many_headers",
        /// `limits.header_timeout`.
        HeaderTimeout = "header_timeout",
        /// The connection ended inside the head.
        HeaderCut = "header_cut",
        /// `limits.body`.
        BodyTooLarge = "body_too_large",
        /// `limits.body_timeout`.
        BodyTimeout = "body_timeout",
        /// A rule's `verify`.
        Signature = "bad_signature",
        /// `Cache-Control: only-if-cached`, and nothing usable is stored.
        OnlyIfCached = "only_if_cached",
        /// Refused by Pingora for what no other word says.
        Other = "bad_request",
    }
}

words! {
    /// Why the admin address turned a request away.
    DoorRefusal {
        /// Its `Host` could be a web page's.
        BadHost = "bad_host",
        /// It needs the socket or the token, and has neither.
        Unauthorized = "unauthorized",
    }
}
