//! The audit: gapless, in order, of one tenant.
#![allow(missing_docs, clippy::unwrap_used)] // test code, whose names are its documentation

use super::StoreBench;
use super::bench::{ALL, cancel, complete, for_episode, start};
use crate::store::{ActionIntent, AuditEntry, AuditFilter};
use crate::tenant::TenantId;
use crate::testing::{intent, tenant};

async fn list(t: &StoreBench, filter: AuditFilter) -> Vec<AuditEntry> {
    t.store().audit(&TenantId::default(), &filter).await.unwrap()
}

fn seqs(entries: &[AuditEntry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.seq.expect("a listed entry has its sequence")).collect()
}

pub async fn nobody_sees_an_entry_before_it_has_its_sequence(t: &mut StoreBench) {
    t.admit(intent("web-1")).await;
    let all = AuditFilter { limit: ALL, ..AuditFilter::default() };
    assert_eq!(list(t, all.clone()).await, []);
    let sequenced = t.store().sequence_audit(ALL).await.unwrap();
    assert_eq!(list(t, all).await, sequenced);
    assert_eq!(sequenced.len(), 1);
}

pub async fn sequences_have_no_gap_and_follow_the_order_of_what_happened(t: &mut StoreBench) {
    let mut told = Vec::new();
    for round in 0..3 {
        for number in 0..4 {
            let running = t.running(&format!("web-{round}-{number}")).await;
            t.change(&running, complete()).await;
        }
        loop {
            let page = t.store().sequence_audit(5).await.unwrap();
            assert!(page.len() <= 5);
            if page.is_empty() {
                break;
            }
            told.extend(page);
        }
    }
    assert_eq!(told.len(), 36);
    let first = told[0].seq.unwrap();
    assert_eq!(seqs(&told), (first..first + 36).collect::<Vec<_>>());
    for of_one in told.chunks(3) {
        let kinds: Vec<_> = of_one.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["action.admitted", "action.started", "action.completed"]);
        assert!(of_one.iter().all(|entry| entry.action == of_one[0].action));
    }
    assert_eq!(t.audit().await, told);
}

pub async fn an_entry_gets_its_sequence_once(t: &mut StoreBench) {
    t.running("web-1").await;
    let first = t.store().sequence_audit(ALL).await.unwrap();
    assert_eq!(t.store().sequence_audit(ALL).await.unwrap(), []);
    t.running("web-2").await;
    let second = t.store().sequence_audit(ALL).await.unwrap();
    assert_eq!(second[0].seq.unwrap(), first.last().unwrap().seq.unwrap() + 1);
}

pub async fn the_audit_is_paged_in_order_of_its_sequence(t: &mut StoreBench) {
    for number in 0..5 {
        t.running(&format!("web-{number}")).await;
    }
    let all = t.audit().await;
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = list(t, AuditFilter { after, limit: 3, ..AuditFilter::default() }).await;
        let Some(last) = page.last() else { break };
        after = last.seq.unwrap();
        paged.extend(page);
        assert!(paged.len() <= all.len(), "a page repeats the one before");
    }
    assert_eq!(paged, all);
    assert!(seqs(&all).is_sorted());
}

pub async fn news_are_the_entries_of_all_tenants_in_order_of_their_sequence(t: &mut StoreBench) {
    assert_eq!(t.store().audit_head().await.unwrap(), 0);
    assert_eq!(t.store().audit_news(0, ALL).await.unwrap(), []);
    for number in 0..3 {
        t.running(&format!("web-{number}")).await;
        t.admit(ActionIntent { tenant: tenant("other"), ..intent("web-1") }).await;
    }
    assert_eq!(t.store().audit_news(0, ALL).await.unwrap(), [], "nobody sees an entry before it has its sequence");
    let told = t.store().sequence_audit(ALL).await.unwrap();
    assert_eq!(t.store().audit_news(0, ALL).await.unwrap(), told);
    assert_eq!(t.store().audit_news(told[2].seq.unwrap(), 4).await.unwrap(), told[3..7]);
    let head = told.last().unwrap().seq.unwrap();
    assert_eq!(t.store().audit_head().await.unwrap(), head);
    assert_eq!(t.store().audit_news(head, ALL).await.unwrap(), []);
}

pub async fn the_audit_is_filtered_by_action_and_by_episode(t: &mut StoreBench) {
    let episode = t.open_episode("p", "web-1").await;
    let action = t.change(&t.admit(for_episode(&episode)).await, start()).await;
    t.change(&t.running("web-2").await, cancel()).await;
    let all = t.audit().await;
    let by_action = list(t, AuditFilter { action: Some(action.id), limit: ALL, ..AuditFilter::default() }).await;
    assert_eq!(by_action, all.iter().filter(|e| e.action == Some(action.id)).cloned().collect::<Vec<_>>());
    assert_eq!(by_action.len(), 2);
    let by_episode = list(t, AuditFilter { episode: Some(episode.id), limit: ALL, ..AuditFilter::default() }).await;
    assert_eq!(by_episode, all.iter().filter(|e| e.episode == Some(episode.id)).cloned().collect::<Vec<_>>());
    assert_eq!(by_episode.len(), 3);
}

pub async fn a_tenant_sees_its_own_entries_only(t: &mut StoreBench) {
    let other = tenant("other");
    t.running("web-1").await;
    let theirs = t.admit(ActionIntent { tenant: other.clone(), ..intent("web-1") }).await;
    let ours = t.audit().await;
    assert!(ours.iter().all(|entry| entry.tenant == TenantId::default()));
    assert_eq!(ours.len(), 2);
    let of_theirs = t.audit_of(&other).await;
    assert_eq!(of_theirs.len(), 1);
    assert_eq!((of_theirs[0].action, &of_theirs[0].tenant), (Some(theirs.id), &other));
    let peek = AuditFilter { action: Some(theirs.id), limit: ALL, ..AuditFilter::default() };
    assert_eq!(list(t, peek).await, []);
}
