//! HTTP/1 on sockets: strict reading, and one task per connection.

pub mod body;
pub mod connection;
pub mod exchange;
pub mod head;
pub mod pump;
pub mod request;
pub mod response;
