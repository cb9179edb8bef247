//! Why an answer was not stored.

/// Why an answer was not stored. Closed: label and `detail=` of `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The status is not one that is stored, or only with a lifetime of its own.
    Status,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-store` in the request.
    RequestNoStore,
    /// Scope `standard`: the request had credentials, and the answer does not say that others may have it.
    Credentials,
    /// The answer sets a cookie.
    SetCookie,
    /// `Vary: *`, or a `Vary` that cannot be read.
    VaryStar,
    /// More than 8 names in `Vary`.
    VaryCap,
    /// Larger than one object may be.
    TooLarge,
    /// Cut off, or its end cannot be told from a cut.
    Incomplete,
    /// It came with trailer fields.
    Trailers,
    /// Not fresh on arrival, and without a validator to ask again with.
    NoFreshness,
    /// The bytes of all bodies being gathered are at their limit.
    FillBudget,
    /// A purge or an unsafe method took the key after the fetch began.
    Purged,
}

impl NotStored {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [Self; 14] = [
        Self::Status,
        Self::NoStore,
        Self::Private,
        Self::RequestNoStore,
        Self::Credentials,
        Self::SetCookie,
        Self::VaryStar,
        Self::VaryCap,
        Self::TooLarge,
        Self::Incomplete,
        Self::Trailers,
        Self::NoFreshness,
        Self::FillBudget,
        Self::Purged,
    ];

    /// The closed word of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoStore => "no_store",
            Self::Private => "private",
            Self::RequestNoStore => "request_no_store",
            Self::Credentials => "credentials",
            Self::SetCookie => "set_cookie",
            Self::VaryStar => "vary_star",
            Self::VaryCap => "vary_cap",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::Trailers => "trailers",
            Self::NoFreshness => "no_freshness",
            Self::FillBudget => "fill_budget",
            Self::Purged => "purged",
        }
    }
}
