//! What the gateway decides and says, whatever protocol the client speaks.

pub mod client_address;
pub mod decide;
pub mod errors;
pub mod forward;
