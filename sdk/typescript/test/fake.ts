import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';

/** What a request was. */
export interface Seen {
    method: string;
    path: string;
    headers: IncomingMessage['headers'];
    body: string;
}

/**
 * A server for faults that the real one cannot be asked for: the nth request is answered by the nth answer, or else by
 * the last.
 */
export class Fake implements AsyncDisposable {
    readonly seen: Seen[] = [];
    readonly #server;

    private constructor(answers: ((response: ServerResponse, request: IncomingMessage) => void)[]) {
        this.#server = createServer((request, response) => {
            let body = '';
            request.on('data', (chunk) => (body += chunk));
            request.on('end', () => {
                this.seen.push({
                    method: request.method ?? '',
                    path: request.url ?? '',
                    headers: request.headers,
                    body,
                });
                answers[Math.min(this.seen.length, answers.length) - 1]?.(response, request);
            });
        });
    }

    static async answering(
        ...answers: ((response: ServerResponse, request: IncomingMessage) => void)[]
    ): Promise<Fake> {
        const fake = new Fake(answers);
        fake.#server.listen(0, '127.0.0.1');
        await once(fake.#server, 'listening');
        return fake;
    }

    get url(): string {
        return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    }

    async [Symbol.asyncDispose](): Promise<void> {
        this.#server.close();
        this.#server.closeAllConnections();
    }
}

/** An answer in JSON. */
export function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
    const type = status < 400 ? 'application/json' : 'application/problem+json';
    return (response: ServerResponse): void => {
        response.writeHead(status, { 'Content-Type': type, ...headers }).end(JSON.stringify(body));
    };
}

/** A problem document. */
export function problem(status: number, kind: string, headers: Record<string, string> = {}) {
    const body = { type: `urn:vigil:problem:${kind}`, title: kind, status, detail: 'So it is.', request_id: 'r-1' };
    return answer(status, body, headers);
}

/** The connection breaks before an answer. */
export function breaks(response: ServerResponse): void {
    response.destroy();
}

/** The connection breaks in the middle of the answer. */
export function breaksWithin(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
    response.write('{"ok": tr', () => response.destroy());
}

/** There is never an answer. */
export function nothing(): void {}
