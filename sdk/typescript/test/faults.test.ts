// What the client does about faults, most of which the real server cannot be asked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { ConnectionError, ProblemError, TimeoutError, VigilClient, VigilError } from '@vigil-rs/client';
import { answer, breaks, breaksWithin, Fake, nothing, problem } from './fake.js';

const quick = { retry: { baseDelay: 1 } };
const policy = {
    name: 'p',
    action: 'restart',
    condition: { type: 'metric_exceeds', metric: 'm', threshold: 1 },
} as const;

for (const [name, fault] of [
    ['408', problem(408, 'slow-body')],
    ['429', problem(429, 'too-many', { 'Retry-After': '0' })],
    ['502 of a proxy', answer(502, '<html>', { 'Content-Type': 'text/html' })],
    ['503', problem(503, 'unavailable', { 'Retry-After': '0' })],
    ['504', problem(504, 'timed-out')],
    ['a broken connection', breaks],
    ['a broken answer', breaksWithin],
] as const) {
    test(`${name} passes: what is safe to repeat is sent again`, async () => {
        await using fake = await Fake.answering(fault, fault, answer(200, { ok: true }));
        const vigil = new VigilClient(fake.url, quick);
        await vigil.deletePolicy('p');
        assert.deepEqual(
            fake.seen.map(({ method, path }) => [method, path]),
            Array(3).fill(['DELETE', '/api/v1/policies/p']),
        );
    });
}

for (const [name, fault, kind] of [
    ['503', problem(503, 'unavailable', { 'Retry-After': '0' }), ProblemError],
    ['504', problem(504, 'timed-out'), ProblemError],
    ['a broken connection', breaks, ConnectionError],
    ['a broken answer', breaksWithin, ConnectionError],
] as const) {
    test(`${name}: nobody knows whether it was done, so that a bare POST is not sent again`, async () => {
        await using fake = await Fake.answering(fault, answer(201, {}));
        const error = await new VigilClient(fake.url, quick).createPolicy(policy).catch((error: unknown) => error);
        assert.ok(error instanceof kind);
        assert.equal(error.attempts, 1);
        assert.equal(fake.seen.length, 1);
    });

    test(`${name}: a POST with an idempotency key is sent again, the same`, async () => {
        await using fake = await Fake.answering(fault, answer(201, { ok: true }));
        await new VigilClient(fake.url, quick).ingest({ name: 'cpu', value: 1 });
        const [first, second] = fake.seen;
        assert.match(String(first?.headers['idempotency-key']), /^[0-9a-f]{32}$/);
        assert.equal(first?.headers['idempotency-key'], second?.headers['idempotency-key']);
        assert.equal(first?.body, second?.body);
        assert.equal(fake.seen.length, 2);
    });
}

test('429 came before anything was done: even a bare POST is sent again', async () => {
    await using fake = await Fake.answering(problem(429, 'too-many', { 'Retry-After': '0' }), answer(201, {}));
    await new VigilClient(fake.url, quick).createPolicy(policy);
    assert.equal(fake.seen.length, 2);
});

test('each call has an idempotency key of its own, or the one it is given', async () => {
    await using fake = await Fake.answering(answer(201, {}));
    const vigil = new VigilClient(fake.url);
    await vigil.createAction({ target: 'a', action: 'restart' });
    await vigil.createAction({ target: 'a', action: 'restart' });
    await vigil.ingestBatch([{ name: 'm', value: 1 }], { idempotencyKey: 'mine' });
    const keys = fake.seen.map(({ headers }) => headers['idempotency-key']);
    assert.equal(new Set(keys).size, 3);
    assert.equal(keys[2], 'mine');
});

for (const status of [400, 401, 403, 404, 409, 412, 413, 422, 500]) {
    test(`${status} does not pass: it is not sent again`, async () => {
        await using fake = await Fake.answering(problem(status, 'conflict'), answer(200, {}));
        const error = await new VigilClient(fake.url, quick).getBrake().catch((error: unknown) => error);
        assert.ok(error instanceof ProblemError);
        assert.equal(error.status, status);
        assert.equal(fake.seen.length, 1);
    });
}

