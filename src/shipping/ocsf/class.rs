//! OCSF's classes, as far as the log needs them, and what an entry is among them: activity, status, severity.
//! Numbers are those of OCSF 1.5.0 (schema.ocsf.io/1.5.0, classes and `dictionary.json`).

use super::table::{Activity, Kind};
use crate::{
    audit::{Event, SignInStep},
    model::{Action, Attributes, Method, PortalAction, Upgrade, Verdict},
};

/// An event class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A logon or logoff.
    Authentication,
    /// What a session may reach.
    AuthorizeSession,
    /// Something managed was made, changed or removed.
    EntityManagement,
    /// An application was started or stopped.
    ApplicationLifecycle,
    /// A call of an API: here, a request to what is protected.
    ApiActivity,
    /// Something is wrong with the application that writes these events.
    ApplicationError,
}

impl Class {
    /// `class_uid`.
    pub const fn uid(self) -> u32 {
        match self {
            Self::Authentication => 3002,
            Self::AuthorizeSession => 3003,
            Self::EntityManagement => 3004,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
            Self::ApplicationError => 6008,
        }
    }

    /// `category_uid`.
    pub const fn category(self) -> u32 {
        self.uid() / 1_000
    }

    /// `class_name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "Authentication",
            Self::AuthorizeSession => "Authorize Session",
            Self::EntityManagement => "Entity Management",
            Self::ApplicationLifecycle => "Application Lifecycle",
            Self::ApiActivity => "API Activity",
            Self::ApplicationError => "Application Error",
        }
    }
}

/// `status_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Unknown = 0,
    Success = 1,
    Failure = 2,
}

/// `severity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Informational = 1,
    Low = 2,
    Medium = 3,
    High = 4,
    Critical = 5,
}

/// Which of its kind's activities an event is.
pub(super) fn activity(kind: &Kind, event: &Event) -> Activity {
    let wanted = match event {
        Event::Decision { action, .. } => asked(action),
        Event::SignIn { step, .. } => match step {
            SignInStep::Begun | SignInStep::Provider => "Preauth",
            SignInStep::Passkey => "Logon",
            SignInStep::StepUp => "Step Up",
            SignInStep::HandOver => "Hand Over",
            SignInStep::SignOut => "Logoff",
        },
        Event::SearchChanged { before: None, .. } => "Create",
        Event::SearchChanged { after: None, .. } => "Delete",
        Event::SearchChanged { .. } => "Update",
        _ => "",
    };
    let found = kind.activities.iter().find(|activity| activity.name == wanted);
    found.or(kind.activities.first()).copied().unwrap_or(Activity { id: 0, name: "Unknown" })
}

fn asked(action: &Action) -> &'static str {
    match action {
        Action::Web(web) if web.upgrade != Upgrade::None => "Upgrade",
        Action::Web(web) => by_method(web.method),
        Action::Kubernetes(kubernetes) if kubernetes.upgrade != Upgrade::None => "Upgrade",
        Action::Kubernetes(kubernetes) => match &kubernetes.attributes {
            Attributes::Resource(at) => match at.verb.as_str() {
                "create" => "Create",
                "update" | "patch" => "Update",
                "delete" | "deletecollection" => "Delete",
                "get" | "list" | "watch" => "Read",
                _ => by_method(kubernetes.method),
            },
            Attributes::NonResource(_) => by_method(kubernetes.method),
        },
        Action::Issue(_) | Action::Enrol(_) => "Create",
        Action::Portal(action) => match action {
            PortalAction::AuthorizeCommandLine | PortalAction::Invite { .. } | PortalAction::SaveSearch { .. } => {
                "Create"
            }
            PortalAction::EndSession { .. }
            | PortalAction::RevokeCredential { .. }
            | PortalAction::RemoveSearch { .. } => "Delete",
            _ => "Read",
        },
    }
}

const fn by_method(method: Method) -> &'static str {
    match method {
        Method::Get | Method::Head | Method::Options => "Read",
        Method::Post => "Create",
        Method::Put | Method::Patch => "Update",
        Method::Delete => "Delete",
    }
}

/// Whether it went well, and how much it matters.
pub(super) fn weight(event: &Event) -> (Status, Severity) {
    use {Severity as S, Status::*};
    match event {
        Event::Decision { decision, .. } => match decision.verdict {
            Verdict::Allow => (Success, S::Informational),
            Verdict::StepUp => (Failure, S::Informational),
            Verdict::Deny => (Failure, S::Low),
        },
        Event::Outcome { status: Some(status), .. } if *status < 400 => (Success, S::Informational),
        Event::Outcome { .. } => (Failure, S::Informational),
        Event::UnknownOutcome { .. } => (Unknown, S::Medium),
        Event::Refused { .. } | Event::Refusals { .. } | Event::SignIn { fault: Some(_), .. } => (Failure, S::Low),
        Event::NotForwarded { .. } => (Failure, S::Low),
        Event::Gap { .. } => (Failure, S::High),
        Event::PolicyRejected { .. } | Event::CollectorSkipped { .. } => (Failure, S::Medium),
        Event::EpochBegan { .. } => (Success, S::Critical),
        Event::KeyRotated { .. } => (Success, S::Medium),
        _ => (Success, S::Informational),
    }
}
