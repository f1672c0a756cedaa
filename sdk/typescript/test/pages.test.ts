import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { ProblemError, VigilClient } from '@vigil-rs/client';
import { Server } from './server.js';

suite('lists', () => {
    let server: Server;
    let vigil: VigilClient;
    let requests = 0;
    const made: number[] = [];

    before(async () => {
        server = await Server.start();
        const counted: typeof fetch = (input, init) => {
            requests += 1;
            return fetch(input, init);
        };
        vigil = new VigilClient(server.url, { fetch: counted });
        for (let n = 0; n < 7; n++) {
            const { action_id } = await vigil.createAction({
                target: `t-${n}`,
                action: 'restart',
                status: n < 4 ? 'failed' : 'completed',
            });
            made.push(action_id);
        }
        for (const name of ['a', 'b', 'c']) {
            await vigil.createPolicy({
                name,
                action: 'restart',
                condition: { type: 'metric_below', metric: 'm', threshold: 0 },
            });
        }
    });
    after(() => server[Symbol.asyncDispose]());

    test('nothing is asked for before it is wanted, and then once', async () => {
        requests = 0;
        const listing = vigil.listActions({ limit: 2 });
        assert.equal(requests, 0);
        const [page, again] = await Promise.all([listing, listing]);
        assert.equal(page, again);
        assert.equal(page.actions.length, 2);
        assert.equal(requests, 1);
    });

    test('all items of all pages come, each once, in order', async () => {
        requests = 0;
        const ids: number[] = [];
        for await (const action of vigil.listActions({ limit: 3 })) ids.push(action.id);
        assert.deepEqual(ids, [...made].reverse());
        assert.equal(requests, 3);
    });

    test('who leaves asks for no further page', async () => {
        requests = 0;
        for await (const action of vigil.listActions({ limit: 2 })) if (action.id === made[4]) break;
        assert.equal(requests, 2);
    });

    test('filters hold on every page', async () => {
        const targets: string[] = [];
        for await (const action of vigil.listActionsByStatus('failed', { limit: 1 })) targets.push(action.target);
        assert.deepEqual(targets, ['t-3', 't-2', 't-1', 't-0']);
    });

    test('pages come as they are, and begin at a cursor', async () => {
        const counts: number[] = [];
        for await (const page of vigil.listActions({ limit: 3 }).pages()) counts.push(page.count);
        assert.deepEqual(counts, [3, 3, 1]);
        const { next_cursor } = await vigil.listActions({ limit: 5 });
        const rest: number[] = [];
        for await (const action of vigil.listActions({ limit: 5, cursor: next_cursor ?? undefined }))
            rest.push(action.id);
        assert.deepEqual(rest, [made[1], made[0]]);
    });

    test('policies are gone over one by one', async () => {
        const names: string[] = [];
        for await (const policy of vigil.listPolicies({ limit: 2 })) names.push(policy.name);
        assert.deepEqual(names, ['a', 'b', 'c']);
    });

    test('a list fails as a promise does, and as a loop does', async () => {
        const wrong = vigil.listActions({ limit: 0 });
        assert.equal(await wrong.catch((error: ProblemError) => error.status), 422);
        await assert.rejects(wrong.finally(), ProblemError);
        await assert.rejects(async () => {
            for await (const action of wrong) assert.fail(String(action.id));
        }, ProblemError);
    });
});
