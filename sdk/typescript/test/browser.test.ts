// A page in Chromium, from another origin than the server's, with a key.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { VigilClient } from '@vigil-rs/client';
import { eventually, KEY, PACKAGE, Server } from './server.js';

const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome']
    .map((name) => join('/usr/bin', name))
    .find((path) => existsSync(path));

const page = (url: string, apiKey: string): string => `<!doctype html><title>Vigil</title><script type="module">
    import { VigilClient } from '/dist/index.js';
    const tell = (what) => fetch('/told', { method: 'POST', body: JSON.stringify(what) });
    try {
        const vigil = new VigilClient(${JSON.stringify(url)}, { apiKey: ${JSON.stringify(apiKey)}, retry: { baseDelay: 50 } });
        const targets = [];
        for await (const action of vigil.listActions({ limit: 1 })) targets.push(action.target);
        await tell({ targets });
        for await (const message of vigil.events({ kinds: ['action'] })) {
            await tell({ type: message.type, seq: message.seq, target: message.data.target });
            if (targets.length > 2 || message.type !== 'ready') continue;
            targets.push('from-the-page');
            await vigil.createAction({ target: 'from-the-page', action: 'restart', status: 'completed' });
        }
    } catch (error) {
        await tell({ error: String(error), cause: String(error.cause) });
    }
</script>`;

test(
    'a page lists actions, makes one, and follows what happens through a restart',
    { skip: CHROMIUM ? false : 'skipped: no Chromium' },
    async () => {
        const told: Record<string, unknown>[] = [];
        let html = '';
        const site = createServer(async (request, response) => {
            if (request.method === 'POST') {
                let body = '';
                for await (const chunk of request) body += chunk;
                told.push(JSON.parse(body) as Record<string, unknown>);
                response.end();
            } else if (request.url?.startsWith('/dist/')) {
                const code = await readFile(join(PACKAGE, 'dist', basename(request.url)));
                response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(code);
            } else {
                response.writeHead(200, { 'Content-Type': 'text/html' }).end(html);
            }
        });
        site.listen(0, '127.0.0.1');
        await once(site, 'listening');
        const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;

        await using server = await Server.start({ keys: true, config: `cors_origins: ["${origin}"]` });
        const admin = new VigilClient(server.url, { apiKey: KEY });
        for (const target of ['a', 'b']) await admin.createAction({ target, action: 'restart', status: 'completed' });
        html = page(server.url, (await admin.createKey({ name: 'page', role: 'operator' })).key);

        const profile = await mkdtemp(join(tmpdir(), 'vigil-chromium-'));
        const quiet = [
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-dev-shm-usage',
        ];
        const browser = spawn(CHROMIUM ?? '', [...quiet, `--user-data-dir=${profile}`, origin], { stdio: 'ignore' });
        const saw = (target: string): Promise<boolean> =>
            eventually(`the page sees ${target} among ${JSON.stringify(told)}`, async () => {
                assert.ok(!told.some((one) => 'error' in one), JSON.stringify(told));
                return told.some((one) => one['type'] === 'action' && one['target'] === target);
            });
        try {
            await saw('from-the-page');
            assert.deepEqual(told[0], { targets: ['b', 'a'] });
            await server.kill();
            await server.again();
            await admin.createAction({ target: 'after-the-restart', action: 'restart', status: 'completed' });
            await saw('after-the-restart');
            const seqs = told.filter((one) => one['type'] === 'action').map((one) => one['seq']);
            assert.equal(new Set(seqs).size, seqs.length, 'nothing comes twice');
        } finally {
            browser.kill('SIGKILL');
            await once(browser, 'exit');
            site.closeAllConnections();
            site.close();
            await rm(profile, { recursive: true, force: true, maxRetries: 10 });
        }
    },
);
