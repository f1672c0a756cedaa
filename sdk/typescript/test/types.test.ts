// The documented interfaces, word for word. What is wrong here does not compile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Action, FullAction, FullPolicy, Metric, NewMetric, Policy, VigilClient } from '@vigil-rs/client';

interface DocumentedPolicy {
    name: string;
    description: string;
    severity: 'info' | 'warning' | 'critical';
    target: string;
    enabled: boolean;
    params: Record<string, any>;
    auto_remediate: boolean;
}

interface DocumentedAction {
    id: number;
    target: string;
    action: string;
    status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
    details: string | null;
    started_at: string;
}

interface DocumentedMetric {
    name: string;
    value: number;
    tags?: Record<string, string>;
}

/** Whether two types are the same, optional and readonly fields included. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Is<A, B> = [A] extends [B] ? true : false;

test('the interfaces are the documented ones, and what is answered and sent fits them', () => {
    const facts: true[] = [
        true satisfies Same<Policy, DocumentedPolicy>,
        true satisfies Same<Action, DocumentedAction>,
        true satisfies Same<Metric, DocumentedMetric>,
        true satisfies Is<FullPolicy, DocumentedPolicy>,
        true satisfies Is<FullAction, DocumentedAction>,
        true satisfies Is<DocumentedMetric, NewMetric>,
        true satisfies Is<Awaited<ReturnType<VigilClient['getAction']>>, DocumentedAction>,
    ];
    assert.ok(facts.every(Boolean));
});

/** Never called: it is here to be refused by the compiler, line by line. */
export async function wrong(vigil: VigilClient): Promise<void> {
    // @ts-expect-error no such status
    vigil.listActionsByStatus('done');
    // @ts-expect-error no such parameter
    vigil.listActions({ page: 2 });
    // @ts-expect-error a metric is needed
    vigil.query({ step: 60 });
    // @ts-expect-error a misspelt field
    vigil.createPolicy({ name: 'p', action: 'restart', condition: { type: 'any', conditions: [] }, treshold: 1 });
    // @ts-expect-error no such action
    vigil.createAction({ target: 't', action: 'reboot' });
    // @ts-expect-error a value is a number
    vigil.ingest({ name: 'm', value: '1' });
    // @ts-expect-error no such kind
    vigil.events({ kinds: ['weather'] });
    // @ts-expect-error no such field
    (await vigil.getAction(1)).finished_at;
    const first = (await vigil.listActions()).actions[0];
    // @ts-expect-error there may be none
    first.id;
    for await (const message of vigil.events()) {
        // @ts-expect-error only samples have a value
        message.data.value;
    }
}
