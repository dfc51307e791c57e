//! HTTP/1 on sockets: strict reading, and one task per connection.

mod answer;
mod asking;
pub mod body;
mod closing;
pub mod connection;
mod exchange;
pub mod head;
pub mod pace;
mod phases;
pub mod pump;
pub(crate) mod question;
pub(crate) mod reading;
mod receive;
mod relay;
pub mod request;
pub mod response;
mod rewriting;
pub(crate) mod tunnel;
mod way;
