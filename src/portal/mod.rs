//! The portal: sign-in, one's own page, the pages of administration, and the API that the command line uses.

pub mod assets;
pub mod page;
