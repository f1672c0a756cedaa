import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
    ConnectionError,
    ProblemError,
    TimeoutError,
    VigilClient,
    VigilError,
    type LiveKind,
    type LiveMessage,
    type Socket,
} from '@vigil-rs/client';
import { breaks, Fake, problem } from './fake.js';
import { KEY, Server } from './server.js';

/** Node's own, from 22 on or with --experimental-websocket; it takes headers. */
const WebSocket = (globalThis as { WebSocket?: new (url: string, options?: object) => Socket }).WebSocket;

/** Messages until one is wanted no more. */
async function take(messages: AsyncIterable<LiveMessage>, until: (message: LiveMessage) => boolean | Promise<boolean>) {
    const taken: LiveMessage[] = [];
    for await (const message of messages) {
        taken.push(message);
        if (await until(message)) break;
    }
    return taken;
}

for (const way of ['events', 'websocket'] as const) {
    suite(
        `live by ${way}`,
        { skip: way === 'websocket' && WebSocket === undefined && 'skipped: no WebSocket before Node 22' },
        () => {
            let server: Server;
            let vigil: VigilClient;

            before(async () => {
                server = await Server.start();
                vigil = new VigilClient(server.url);
                await vigil.createPolicy({
                    name: 'hot',
                    action: 'restart',
                    auto_remediate: true,
                    condition: { type: 'metric_exceeds', metric: 'heat', threshold: 0 },
                });
            });
            after(() => server[Symbol.asyncDispose]());

            test('it says when it stands, and then what happens', async () => {
                const messages = await take(
                    vigil[way]({ kinds: ['action', 'metric', 'decision'] }),
                    async (message) => {
                        if (message.type === 'ready')
                            await vigil.ingest({ name: 'heat', value: 9, tags: { host: 'oven', rack: '4' } });
                        return message.type === 'action' && message.data.kind === 'action.completed';
                    },
                );
                assert.equal(messages[0]?.type, 'ready');
                const metric = messages.find((message) => message.type === 'metric');
                assert.deepEqual(metric?.data, {
                    name: 'heat',
                    value: 9,
                    target: 'oven',
                    tags: { host: 'oven', rack: '4' },
                });
                const decision = messages.find((message) => message.type === 'decision');
                assert.deepEqual(
                    [decision?.data.policy, decision?.data.target, decision?.data.decision],
                    ['hot', 'oven', 'act'],
                );
                const actions = messages.filter((message) => message.type === 'action');
                assert.ok(actions.length >= 3);
                for (const { seq, data } of actions) {
                    assert.equal(seq, data.seq);
                    assert.deepEqual([data.target, data.policy, typeof data.action_id], ['oven', 'hot', 'number']);
                }
            });

            test('only what was asked for comes', async () => {
                const filter = { kinds: ['action', 'brake'] as LiveKind[], target: 'wanted-*' };
                const messages = await take(vigil[way](filter), async (message) => {
                    if (message.type === 'ready') {
                        for (const target of ['other', 'wanted-1', 'wanted-2']) {
                            await vigil.createAction({ target, action: 'restart', status: 'completed' });
                        }
                    }
                    return message.type === 'action' && message.data.target === 'wanted-2';
                });
                const targets = messages.flatMap((message) => (message.type === 'action' ? [message.data.target] : []));
                assert.deepEqual([...new Set(targets)], ['wanted-1', 'wanted-2']);
            });

            test('it begins behind what was seen before', async () => {
                const { entries } = await vigil.listAudit({ limit: 500 });
                const seqs = entries.map((entry) => entry.seq).sort((a, b) => Number(a) - Number(b));
                const begin = seqs[2] ?? NaN;
                const messages = await take(
                    vigil[way]({ after: Number(begin) }),
                    (message) => message.seq === seqs.at(-1),
                );
                assert.deepEqual(messages.map((message) => message.seq).slice(0, 3), [begin, seqs[3], seqs[4]]);
            });

            test('a place that the history does not reach is told as resync', async () => {
                const [ready, resync] = await take(
                    vigil[way]({ after: 1_000_000 }),
                    (message) => message.type === 'resync',
                );
                assert.equal(ready?.type, 'ready');
                assert.deepEqual(resync, { type: 'resync', data: { missed: 0 } });
            });

            test('who gives up gets the own reason', async () => {
                const controller = new AbortController();
                const reason = new Error('enough');
                const watch = take(vigil[way]({ kinds: ['key'] }, { signal: controller.signal }), (message) => {
                    if (message.type === 'ready') setImmediate(() => controller.abort(reason));
                    return false;
                });
                await assert.rejects(watch, reason);
            });

            test('a wrong filter is a problem, and it is not tried again', async () => {
                await assert.rejects(
                    take(vigil[way]({ kinds: ['weather' as 'metric'] }), () => false),
                    { status: 400, kind: 'unknown-value' },
                );
            });

            test('nobody who listens is an error, after some tries', async () => {
                const nowhere = new VigilClient('http://127.0.0.1:9', { retry: { attempts: 2, baseDelay: 1 } });
                const reasons: VigilError[] = [];
                const view = nowhere[way]({}, { onDisconnect: (reason) => reasons.push(reason) });
                await assert.rejects(
                    take(view, () => false),
                    (error: VigilError) => error instanceof ConnectionError && error.attempts === 2,
                );
                assert.equal(reasons.length, 1);
            });
        },
    );
}

