// Every operation of the OpenAPI document has its method, and each of them is called on the real server.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProblemError, VigilClient, type Operations } from '@vigil-rs/client';
import { eventually, KEY, PACKAGE, Server } from './server.js';

type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
type Method = Camel<Extract<keyof Operations, string>>;
/** This compiles only if the client has a method for each operation. */
const CALLS: { [M in Method]: (client: Pick<VigilClient, Method>) => unknown } = {
    health: (vigil) => vigil.health(),
    ready: (vigil) => vigil.ready(),
    metrics: (vigil) => vigil.metrics(),
    openapi: (vigil) => vigil.openapi(),
    settings: (vigil) => vigil.settings(),
    ingestHealth: (vigil) => vigil.ingestHealth(),
    actionsHealth: (vigil) => vigil.actionsHealth(),
    ingest: (vigil) => vigil.ingest({ name: 'cpu', value: 99, tags: { host: 'web-1' }, timestamp: Date.now() / 1000 }),
    ingestBatch: (vigil) =>
        vigil.ingestBatch([
            { name: 'cpu', value: 1, tags: { host: 'web-2' } },
            { name: 'load', value: 2 },
        ]),
    listSeries: (vigil) => vigil.listSeries({ prefix: 'cp', limit: 5 }),
    query: (vigil) => vigil.query({ metric: 'cpu', agg: 'max', step: 60, tag: ['a=b'] }),
    createPolicy: (vigil) =>
        vigil.createPolicy({
            name: 'hot',
            description: 'too warm',
            severity: 'critical',
            target: 'web-*',
            condition: { type: 'all', conditions: [{ type: 'metric_exceeds', metric: 'cpu', threshold: 80 }] },
            for: '1m',
            action: 'scale-up',
            params: { cooldown_seconds: 60, replicas: 3 },
        }),
    listPolicies: (vigil) => vigil.listPolicies(),
    listPoliciesBySeverity: (vigil) => vigil.listPoliciesBySeverity('critical', { limit: 1 }),
    getPolicy: (vigil) => vigil.getPolicy('hot'),
    updatePolicy: (vigil) => vigil.updatePolicy('hot', { for: 0, description: 'too hot' }),
    enablePolicy: (vigil) => vigil.enablePolicy('hot'),
    disablePolicy: (vigil) => vigil.disablePolicy('hot'),
    evaluatePolicies: (vigil) => vigil.evaluatePolicies({ metrics: { cpu: 95 }, target: 'web-1' }),
    reloadPolicies: (vigil) => vigil.reloadPolicies(),
    runnerStatus: (vigil) => vigil.runnerStatus(),
    why: (vigil) => vigil.why({ policy: 'hot', target: 'web-1' }),
    createAction: (vigil) => vigil.createAction({ target: 'web-1', action: 'restart', status: 'running' }),
    listActions: (vigil) => vigil.listActions({ limit: 20, target: 'web-1' }),
    listActionsByStatus: (vigil) => vigil.listActionsByStatus('running', { target: 'web-1' }),
    getAction: (vigil) => vigil.getAction(1),
    recordActionStatus: (vigil) => vigil.recordActionStatus(1, { status: 'running', details: 'still at it' }),
    cancelAction: (vigil) => vigil.cancelAction(1, 'not needed any more'),
    listAudit: (vigil) => vigil.listAudit({ action_id: 1 }),
    listEpisodes: (vigil) => vigil.listEpisodes({ state: 'firing' }),
    getEpisode: (vigil) => vigil.getEpisode(1),
    resetEpisode: (vigil) => vigil.resetEpisode(1, 'have another try'),
    getBrake: (vigil) => vigil.getBrake(),
    setBrake: (vigil) => vigil.setBrake({ state: 'stopped', reason: 'a test', until: '2999-01-01T00:00:00Z' }),
    tenantQueue: (vigil) => vigil.tenantQueue(),
    queueStats: (vigil) => vigil.queueStats(),
    listDeadLetters: (vigil) => vigil.listDeadLetters({ limit: 10 }),
    retryDeadLetter: (vigil) => vigil.retryDeadLetter('task_1'),
    discardDeadLetter: (vigil) => vigil.discardDeadLetter('task_1'),
    purgeDeadLetters: (vigil) => vigil.purgeDeadLetters(86_400),
    createKey: (vigil) => vigil.createKey({ name: 'k', role: 'viewer' }),
    listKeys: (vigil) => vigil.listKeys({ tenant: 'default' }),
    rotateKey: (vigil) => vigil.rotateKey('none', 'default'),
    revokeKey: (vigil) => vigil.revokeKey('none'),
    startSimulator: (vigil) => vigil.startSimulator({ mode: 'STEADY', rate: 60, seed: 1 }),
    simulatorStatus: (vigil) => vigil.simulatorStatus(),
    stopSimulator: (vigil) => vigil.stopSimulator(),
    startSimulatorUi: (vigil) => vigil.startSimulatorUi({ mode: 'CHAOS', failure_rate: 0.5 }),
    simulatorStatusUi: (vigil) => vigil.simulatorStatusUi(),
    stopSimulatorUi: (vigil) => vigil.stopSimulatorUi(),
    deletePolicy: (vigil) => vigil.deletePolicy('hot'),
    events: (vigil) => vigil.events({ kinds: ['action', 'brake'], target: '*', policy: 'hot', after: 1 }).next(),
    websocket: (vigil) => vigil.websocket({ kinds: ['metric'] }).next(),
};

