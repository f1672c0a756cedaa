// The documented integration map: each row is one test.

import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { VigilClient, type Action, type Metric, type NewPolicy, type Policy } from '@vigil-rs/client';
import { eventually, Server } from './server.js';

suite('the integration map', () => {
    let server: Server;
    let vigil: VigilClient;

    before(async () => {
        server = await Server.start();
        vigil = new VigilClient(server.url);
    });
    after(() => server[Symbol.asyncDispose]());

    const policy = (name: string, rest: Partial<NewPolicy> = {}): NewPolicy => ({
        name,
        condition: { type: 'metric_exceeds', metric: 'cpu_percent', threshold: 80 },
        action: 'restart',
        ...rest,
    });

    test('connection badge: the API says that it is healthy', async () => {
        const health = await vigil.health();
        assert.equal(health.status, 'healthy');
        assert.equal(health.service, 'vigil');
    });

    test('activity feed: the newest actions come first, twenty at most', async () => {
        for (let n = 1; n <= 21; n++)
            await vigil.createAction({ target: `feed-${n}`, action: 'restart', status: 'completed' });
        const { actions, count } = await vigil.listActions({ limit: 20 });
        assert.equal(count, 20);
        const newest: Action | undefined = actions[0];
        assert.equal(newest?.target, 'feed-21');
        assert.equal(newest.details, null);
        assert.ok(Date.parse(newest.started_at) > 0);
    });

    test('metric chart: Prometheus text tells of what came in', async () => {
        const metric: Metric = { name: 'chart_metric', value: 1.5, tags: { host: 'chart-1' } };
        await vigil.ingest(metric);
        const text = await eventually('the metric is counted', async () => {
            const text = await vigil.metrics();
            return text.includes('chart_metric') && text;
        });
        assert.match(text, /^# TYPE vigil_requests_total counter$/m);
    });

    test('manual trigger: a restart is carried out', async () => {
        const { ok, action_id } = await vigil.createAction({ target: 'web-service', action: 'restart' });
        assert.equal(ok, true);
        const done = await eventually('it is carried out', async () => {
            const action = await vigil.getAction(action_id);
            return action.status === 'completed' && action;
        });
        assert.equal(done.target, 'web-service');
        assert.match(done.details ?? '', /dry run/);
    });

    test('policy table: policies stand under their names', async () => {
        await vigil.createPolicy(policy('table', { description: 'for the table' }));
        const { policies, total, enabled_count } = await vigil.listPolicies();
        const row: Policy | undefined = policies['table'];
        assert.equal(row?.description, 'for the table');
        assert.ok(total >= 1 && enabled_count >= 1);
    });

    test('policy form: what is made has its defaults, and is there', async () => {
        const made: Policy = await vigil.createPolicy(policy('form', { params: { cooldown_seconds: 60, surge: 2 } }));
        assert.deepEqual(
            { ...made, params: made.params },
            { ...(await vigil.getPolicy('form')), params: { cooldown_seconds: 60, surge: 2 } },
        );
        assert.deepEqual(
            [made.severity, made.target, made.enabled, made.auto_remediate],
            ['warning', 'all', true, false],
        );
    });

    test('policy toggle: off, and on again', async () => {
        await vigil.createPolicy(policy('toggle'));
        const off = await vigil.disablePolicy('toggle');
        assert.equal(off.ok, true);
        assert.ok(off.message.includes('toggle'));
        assert.equal((await vigil.getPolicy('toggle')).enabled, false);
        assert.equal((await vigil.enablePolicy('toggle')).ok, true);
        assert.equal((await vigil.getPolicy('toggle')).enabled, true);
    });

    test('policy sandbox: a violation is told and nothing is done', async () => {
        await vigil.createPolicy(policy('sandbox', { target: 'box-*', severity: 'critical', auto_remediate: true }));
        const { violations, actions_triggered } = await vigil.evaluatePolicies({
            metrics: { cpu_percent: 95 },
            target: 'box-1',
        });
        const violation = violations.find((violation) => violation.policy_name === 'sandbox');
        assert.deepEqual([violation?.severity, violation?.target], ['critical', 'box-1']);
        assert.ok(
            actions_triggered.some((action) => action.policy_name === 'sandbox' && action.status === 'triggered'),
        );
        assert.equal((await vigil.listActions({ target: 'box-1' })).count, 0);
    });

    test('status by type: only the pending ones', async () => {
        await vigil.setBrake({ state: 'stopped', reason: 'so that something stays pending' });
        const { action_id } = await vigil.createAction({ target: 'waits', action: 'snapshot' });
        const { actions } = await vigil.listActionsByStatus('pending');
        assert.deepEqual(
            actions.map((action) => [action.id, action.status]),
            [[action_id, 'pending']],
        );
        await vigil.setBrake({ state: 'released' });
    });

    test('severity filter: only the critical ones', async () => {
        await vigil.createPolicy(policy('mild', { severity: 'info' }));
        await vigil.createPolicy(policy('severe', { severity: 'critical' }));
        const { policies } = await vigil.listPoliciesBySeverity('critical');
        assert.ok('severe' in policies && !('mild' in policies));
        assert.ok(Object.values(policies).every((policy: Policy) => policy.severity === 'critical'));
    });
});