test('it gives up after so many attempts, and says how many', async () => {
    await using fake = await Fake.answering(problem(503, 'unavailable', { 'Retry-After': '0' }));
    const vigil = new VigilClient(fake.url, { retry: { baseDelay: 1, attempts: 3 } });
    const error = await vigil.getBrake().catch((error: unknown) => error);
    assert.ok(error instanceof ProblemError);
    assert.equal(error.attempts, 3);
    assert.equal(fake.seen.length, 3);
    await assert.rejects(async () => vigil.getBrake({ retry: { attempts: 1 } }), { attempts: 1 });
});

test('a server that asks for more patience than there is, is not asked again', async () => {
    await using fake = await Fake.answering(problem(503, 'unavailable', { 'Retry-After': '3600' }));
    const error = await new VigilClient(fake.url).getBrake().catch((error: unknown) => error);
    assert.ok(error instanceof ProblemError);
    assert.equal(error.retryAfter, 3600);
    assert.equal(fake.seen.length, 1);
});

test('Retry-After may be a date', async () => {
    await using fake = await Fake.answering(
        problem(503, 'unavailable', { 'Retry-After': 'Fri, 31 Dec 2999 23:59:59 GMT' }),
    );
    await assert.rejects(
        async () => new VigilClient(fake.url).getBrake(),
        (error: ProblemError) => (error.retryAfter ?? 0) > 1e9,
    );
});

test('no answer in time is a TimeoutError, after its retries', async () => {
    await using fake = await Fake.answering(nothing);
    const vigil = new VigilClient(fake.url, { timeout: 20, retry: { baseDelay: 1, attempts: 2 } });
    const error = await vigil.health().catch((error: unknown) => error);
    assert.ok(error instanceof TimeoutError && error instanceof ConnectionError && error instanceof VigilError);
    assert.equal(error.name, 'TimeoutError');
    assert.equal(error.attempts, 2);
});

test('the time counts until the whole answer is there', async () => {
    await using fake = await Fake.answering((response) => {
        response.writeHead(200, { 'Content-Type': 'application/json' }).write('{"status":');
    });
    await assert.rejects(
        async () => new VigilClient(fake.url).health({ timeout: 200, retry: { attempts: 1 } }),
        TimeoutError,
    );
});

test('who gives up gets the own reason: before the call, in it, and between two tries', async () => {
    const reason = new Error('enough');
    await using fake = await Fake.answering(nothing);
    const vigil = new VigilClient(fake.url);
    await assert.rejects(async () => vigil.health({ signal: AbortSignal.abort(reason) }), reason);
    assert.equal(fake.seen.length, 0);

    const within = new AbortController();
    const call = vigil.health({ signal: within.signal });
    within.abort(reason);
    await assert.rejects(call, reason);

    const between = new AbortController();
    await using busy = await Fake.answering((response) => {
        problem(503, 'unavailable', { 'Retry-After': '20' })(response);
        response.once('close', () => between.abort(reason));
    });
    await assert.rejects(async () => new VigilClient(busy.url).health({ signal: between.signal }), reason);
    assert.equal(busy.seen.length, 1);
});

test('nobody who listens is a ConnectionError with its cause', async () => {
    const gone = await Fake.answering(nothing);
    const { url } = gone;
    await gone[Symbol.asyncDispose]();
    const error = await new VigilClient(url, { retry: { attempts: 1 } }).health().catch((error: unknown) => error);
    assert.ok(error instanceof ConnectionError && !(error instanceof TimeoutError));
    assert.match(inspect(error.cause), /ECONNREFUSED/);
});

test('redirects are not followed: the key goes only where it was meant to', async () => {
    await using elsewhere = await Fake.answering(answer(200, {}));
    await using fake = await Fake.answering(answer(307, {}, { Location: `${elsewhere.url}/health` }));
    await assert.rejects(
        async () => new VigilClient(fake.url, { apiKey: 'vgl_a_b' }).health(),
        /is baseUrl Vigil's own address/,
    );
    assert.equal(elsewhere.seen.length, 0);
});

