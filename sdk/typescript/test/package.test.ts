// The package, as npm makes it and as whoever installs it finds it.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { blocks, compile, run } from './readme.js';
import { PACKAGE, Server } from './server.js';

test('the package has what it needs, installs in an empty folder, and its first example runs there', async () => {
    const [tarball = ''] = (await readdir(join(PACKAGE, 'test-out'))).filter((name) => name.endsWith('.tgz'));
    const folder = await mkdtemp(join(tmpdir(), 'vigil-package-'));
    try {
        await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
        const options = ['--offline', '--no-audit', '--no-fund', '--loglevel=error'];
        await run('npm', ['install', ...options, join(PACKAGE, 'test-out', tarball)], { cwd: folder });

        const installed = join(folder, 'node_modules/@vigil-rs/client');
        assert.deepEqual(
            await readdir(join(folder, 'node_modules')).then((names) => names.filter((name) => !name.startsWith('.'))),
            ['@vigil-rs'],
        );
        assert.deepEqual((await readdir(installed)).sort(), [
            'LICENSE-APACHE',
            'LICENSE-MIT',
            'README.md',
            'dist',
            'package.json',
            'src',
        ]);
        const { version, dependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Record<
            string,
            unknown
        >;
        assert.equal(dependencies, undefined);
        const workspace = await readFile(join(PACKAGE, '../../Cargo.toml'), 'utf8');
        assert.ok(
            workspace.includes(`\nversion = "${String(version)}"\n`),
            `the package is at ${String(version)}, the workspace is not`,
        );
        for (const file of await readdir(join(installed, 'dist'))) {
            if (!file.endsWith('.js')) continue;
            const code = await readFile(join(installed, 'dist', file), 'utf8');
            assert.doesNotMatch(
                code,
                /from '(?!\.\/)|\brequire\(|\bprocess\.|\bBuffer\b/,
                `${file} is for browsers, too`,
            );
        }

        await using server = await Server.start();
        const [program = ''] = await blocks('README.md', server.url);
        await writeFile(join(folder, 'first.mts'), program);
        await compile(folder, ['first.mts'], 'es2022,dom');
        const { stdout } = await run(process.execPath, ['first.mjs'], { cwd: folder, timeout: 60_000 });
        assert.match(stdout, /action\.completed oven-1\n$/);
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
});
