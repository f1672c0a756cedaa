//! Who may call, for which tenant, how often, and over TLS.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests spawn what they serve, and fail by panicking

mod keys;
mod limits;
mod replica;
mod roles;
mod tenants;
mod tls;