test('what is not Vigil is told', async () => {
    await using page = await Fake.answering(answer(200, '<html>', { 'Content-Type': 'text/html' }));
    await assert.rejects(async () => new VigilClient(page.url).health(), /status 200.*is baseUrl Vigil's own address/);
    await using refusal = await Fake.answering(
        answer(403, '<html>', { 'Content-Type': 'text/html', 'X-Request-Id': 'r-9' }),
    );
    const error = await new VigilClient(refusal.url).health().catch((error: unknown) => error);
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.type, error.kind, error.requestId, error.errors], ['about:blank', 'other', 'r-9', []]);
});

test('a health check that fails is an answer, an overload is a problem', async () => {
    const unhealthy = answer(503, { status: 'unhealthy', service: 'ingest' }, { 'Content-Type': 'application/json' });
    await using fake = await Fake.answering(unhealthy, problem(503, 'unavailable'), problem(503, 'unavailable'));
    const vigil = new VigilClient(fake.url, { retry: { attempts: 1 } });
    assert.equal((await vigil.ingestHealth()).status, 'unhealthy');
    await assert.rejects(async () => vigil.ingestHealth(), { kind: 'unavailable' });
    await assert.rejects(async () => vigil.ready(), { kind: 'unavailable' });
});

test('paths and queries are quoted, and the path of baseUrl is kept', async () => {
    await using fake = await Fake.answering(answer(200, { policies: {}, next_cursor: null }));
    const vigil = new VigilClient(`${fake.url}/behind/proxy/`);
    await vigil.getPolicy('a b?%ü#');
    await vigil.query({ metric: 'm&x', tag: ['core=1', 'a=b'], step: undefined });
    assert.deepEqual(
        fake.seen.map(({ path }) => path),
        [
            '/behind/proxy/api/v1/policies/a%20b%3F%25%C3%BC%23',
            '/behind/proxy/api/v1/query?metric=m%26x&tag=core%3D1&tag=a%3Db',
        ],
    );
});

test('the key goes as it is asked to, and is asked for before each try', async () => {
    await using fake = await Fake.answering(problem(503, 'unavailable', { 'Retry-After': '0' }), answer(200, {}));
    let asked = 0;
    await new VigilClient(fake.url, { ...quick, apiKey: async () => `vgl_k_${++asked}` }).health();
    await new VigilClient(fake.url, { apiKey: 'vgl_k_3', keyHeader: 'bearer' }).health({ requestId: 'mine' });
    assert.deepEqual(
        fake.seen.map(({ headers }) => headers['x-api-key'] ?? headers.authorization),
        ['vgl_k_1', 'vgl_k_2', 'Bearer vgl_k_3'],
    );
    assert.equal(fake.seen[2]?.headers['x-request-id'], 'mine');
});

test('no error and no client shows the key', async () => {
    await using fake = await Fake.answering(problem(403, 'forbidden'), breaks);
    const key = 'vgl_secret_hunter2';
    const vigil = new VigilClient(fake.url, { apiKey: key, retry: { attempts: 1 } });
    const shown = [
        vigil,
        await vigil.health().catch((error: unknown) => error),
        await vigil.health().catch((error: unknown) => error),
        await new VigilClient(fake.url, { apiKey: () => `${key}\n` }).health().catch((error: unknown) => error),
        thrown(() => new VigilClient(fake.url, { apiKey: `${key} ` })),
        thrown(() => new VigilClient('http://admin:hunter2@localhost:8000')),
    ];
    for (const one of shown) {
        assert.doesNotMatch(inspect(one, { depth: Infinity, showHidden: true }) + JSON.stringify(one), /hunter2/);
    }
    assert.ok(shown.slice(1).every((error) => error instanceof Error));
});

function thrown(work: () => unknown): unknown {
    try {
        return work();
    } catch (error) {
        return error;
    }
}
