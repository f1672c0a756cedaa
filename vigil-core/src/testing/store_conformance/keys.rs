//! API keys: made, rotated and revoked under one generation, and audited.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use std::time::Duration;

use tokio::task::JoinSet;

use super::StoreBench;
use super::bench::{SECOND, actor};
use crate::clock::Timestamp;
use crate::key::{ApiKey, KeyDigest, KeyId, KeyName, KeyWrite, Role};
use crate::store::{Actor, Followed, StoreError};
use crate::tenant::TenantId;
use crate::testing::tenant;

fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

fn create(key: &str, expires_at: Option<Timestamp>) -> KeyWrite {
    let name = KeyName::new("naïve ☃ 'quoted'").unwrap();
    KeyWrite::Create { id: id(key), name, role: Role::Operator, digest: KeyDigest([7; 32]), expires_at }
}

fn rotate(key: &str, byte: u8) -> KeyWrite {
    KeyWrite::Rotate { id: id(key), digest: KeyDigest([byte; 32]) }
}

fn revoke(key: &str) -> KeyWrite {
    KeyWrite::Revoke { id: id(key) }
}

async fn write(t: &StoreBench, write: KeyWrite) -> Result<ApiKey, StoreError> {
    t.store().write_key(&TenantId::default(), write, &actor()).await
}

async fn stored(t: &StoreBench) -> Vec<ApiKey> {
    let mut keys = t.store().keys().await.unwrap().keys;
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    keys
}

pub async fn a_key_is_kept_with_every_field(t: &mut StoreBench) {
    let at = t.pass(SECOND);
    let key = write(t, create("k1", Some(at + SECOND))).await.unwrap();
    let wanted = ApiKey {
        id: id("k1"),
        tenant: TenantId::default(),
        name: KeyName::new("naïve ☃ 'quoted'").unwrap(),
        role: Role::Operator,
        digest: KeyDigest([7; 32]),
        created_at: at,
        expires_at: Some(at + SECOND),
        rotated_at: None,
        revoked_at: None,
    };
    assert_eq!(key, wanted);
    assert_eq!(stored(t).await, [wanted]);
}

pub async fn a_rotated_key_has_another_digest_and_nothing_else_new(t: &mut StoreBench) {
    let before = write(t, create("k1", None)).await.unwrap();
    let at = t.pass(SECOND);
    let after = write(t, rotate("k1", 8)).await.unwrap();
    assert_eq!(after, ApiKey { digest: KeyDigest([8; 32]), rotated_at: Some(at), ..before });
    assert_eq!(stored(t).await, [after]);
}

pub async fn a_revoked_key_stays_and_cannot_be_changed_or_made_again(t: &mut StoreBench) {
    write(t, create("k1", None)).await.unwrap();
    let at = t.pass(SECOND);
    let revoked = write(t, revoke("k1")).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(at));
    for late in [rotate("k1", 9), revoke("k1")] {
        let refused = write(t, late).await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    let again = write(t, create("k1", None)).await;
    assert!(matches!(again, Err(StoreError::Duplicate(_))), "{again:?}");
    assert_eq!(stored(t).await, [revoked]);
}

pub async fn a_key_of_another_tenant_is_not_found(t: &mut StoreBench) {
    let other = tenant("other");
    let theirs = t.store().write_key(&other, create("k1", None), &actor()).await.unwrap();
    assert_eq!(theirs.tenant, other);
    for foreign in [rotate("k1", 9), revoke("k1"), revoke("k2")] {
        let refused = write(t, foreign).await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    let taken = write(t, create("k1", None)).await;
    assert!(matches!(taken, Err(StoreError::Duplicate(_))), "an id is one key of whatever tenant: {taken:?}");
    assert_eq!(stored(t).await, [theirs]);
}

pub async fn every_write_of_a_key_raises_the_generation_of_keys_alone(t: &mut StoreBench) {
    let (keys, policies) = (Followed::Keys, Followed::Policies);
    let (store, before) = (t.store(), t.store().generation(policies).await.unwrap());
    let mut last = store.generation(keys).await.unwrap();
    for next in [create("k1", None), create("k2", None), rotate("k1", 8), revoke("k2")] {
        write(t, next).await.unwrap();
        let now = store.generation(keys).await.unwrap();
        assert!(now > last);
        last = now;
    }
    write(t, revoke("k2")).await.unwrap_err();
    assert_eq!(store.generation(keys).await.unwrap(), last, "what did not happen raises nothing");
    assert_eq!(store.keys().await.unwrap().generation, last);
    assert_eq!(store.generation(policies).await.unwrap(), before);
}

pub async fn every_write_of_a_key_is_audited_for_its_tenant_without_the_digest(t: &mut StoreBench) {
    let (other, person) = (tenant("other"), Actor::new("alice"));
    for next in [create("k1", None), rotate("k1", 8), revoke("k1")] {
        t.store().write_key(&other, next, &person).await.unwrap();
    }
    write(t, revoke("k1")).await.unwrap_err();
    assert_eq!(t.audit().await, [], "nothing of this tenant happened");
    let audit = t.audit_of(&other).await;
    let kinds: Vec<_> = audit.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["key.created", "key.rotated", "key.revoked"]);
    for entry in audit {
        assert_eq!(
            (&entry.actor, &entry.detail["key"], &entry.detail["role"]),
            (&person, &"k1".into(), &"operator".into())
        );
        assert!(entry.detail.get("digest").is_none());
    }
}

pub async fn a_watcher_of_keys_is_told_of_a_revocation(t: &mut StoreBench) {
    write(t, create("k1", None)).await.unwrap();
    let store = t.store();
    let seen = store.generation(Followed::Keys).await.unwrap();
    let mut watching = JoinSet::new();
    watching.spawn(async move { store.watch(Followed::Keys, seen).await.unwrap() });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(watching.try_join_next().is_none(), "nothing has changed yet");
    write(t, revoke("k1")).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), watching.join_next()).await;
    assert!(told.expect("the watcher is told").unwrap().unwrap() > seen);
}

pub async fn of_many_makers_of_one_key_one_succeeds(t: &mut StoreBench) {
    let made =
        t.race(8, |store, _| async move { store.write_key(&TenantId::default(), create("k1", None), &actor()).await });
    let (won, lost): (Vec<_>, Vec<_>) = made.await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|lost| matches!(lost, Err(StoreError::Duplicate(_)))), "{lost:?}");
    assert_eq!(stored(t).await.len(), 1);
}

pub async fn keys_are_there_again_and_their_generation_goes_on(t: &mut StoreBench) {
    write(t, create("k1", None)).await.unwrap();
    write(t, create("k2", None)).await.unwrap();
    write(t, revoke("k2")).await.unwrap();
    let (before, generation) = (stored(t).await, t.store().generation(Followed::Keys).await.unwrap());
    if t.reopen().await {
        assert_eq!(stored(t).await, before);
        write(t, rotate("k1", 8)).await.unwrap();
        assert!(t.store().generation(Followed::Keys).await.unwrap() > generation);
    }
}
