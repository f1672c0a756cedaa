//! The PostgreSQL store: the suite that every Store passes, and what only a server that is shared can do.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests spawn, and one that panics has failed

mod conformance;
mod database;
mod durability;
mod foreign;
mod open;
mod outages;
mod pooler;
mod replicas;
mod retention;
mod sessions;
mod tls;
mod upgrade;
