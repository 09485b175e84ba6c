//! May they? Cedar rules in a folder, checked against our schema, judge every action; the [`Gate`] records the answer
//! and, when it is yes, makes the [`Permit`] without which nothing is forwarded, issued or administered.
//! Who the caller is was settled by the identity room; what a permit is spent on is up to the doors.

mod check;
mod conditions;
mod counters;
pub mod gate;
mod index;
pub mod judge;
mod kubernetes;
pub mod live;
mod pending;
pub mod policy;
mod reader;
mod reads;
mod remembered;
mod request;
pub mod schema;
mod scope;
mod shown;
mod slice;
mod source;
#[cfg(test)]
mod trial;

pub use check::Mistake;
pub use counters::Counters;
pub use gate::{Gate, Permit, Refusal, Standing};
pub use live::{Live, PolicyFault, PolicyState};
pub use pending::{Meter, Pending};
pub use policy::{Rules, Texts};
pub use reader::{Door, Reader};
pub use request::person;
pub use shown::{RuleText, rules_of};
pub use source::{SourceFile, Sources};

/// A failure of this room: the administrator's or ours, never a denial.
#[derive(Debug, thiserror::Error)]
pub enum AccessFault {
    /// The rules or entities were not taken. Each mistake says where.
    #[error("{} mistake(s) in the rules", .0.len())]
    Rules(Vec<Mistake>),
    /// A stored text cannot be read.
    #[error("the stored rules cannot be read: {0}")]
    Unreadable(String),
    /// A schema is broken. A test keeps the built-in one whole.
    #[error("the schema is broken: {0}")]
    Schema(String),
    /// The texts could not be stored, so nothing may be decided under them.
    #[error("the rules could not be stored")]
    Store(#[from] crate::store::StoreFault),
    /// Their loading could not be recorded, so nothing may be decided under them.
    #[error("the loading of the rules could not be recorded")]
    Unrecorded,
}
