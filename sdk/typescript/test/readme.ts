import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PACKAGE } from './server.js';

export const run = promisify(execFile);

/** The TypeScript of a page, told to ask `url` in the place of the usual address. */
export async function blocks(page: string, url: string): Promise<string[]> {
    const text = await readFile(join(PACKAGE, page), 'utf8');
    return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block = '']) =>
        block.replaceAll('http://localhost:8000', url),
    );
}

/** Compiles programs in a folder, as strictly as can be. */
export async function compile(folder: string, files: string[], lib: string): Promise<void> {
    const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noUnusedLocals'];
    const options = ['--module', 'nodenext', '--target', 'es2022', '--lib', lib, '--skipLibCheck', 'false', ...strict];
    const tsc = join(PACKAGE, 'node_modules/typescript/bin/tsc');
    const types = lib.includes('dom') ? [] : ['--typeRoots', join(PACKAGE, 'node_modules/@types'), '--types', 'node'];
    await run(process.execPath, [tsc, ...options, ...types, ...files], { cwd: folder }).catch(
        (error: { stdout: string }) => {
            throw new Error(error.stdout);
        },
    );
}
