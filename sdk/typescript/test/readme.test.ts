// What the pages say runs as it stands, in the order in which it stands there.

import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { VigilClient } from '@vigil-rs/client';
import { blocks, compile, run } from './readme.js';
import { PACKAGE, Server } from './server.js';

test('the programs of both READMEs compile and run', async () => {
    await using own = await Server.start();
    await using root = await Server.start();
    // Within the package, so that its name is the package itself.
    const folder = join(PACKAGE, 'test-out/readme');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    const programs = [];
    const pages = [
        { name: 'own', page: 'README.md', server: own, least: 5 },
        { name: 'root', page: '../../README.md', server: root, least: 1 },
    ];
    for (const { name, page, server, least } of pages) {
        const texts = await blocks(page, server.url);
        assert.ok(texts.length >= least, `${page} has ${texts.length} programs`);
        for (const [n, text] of texts.entries()) {
            await writeFile(join(folder, `${name}-${n + 1}.mts`), text);
            programs.push(`${name}-${n + 1}`);
        }
    }
    await compile(
        folder,
        programs.map((name) => `${name}.mts`),
        'es2022',
    );
    for (const name of programs) {
        const { stdout, stderr } = await run(process.execPath, [`${name}.mjs`], { cwd: folder, timeout: 60_000 });
        assert.equal(stderr, '', name);
        assert.notEqual(stdout, '', name);
    }
    for (const { url } of [own, root]) {
        assert.ok((await new VigilClient(url).listActions()).actions.length > 0, 'the first program acts');
    }
});
