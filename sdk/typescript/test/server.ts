import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const BINARY = process.env['VIGIL_SERVER'] ?? join(PACKAGE, '../../target/debug/examples/server');

/** The admin's key where keys are asked for. */
export const KEY = `vgl_first_${'s3cr3t'.repeat(6)}`;

export interface ServerOptions {
    /** Its configuration file. */
    config?: string;
    /** Whether it asks for keys. */
    keys?: boolean;
}

/** The example server as a process, in a folder of its own, that carries nothing out. */
export class Server implements AsyncDisposable {
    readonly #options: ServerOptions;
    #child: ChildProcess | undefined;
    #port = '0';

    private constructor(
        readonly folder: string,
        options: ServerOptions,
    ) {
        this.#options = options;
    }

    static async start(options: ServerOptions = {}): Promise<Server> {
        const server = new Server(await mkdtemp(join(tmpdir(), 'vigil-sdk-')), options);
        await writeFile(join(server.folder, 'vigil.yaml'), options.config ?? '');
        await server.again();
        return server;
    }

    get url(): string {
        return `http://127.0.0.1:${this.#port}`;
    }

    /** Starts it, on the port and the database that it had. */
    async again(): Promise<void> {
        const args = [
            '--port',
            this.#port,
            '--config',
            'vigil.yaml',
            '--remediator-url',
            'dry-run',
            '--log-format',
            'json',
        ];
        const env =
            this.#options.keys === true
                ? { VIGIL_KEY_PEPPER: 'the pepper of these tests', VIGIL_BOOTSTRAP_KEY: KEY }
                : {};
        const child = spawn(BINARY, args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
        this.#child = child;
        process.once('exit', () => child.kill('SIGKILL'));
        const log: string[] = [];
        createInterface(child.stderr).on('line', (line) => log.push(line));
        this.#port = await new Promise((resolve, reject) => {
            child.once('error', (error) =>
                reject(new Error(`${BINARY} cannot be run; cargo build --examples`, { cause: error })),
            );
            child.once('exit', (status) => reject(new Error(`the server ended with ${status}: ${log.join('\n')}`)));
            createInterface(child.stdout).on('line', (line) => {
                log.push(line);
                const address = /"address":"[^"]*:(\d+)"/.exec(line)?.[1];
                if (address !== undefined) resolve(address);
            });
        });
    }

    /** kill -9: nothing is finished, nothing is closed. */
    async kill(): Promise<void> {
        const child = this.#child;
        if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
    }

    async [Symbol.asyncDispose](): Promise<void> {
        await this.kill();
        await rm(this.folder, { recursive: true, force: true });
    }
}

/** Waits for a value, with a deadline that only a failure reaches. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
    const deadline = Date.now() + 30_000;
    for (;;) {
        const found = await look();
        if (found !== undefined && found !== false) return found;
        if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}
