//! [`Turns`]: a line for each tenant, and their turns. However much one of them brings, the next of another waits for one
//! of its own only.

use std::collections::{HashMap, VecDeque};

use crate::tenant::TenantId;

/// What waits, first in, first out within a tenant; tenants that have something waiting take turns.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    lines: HashMap<TenantId, VecDeque<T>>,
    /// The tenants with a line that is not empty, the next one first.
    order: VecDeque<TenantId>,
    len: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), order: VecDeque::new(), len: 0 }
    }
}

impl<T> Turns<T> {
    /// At the end of its tenant's line.
    pub(crate) fn push(&mut self, tenant: &TenantId, item: T) {
        let line = self.lines.entry(tenant.clone()).or_default();
        if line.is_empty() {
            self.order.push_back(tenant.clone());
        }
        line.push_back(item);
        self.len += 1;
    }

    /// The first of whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let tenant = self.order.pop_front()?;
        let line = self.lines.get_mut(&tenant)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&tenant);
        } else {
            self.order.push_back(tenant);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes the newest out of the longest line.
    pub(crate) fn shorten(&mut self) -> Option<T> {
        let longest = self.lines.iter().max_by_key(|(_, line)| line.len()).map(|(tenant, _)| tenant.clone())?;
        let line = self.lines.get_mut(&longest)?;
        let item = line.pop_back();
        if line.is_empty() {
            self.lines.remove(&longest);
            self.order.retain(|tenant| *tenant != longest);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// How many of a tenant's wait.
    pub(crate) fn len_of(&self, tenant: &TenantId) -> usize {
        self.lines.get(tenant).map_or(0, VecDeque::len)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tenant;

    #[test]
    fn a_tenant_waits_for_one_item_of_another_not_for_all() {
        let (storm, quiet) = (tenant("storm"), tenant("quiet"));
        let mut turns = Turns::default();
        for n in 0..1000 {
            turns.push(&storm, n);
        }
        turns.push(&quiet, -1);
        turns.push(&quiet, -2);
        let first: Vec<i32> = std::iter::from_fn(|| turns.pop()).take(5).collect();
        assert_eq!(first, [0, -1, 1, -2, 2]);
        assert_eq!(turns.len(), 997);
    }

    #[test]
    fn one_tenant_alone_is_first_in_first_out() {
        let mut turns = Turns::default();
        for n in 0..3 {
            turns.push(&TenantId::default(), n);
        }
        assert_eq!(std::iter::from_fn(|| turns.pop()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((turns.len(), turns.pop(), turns.shorten()), (0, None, None));
    }

    #[test]
    fn what_has_to_go_is_the_newest_of_whoever_has_most() {
        let (storm, quiet) = (tenant("storm"), tenant("quiet"));
        let mut turns = Turns::default();
        for n in 0..3 {
            turns.push(&storm, n);
        }
        turns.push(&quiet, -1);
        assert_eq!((turns.shorten(), turns.shorten()), (Some(2), Some(1)));
        assert_eq!(turns.len(), 2);
        while turns.shorten().is_some() {}
        assert_eq!((turns.len(), turns.pop()), (0, None));
    }
}
