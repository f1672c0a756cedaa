// What the real server refuses, as the client tells it.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { ProblemError, VigilClient, type NewPolicy, type ProblemKind } from '@vigil-rs/client';
import { KEY, Server } from './server.js';

const policy: NewPolicy = {
    name: 'once',
    action: 'restart',
    condition: { type: 'metric_exceeds', metric: 'm', threshold: 1 },
};

/** The problem that a call ends with. */
async function refused(call: PromiseLike<unknown>, status: number, kind: ProblemKind): Promise<ProblemError> {
    const error = await call.then(
        () => undefined,
        (error: unknown) => error,
    );
    assert.ok(error instanceof ProblemError, String(error));
    assert.deepEqual([error.status, error.kind, error.type], [status, kind, `urn:vigil:problem:${kind}`]);
    assert.ok(error.detail.endsWith('.') && error.title.length > 0 && error.requestId);
    return error;
}

suite('without keys', () => {
    let server: Server;
    let vigil: VigilClient;

    before(async () => {
        server = await Server.start();
        vigil = new VigilClient(server.url);
    });
    after(() => server[Symbol.asyncDispose]());

    test('what is not there is 404, under the name that the request was given', async () => {
        const error = await refused(vigil.getAction(4711, { requestId: 'looking-for-4711' }), 404, 'not-found');
        assert.equal(error.requestId, 'looking-for-4711');
        assert.match(error.message, /^GET \/api\/v1\/actions\/4711: 404 /);
    });

    test('a second one of the same name is 409', async () => {
        await vigil.createPolicy(policy);
        const error = await refused(vigil.createPolicy(policy), 409, 'duplicate');
        assert.equal(error.attempts, 1);
    });

    test('a stale revision is 412, and changes nothing', async () => {
        const { name, revision } = await vigil.createPolicy({ ...policy, name: 'revised' });
        await vigil.updatePolicy(name, { severity: 'info' }, { ifMatch: revision });
        await refused(vigil.updatePolicy(name, { severity: 'critical' }, { ifMatch: revision }), 412, 'stale');
        assert.equal((await vigil.getPolicy(name)).severity, 'info');
    });

    test('wrong fields are 422, each with its place', async () => {
        const wrong = { ...policy, name: 'wrong', severity: 'urgent', target: '[' } as unknown as NewPolicy;
        const error = await refused(vigil.createPolicy(wrong), 422, 'invalid');
        assert.deepEqual(error.errors.map(({ pointer }) => pointer).sort(), ['/severity', '/target']);
        assert.ok(error.errors.every(({ detail }) => detail.length > 0));
    });

    test('an idempotency key with another body is 422', async () => {
        const options = { idempotencyKey: 'the-same' };
        const first = await vigil.ingest({ name: 'm', value: 1 }, options);
        assert.deepEqual(await vigil.ingest({ name: 'm', value: 1 }, options), first);
        await refused(vigil.ingest({ name: 'm', value: 2 }, options), 422, 'invalid');
    });

    test('a body that is too large is 413', async () => {
        await refused(
            vigil.createAction({ target: 't', action: 'restart', details: 'x'.repeat(2 ** 21) }),
            413,
            'too-large',
        );
    });

    test('an unknown filter is 400', async () => {
        await refused(vigil.listActions({ status: 'gone' as 'failed' }), 400, 'unknown-value');
    });
});

suite('with keys', () => {
    let server: Server;
    let admin: VigilClient;

    before(async () => {
        server = await Server.start({ keys: true });
        admin = new VigilClient(server.url, { apiKey: KEY });
    });
    after(() => server[Symbol.asyncDispose]());

    test('no key, or a wrong one, is 401 and is not shown', async () => {
        await refused(new VigilClient(server.url).listActions(), 401, 'unauthenticated');
        const error = await refused(
            new VigilClient(server.url, { apiKey: 'vgl_wrong_hunter2' }).listActions(),
            401,
            'unauthenticated',
        );
        assert.doesNotMatch(`${error.stack} ${JSON.stringify(error)}`, /hunter2/);
    });

    test('a key that may not is 403; both ways to send it are the same', async () => {
        const { key } = await admin.createKey({ name: 'eyes', role: 'viewer' });
        for (const keyHeader of ['x-api-key', 'bearer'] as const) {
            const viewer = new VigilClient(server.url, { apiKey: key, keyHeader });
            assert.equal((await viewer.listActions()).count, 0);
            await refused(viewer.createPolicy(policy), 403, 'forbidden');
        }
    });

    test('a live view ends when its key is revoked', async () => {
        const { id, key } = await admin.createKey({ name: 'brief', role: 'viewer' });
        const brief = new VigilClient(server.url, { apiKey: key, retry: { baseDelay: 1 } });
        const watch = (async () => {
            for await (const message of brief.events({ kinds: ['key'] })) {
                if (message.type === 'ready') await admin.revokeKey(id);
            }
        })();
        await refused(watch, 401, 'unauthenticated');
    });
});

test('too often is 429; the client waits as it is told to, and goes on', async () => {
    await using server = await Server.start({ config: 'http: { rate_limit: { per_second: 2, burst: 2 } }' });
    const impatient = new VigilClient(server.url, { retry: { attempts: 1 } });
    const answers = await Promise.allSettled(Array.from({ length: 6 }, () => impatient.getBrake()));
    const refusals = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as ProblemError] : []));
    assert.ok(refusals.length > 0);
    for (const refusal of refusals) {
        assert.deepEqual([refusal.status, refusal.kind], [429, 'too-many']);
        assert.ok(refusal.retryAfter !== null);
    }
    const patient = new VigilClient(server.url, { retry: { attempts: 20 } });
    await Promise.all(Array.from({ length: 4 }, () => patient.getBrake()));
});
