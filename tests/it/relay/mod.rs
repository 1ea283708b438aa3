//! The relay, through its real door: TLS, HTTP/2 and a backend behind it.

mod backend;
mod bare;
mod calls;
mod codec;
mod harness;
mod issuers;
mod life;
mod limits;
mod neighbours;
mod raw;
mod revoked;
mod several;
mod windows;
