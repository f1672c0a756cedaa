//! A disk that is full: what was acknowledged stays, what is not taken is said not to be, and space that comes back is used.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vigil_core::clock::Timestamp;
use vigil_core::store::{Scope, Store, StoreError};
use vigil_core::tenant::TenantId;
use vigil_core::testing::{batch, metric, target};
use vigil_store_sqlite::{SqliteOptions, SqliteStore};

/// A file system of three megabytes; it takes root to mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "vigil-test"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: a small disk cannot be mounted without being root");
        }
        mounted.then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_loses_nothing_and_is_used_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1_500_000]).unwrap();
    let store = SqliteStore::open(SqliteOptions::file(disk.path().join("vigil.db"))).await.unwrap();
    let mut acknowledged = 0_u32;
    let refused = loop {
        let some = (0..50).map(|n| metric("cpu", f64::from(n)).on(&format!("web-{acknowledged}-{n}")));
        match store.record_metrics(batch(some)).await {
            Ok(recorded) => acknowledged += u32::try_from(recorded.ids.len()).unwrap(),
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000_000, "the disk is never full");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(matches!(
        store.record_metrics(batch([metric("cpu", 1.0).on("one")])).await,
        Ok(_) | Err(StoreError::Unavailable(_))
    ));
    let scope = Scope { tenant: TenantId::default(), target: Some(target("web-0-7")) };
    assert_eq!(store.snapshot(&scope, Timestamp::MIN).await.unwrap().len(), 1, "what is there can be read");

    std::fs::remove_file(ballast).unwrap();
    store.record_metrics(batch([metric("cpu", 1.0).on("later")])).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(SqliteOptions::file(disk.path().join("vigil.db"))).await.unwrap();
    let all = store.claim_scopes(std::time::Duration::ZERO, 1_000_000).await.unwrap();
    assert!(all.len() > usize::try_from(acknowledged).unwrap(), "{} of {acknowledged}", all.len());
    store.close().await;
}