/** Those that this server has nothing for: they show that the right question was asked. */
const PROBLEMS: { [M in Method]?: number } = {
    retryDeadLetter: 404,
    discardDeadLetter: 404,
    rotateKey: 404,
    revokeKey: 404,
    websocket: 0,
};

interface Document {
    paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
}

test('every operation of the document is called, and answers what the document says', async () => {
    await using server = await Server.start({ keys: true, config: 'simulator: { enabled: true }' });
    const golden = JSON.parse(
        await readFile(join(PACKAGE, '../../vigil-http/tests/golden/openapi.json'), 'utf8'),
    ) as Document;
    let last = { method: '', path: '', status: 0 };
    const vigil = new VigilClient(server.url, {
        apiKey: KEY,
        fetch: async (input, init) => {
            const response = await fetch(input, init);
            last = { method: init?.method ?? 'GET', path: new URL(String(input)).pathname, status: response.status };
            return response;
        },
    });

    // An episode to look at.
    await vigil.createPolicy({
        name: 'first',
        action: 'custom',
        condition: { type: 'metric_exceeds', metric: 'first', threshold: 0 },
    });
    await vigil.ingest({ name: 'first', value: 1, tags: { host: 'web-1' } });
    await eventually('there is an episode', async () => (await vigil.listEpisodes()).count > 0);

    const called = new Set<string>();
    for (const [name, call] of Object.entries(CALLS)) {
        const problem = PROBLEMS[name as Method];
        try {
            await call(vigil);
            assert.equal(problem, undefined, `${name} was expected to be refused`);
        } catch (error) {
            if (name === 'websocket') continue; // without headers for the key; live.test.ts has it
            assert.ok(error instanceof ProblemError && error.status === problem, `${name}: ${String(error)}`);
        }
        const operationId = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const [template, operation] = route(golden, last.method, last.path);
        assert.equal(
            operation?.operationId,
            operationId,
            `${name} called ${last.method} ${last.path}, which is ${template}`,
        );
        assert.ok(
            String(last.status) in (operation?.responses ?? {}),
            `${name} was answered ${last.status}, which is not documented`,
        );
        called.add(operationId);
    }

    const all = Object.values(golden.paths).flatMap((methods) =>
        Object.values(methods).map(({ operationId }) => operationId),
    );
    assert.deepEqual(
        all.filter((operation) => !called.has(operation)),
        ['websocket'],
    );
    assert.equal(all.length, Object.keys(CALLS).length);
});

/** The operation of a request: of two templates that fit, that with fewer parts to fill in. */
function route(document: Document, method: string, path: string) {
    const fits = (template: string): boolean => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path);
    const [template = ''] = Object.keys(document.paths)
        .filter(fits)
        .sort((a, b) => a.split('{').length - b.split('{').length);
    return [template, document.paths[template]?.[method.toLowerCase()]] as const;
}