test(
    'a WebSocket carries the key where it can, and says so where it cannot',
    { skip: WebSocket === undefined },
    async () => {
        await using server = await Server.start({ keys: true });
        const vigil = new VigilClient(server.url, { apiKey: KEY });
        await assert.rejects(vigil.websocket().next(), /give the option webSocket, or take events/);
        const view = vigil.websocket({}, { webSocket: (url, headers) => new WebSocket!(url, { headers }) });
        assert.equal((await view.next()).value.type, 'ready');
        const stranger = new VigilClient(server.url).websocket();
        await assert.rejects(stranger.next(), { status: 401 });
        await view.return(undefined as never);
    },
);

test('a reader that is too slow for a WebSocket loses nothing that has a seq', async () => {
    const places: string[] = [];
    /** Sends up to 12,000 messages at once, from where it is asked to. */
    const flood = (url: string): Socket => {
        const place = new URL(url).searchParams.get('after');
        places.push(String(place));
        return {
            addEventListener(type, listener) {
                if (type === 'open') queueMicrotask(() => listener({}));
                if (type !== 'message') return;
                queueMicrotask(() => {
                    for (let seq = Number(place) + 1; seq <= 12_000; seq++) {
                        listener({ data: JSON.stringify({ type: 'action', seq, data: {} }) });
                    }
                });
            },
            close() {},
        };
    };
    const vigil = new VigilClient('http://localhost:8000', { retry: { baseDelay: 1 } });
    const messages = await take(vigil.websocket({}, { webSocket: flood }), (message) => message.seq === 12_000);
    assert.deepEqual(
        messages.map(({ seq }) => seq),
        Array.from({ length: 12_000 }, (_, n) => n + 1),
    );
    assert.deepEqual(places, ['null', '10000']);
});

test('a stream that is silent for too long counts as dead', async () => {
    await using fake = await Fake.answering((response, request) => {
        const seq = request.url?.endsWith('after=7') ? 8 : 7;
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write(`event: ready\nid: ${seq}\ndata: {"seq":${seq}}\n\n`);
    });
    const reasons: VigilError[] = [];
    const vigil = new VigilClient(fake.url, { retry: { baseDelay: 1 } });
    const view = vigil.events({}, { idleTimeout: 300, onDisconnect: (reason) => reasons.push(reason) });
    const messages = await take(view, (message) => message.seq === 8);
    assert.deepEqual([messages[0]?.seq, messages.at(-1)?.seq], [7, 8]);
    assert.ok(reasons.length > 0 && reasons.every((reason) => reason instanceof TimeoutError));
});

test('what breaks off in the middle of an event is asked for again', async () => {
    const head = { 'Content-Type': 'text/event-stream' };
    await using fake = await Fake.answering(
        (response) => {
            response.writeHead(200, head);
            const text =
                'event: ready\nid: 1\ndata: {"seq":1}\n\nevent: action\nid: 2\ndata: {"seq":2}\n\nevent: action\nid: 3\ndata: {"s';
            response.write(text, () => response.destroy());
        },
        breaks,
        problem(503, 'unavailable', { 'Retry-After': '0' }),
        problem(500, 'internal'),
        (response) => response.writeHead(200, head).write('event: action\nid: 3\ndata: {"seq":3}\n\n'),
    );
    const view = new VigilClient(fake.url, { retry: { baseDelay: 1 } }).events();
    const messages = await take(view, (message) => message.seq === 3);
    assert.deepEqual(
        messages.map(({ seq }) => seq),
        [1, 2, 3],
    );
    assert.deepEqual(fake.seen.map(({ path }) => path).slice(1), Array(4).fill('/api/v1/events?after=2'));
});

test('a view that never stood fails as a call does', async () => {
    await using fake = await Fake.answering(problem(503, 'unavailable', { 'Retry-After': '0' }));
    const view = new VigilClient(fake.url, { retry: { baseDelay: 1, attempts: 3 } }).events();
    await assert.rejects(view.next(), (error: ProblemError) => error.status === 503 && error.attempts === 3);
});

test('leaving the loop closes the connection', async () => {
    let closed: (() => void) | undefined;
    const isClosed = new Promise<void>((resolve) => (closed = resolve));
    await using fake = await Fake.answering((response) => {
        response.once('close', () => closed?.());
        response
            .writeHead(200, { 'Content-Type': 'text/event-stream' })
            .write('event: ready\nid: 1\ndata: {"seq":1}\n\n');
    });
    await take(new VigilClient(fake.url).events(), () => true);
    await isClosed;
});
