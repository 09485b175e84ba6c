//! What the faults and refusals of other rooms are to the portal: whose fault they are decides what is said.

use super::{
    PortalFault,
    error::{Denied, Recorded},
};
use crate::{
    access::Refusal,
    credential::CredentialFault,
    identity::{Denial, IdentityFault},
    model::Decision,
    store::StoreFault,
};

impl From<StoreFault> for PortalFault {
    fn from(fault: StoreFault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

impl From<IdentityFault> for PortalFault {
    fn from(fault: IdentityFault) -> Self {
        match fault {
            IdentityFault::Denied(Denial::LoginEnded) => Self::NobodyHere,
            IdentityFault::Denied(Denial::ProviderRefused) => Self::Cancelled,
            IdentityFault::Denied(denial) => Self::Unproven(denial.to_string(), Recorded::NotYet),
            IdentityFault::BadRequest(what) => Self::BadRequest(what.into()),
            IdentityFault::Provider(why) => Self::Provider(why),
            IdentityFault::Credential(fault) => fault.into(),
            fault @ IdentityFault::Internal(_) => Self::failure(fault),
            fault => Self::Unavailable(fault.to_string()),
        }
    }
}

impl From<CredentialFault> for PortalFault {
    fn from(fault: CredentialFault) -> Self {
        match fault {
            CredentialFault::LoginEnded => Self::NobodyHere,
            CredentialFault::NotPermitted => Self::Unproven(fault.to_string(), Recorded::Already),
            CredentialFault::BadRequest(what) => Self::BadRequest(what.into()),
            CredentialFault::Store(_) | CredentialFault::Unrecorded(_) => Self::Unavailable(fault.to_string()),
            fault => Self::failure(fault),
        }
    }
}

impl Denied {
    /// What `refusal` of `asked` tells the person.
    pub fn or_else(refusal: Refusal, told: impl FnOnce(Decision) -> Self) -> PortalFault {
        match refusal {
            Refusal::Denied { decision, .. } => PortalFault::Denied(Box::new(told(decision))),
            Refusal::StepUp { decision, .. } => PortalFault::StepUp(Box::new(decision)),
            Refusal::Unavailable { why, .. } => PortalFault::Unavailable(why.to_owned()),
        }
    }
}
