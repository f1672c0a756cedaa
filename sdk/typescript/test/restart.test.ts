// The server is killed in the middle of a live view, again and again: no entry of the audit is missed, and none comes
// twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError, ProblemError, VigilClient, type VigilError } from '@vigil-rs/client';
import { eventually, Server } from './server.js';

const KILLS = 3;
/** How much must have come before the server is killed. */
const BETWEEN_KILLS = 25;

for (const way of ['events', 'websocket'] as const) {
    const skip = way === 'websocket' && !('WebSocket' in globalThis) && 'skipped: no WebSocket before Node 22';
    test(`kill -9 in the middle of ${way}`, { skip }, async () => {
        await using server = await Server.start();
        const vigil = new VigilClient(server.url, { retry: { baseDelay: 20, attempts: 1000 } });
        const done = new AbortController();
        const breaks: VigilError[] = [];
        const seen: number[] = [];
        let stands = 0;

        const view = vigil[way]({}, { signal: done.signal, onDisconnect: (reason) => breaks.push(reason) });
        const first = await view.next();
        assert.equal(first.value.type, 'ready');
        const begin = first.value.seq ?? NaN;
        const watch = (async () => {
            for await (const message of view) {
                if (message.type === 'ready') stands += 1;
                else if (message.seq !== undefined) seen.push(message.seq);
            }
        })();

        // Things happen without a pause, also while the server is away.
        let isWriting = true;
        const made = new Set<number>();
        const write = async (writer: number): Promise<void> => {
            for (let n = 0; isWriting; n++) {
                const { action_id } = await vigil.createAction({ target: `t-${writer}-${n % 5}`, action: 'restart' });
                assert.ok(!made.has(action_id), 'a repeated request made another action');
                made.add(action_id);
            }
        };
        const writers = [1, 2, 3, 4].map(write);

        for (let kill = 1; kill <= KILLS; kill++) {
            const enough = seen.length + BETWEEN_KILLS;
            await eventually('the view goes on', async () => seen.length >= enough);
            await server.kill();
            await eventually('the view notices', async () => breaks.length >= kill);
            await server.again();
            await eventually('the view stands again', async () => stands >= kill);
        }
        const enough = seen.length + BETWEEN_KILLS;
        await eventually('the view goes on', async () => seen.length >= enough);
        isWriting = false;
        await Promise.all(writers);

        // All of it is in the audit, and the view has come to its end.
        const end = await eventually('everything has its place in the audit', async () => {
            const seqs: number[] = [];
            for await (const { seq } of vigil.listAudit({ limit: 500 })) {
                if (seq === null) return undefined;
                seqs.push(seq);
            }
            const end = Math.max(...seqs);
            return (seen.at(-1) ?? 0) >= end && end;
        });
        done.abort();
        await assert.rejects(watch, { name: 'AbortError' });

        // The sequence has no gap: whatever is missing or came twice would show.
        assert.deepEqual(
            seen,
            Array.from({ length: seen.length }, (_, n) => begin + 1 + n),
        );
        assert.ok(begin + seen.length >= end);
        assert.ok(
            breaks.length >= KILLS &&
                breaks.every((reason) => reason instanceof ConnectionError || reason instanceof ProblemError),
        );
        const actions = new Set<number>();
        for await (const { id } of vigil.listActions({ limit: 500 })) actions.add(id);
        assert.deepEqual(actions, made, 'each action that was answered is there, and no other');
    });
}
