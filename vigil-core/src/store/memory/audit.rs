//! [`AuditLog`]: the audit entries, those that wait for their sequence and those that have it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::store::{AuditEntry, AuditFilter};
use crate::tenant::TenantId;

#[derive(Debug, Default)]
pub(super) struct AuditLog {
    last_seq: i64,
    waiting: VecDeque<AuditEntry>,
    sequenced: HashMap<TenantId, BTreeMap<i64, AuditEntry>>,
}

impl AuditLog {
    pub(super) fn add(&mut self, entry: AuditEntry) {
        self.waiting.push_back(entry);
    }

    pub(super) fn sequence(&mut self, limit: usize) -> Vec<AuditEntry> {
        let count = limit.min(self.waiting.len());
        let mut numbered = Vec::with_capacity(count);
        for mut entry in self.waiting.drain(..count) {
            self.last_seq += 1;
            entry.seq = Some(self.last_seq);
            self.sequenced.entry(entry.tenant.clone()).or_default().insert(self.last_seq, entry.clone());
            numbered.push(entry);
        }
        numbered
    }

    pub(super) fn list(&self, tenant: &TenantId, filter: &AuditFilter) -> Vec<AuditEntry> {
        let Some(entries) = self.sequenced.get(tenant) else { return Vec::new() };
        entries
            .range((Bound::Excluded(filter.after), Bound::Unbounded))
            .map(|(_, entry)| entry)
            .filter(|entry| filter.takes(entry))
            .take(filter.limit)
            .cloned()
            .collect()
    }

    pub(super) fn news(&self, after: i64, limit: usize) -> Vec<AuditEntry> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let mut news: Vec<&AuditEntry> =
            self.sequenced.values().flat_map(|of| of.range(behind).take(limit)).map(|(_, entry)| entry).collect();
        news.sort_unstable_by_key(|entry| entry.seq);
        news.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn head(&self) -> i64 {
        self.last_seq
    }

    /// Removes up to `limit` sequenced entries from before `history`; one that no reader could see yet stays.
    pub(super) fn prune(&mut self, history: Timestamp, limit: usize) -> usize {
        let mut gone = 0;
        for entries in self.sequenced.values_mut() {
            while gone < limit
                && let Some(first) = entries.first_entry()
                && first.get().at < history
            {
                first.remove();
                gone += 1;
            }
        }
        gone
    }
}
