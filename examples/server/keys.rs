//! API keys on the command line, and the first one of all.

use std::sync::Arc;

use vigil_core::clock::Timestamp;
use vigil_core::key::{KeyId, KeyName, KeyWrite, Role};
use vigil_core::store::{Actor, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::{KeyRing, Vigil};
use vigil_http::{Credential, Pepper};

use crate::config::Config;
use crate::flags::KeysCommand;
use crate::{Backend, Fatal};

/// Does what the command says, on the database of the server, and prints it.
pub(crate) async fn run(command: KeysCommand, config: &Config) -> Result<(), Fatal> {
    let backend = Backend::open(&config.database).await?;
    let vigil = Vigil::builder().store(backend.store()).build()?;
    let done = execute(command, vigil.keys(), config.http.pepper.as_ref()).await;
    drop(vigil);
    backend.close().await;
    done
}

async fn execute(command: KeysCommand, ring: &KeyRing, pepper: Option<&Pepper>) -> Result<(), Fatal> {
    let actor = Actor::new("command-line");
    ring.refresh().await?;
    match command {
        KeysCommand::Create { name, role, tenant, expires_at } => {
            let pepper = pepper.ok_or("set VIGIL_KEY_PEPPER to the pepper of the servers first")?;
            let expires_at = expires_at.as_deref().map(Timestamp::parse).transpose()?;
            let (tenant, credential) = (TenantId::new(&tenant)?, Credential::random());
            let write = credential.creation(pepper, KeyName::new(&name)?, Role::parse(&role)?, expires_at);
            ring.write(&tenant, write, &actor).await?;
            println!("{}", credential.reveal());
            eprintln!("This key is shown once.");
        }
        KeysCommand::List => {
            let text = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
            println!("{:<18}{:<16}{:<10}{:<30}{:<30}NAME", "ID", "TENANT", "ROLE", "EXPIRES", "REVOKED");
            for key in ring.all() {
                let (expires, revoked) = (text(key.expires_at), text(key.revoked_at));
                let (id, tenant, name) = (key.id.as_str(), key.tenant.as_str(), key.name.as_str());
                println!("{id:<18}{tenant:<16}{:<10}{expires:<30}{revoked:<30}{name}", key.role.as_str());
            }
        }
        KeysCommand::Revoke { id } => {
            let id = KeyId::new(&id)?;
            let key = ring.find(&id).ok_or_else(|| format!("the key '{id}' does not exist"))?;
            ring.write(&key.tenant, KeyWrite::Revoke { id: id.clone() }, &actor).await?;
            println!("The key '{id}' is revoked.");
        }
    }
    Ok(())
}

/// Makes the first key, unless there are keys; and sees that those there are can be known.
pub(crate) async fn prepare(vigil: &Arc<Vigil>, config: &Config) -> Result<(), Fatal> {
    let ring = vigil.keys();
    ring.refresh().await?;
    let Some(pepper) = &config.http.pepper else {
        return if ring.is_empty() {
            Ok(())
        } else {
            Err("there are API keys in the database, and no pepper to know them by: set VIGIL_KEY_PEPPER".into())
        };
    };
    let Some(bootstrap) = config.bootstrap_key.as_ref().filter(|_| ring.is_empty()) else {
        if ring.is_empty() {
            tracing::warn!(
                "there are no API keys yet: make the first with VIGIL_BOOTSTRAP_KEY or `server keys create`"
            );
        }
        return Ok(());
    };
    let write = bootstrap.creation(pepper, KeyName::new("bootstrap")?, Role::Admin, None);
    match ring.write(&TenantId::default(), write, &Actor::new("start")).await {
        Ok(key) => tracing::info!(key = %key.id, "the first API key is made"),
        // Another replica was faster.
        Err(StoreError::Duplicate(_)) => ring.refresh().await?,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
