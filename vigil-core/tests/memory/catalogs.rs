//! Several processes over one Store that declare policies in files.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use vigil_core::Vigil;
use vigil_core::store::{MemoryStore, Store};

fn shipped() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/policies.yaml").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_replicas_that_declare_the_same_files_at_once_all_start() {
    for _ in 0..20 {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (together, mut starting) = (Arc::new(Barrier::new(8)), JoinSet::new());
        for _ in 0..8 {
            let vigil = Vigil::builder().store(store.clone()).policy_files([shipped()]).build().unwrap();
            let together = together.clone();
            starting.spawn(async move {
                together.wait().await;
                vigil.load_policies().await.unwrap();
                vigil.catalog().set().len()
            });
        }
        let loaded = starting.join_all().await;
        assert!(loaded.iter().all(|policies| *policies == loaded[0] && *policies > 0), "{loaded:?}");
    }
}

#[tokio::test]
async fn a_process_without_files_leaves_those_of_others_alone() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let api = Vigil::builder().store(store.clone()).policy_files([shipped()]).build().unwrap();
    api.load_policies().await.unwrap();
    let worker = Vigil::builder().store(store.clone()).build().unwrap();
    worker.load_policies().await.unwrap();
    assert_eq!(worker.catalog().set().len(), api.catalog().set().len());
    assert!(!api.catalog().set().is_empty());
    // Whoever owns files and names none any more wants none.
    let emptied = Vigil::builder().store(store).policy_files([]).build().unwrap();
    emptied.load_policies().await.unwrap();
    assert_eq!(emptied.catalog().set().len(), 0);
}
