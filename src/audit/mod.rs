//! What was decided, provably. The log takes an entry and gives a receipt once it is durable; the tree and its signed
//! checkpoints let anyone check later that nothing was changed, dropped or added. Knows nothing of HTTP.

pub mod canonical;
pub mod entry;
