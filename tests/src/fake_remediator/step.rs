//! [`Step`]: what one request to the fake remediator meets.

use std::time::Duration;

/// What one request meets: what is done, and what is answered.
#[derive(Debug, Clone)]
pub struct Step {
    pub(super) does: Does,
    pub(super) says: Says,
    pub(super) takes: Duration,
}

/// What is done about a request, apart from the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It is not taken.
    Nothing,
    /// It is taken and done, if it was not before.
    Act,
    /// It is taken and not ended.
    Begin,
    /// It is taken and fails.
    Fail { retryable: bool },
}

#[derive(Debug, Clone)]
pub(super) enum Says {
    /// What the protocol wants said.
    Protocol,
    Raw {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Nothing, for ever.
    Nothing,
    /// Nothing: the connection is closed.
    Hangup,
    /// The head and half of the body, then the connection is closed.
    Half {
        status: u16,
    },
}

impl Step {
    fn new(does: Does, says: Says) -> Self {
        Self { does, says, takes: Duration::ZERO }
    }

    /// As the protocol wants it.
    #[must_use]
    pub fn comply() -> Self {
        Self::new(Does::Act, Says::Protocol)
    }

    /// 202: taken, and done when [`super::FakeRemediator::finish`] says so.
    #[must_use]
    pub fn in_progress() -> Self {
        Self::new(Does::Begin, Says::Protocol)
    }

    /// 200 with a failure.
    #[must_use]
    pub fn fail(retryable: bool) -> Self {
        Self::new(Does::Fail { retryable }, Says::Protocol)
    }

    /// Not taken; this is answered.
    #[must_use]
    pub fn answer(status: u16) -> Self {
        Self::new(Does::Nothing, Says::Raw { status, headers: Vec::new(), body: String::new() })
    }

    /// Not taken, never answered.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Does::Nothing, Says::Nothing)
    }

    /// Not taken, the connection closed instead of an answer.
    #[must_use]
    pub fn hang_up() -> Self {
        Self::new(Does::Nothing, Says::Hangup)
    }

    /// Not taken, the connection closed in the middle of an answer with this status.
    #[must_use]
    pub fn break_off(status: u16) -> Self {
        Self::new(Does::Nothing, Says::Half { status })
    }

    /// Taken and done before whatever the answer is.
    #[must_use]
    pub fn after_acting(mut self) -> Self {
        self.does = Does::Act;
        self
    }

    /// A header of [`Step::answer`].
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Says::Raw { headers, .. } = &mut self.says {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The body of [`Step::answer`].
    #[must_use]
    pub fn with_body(mut self, text: impl Into<String>) -> Self {
        if let Says::Raw { body, .. } = &mut self.says {
            *body = text.into();
        }
        self
    }

    /// The body of [`Step::answer`], as JSON.
    #[must_use]
    pub fn with_json(self, json: &serde_json::Value) -> Self {
        self.with_header("content-type", "application/json").with_body(json.to_string())
    }

    /// How long it takes, between taking the request and doing anything about it.
    #[must_use]
    pub fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }
}
