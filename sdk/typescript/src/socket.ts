import type { Attempt } from './attempt.js';
import { ConnectionError, ProblemError, VigilError } from './errors.js';
import type { LiveMessage, LiveOptions } from './live.js';
import type { Call, Transport } from './transport.js';

/** What is needed of a WebSocket. */
export interface Socket {
    addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: any) => void): void;
    close(): void;
}

/** How a live view over a WebSocket is kept. */
export interface SocketOptions extends LiveOptions {
    /**
     * What connects in the place of the global `WebSocket`, with the headers of the API key: needed where there is a
     * key, because those of browsers take no headers. Node's from 22 on do:
     * `(url, headers) => new WebSocket(url, { headers })`.
     */
    webSocket?: ((url: string, headers: Record<string, string>) => Socket) | undefined;
}

/**
 * How many messages may wait for a slow reader before it is as if the connection had broken: nothing that has a `seq`
 * is lost.
 */
const MOST_WAITING = 10_000;

/** The messages of one connection to `/api/v1/ws`; fails when it ends. */
export async function* socket(
    transport: Transport,
    query: object,
    options: SocketOptions,
    attempts: number,
): AsyncGenerator<LiveMessage, never, void> {
    const call: Call = { method: 'GET', path: '/api/v1/ws', query, answers: 'application/json', repeatable: true };
    const attempt = await transport.begin(call, options, attempts);
    const waiting: LiveMessage[] = [];
    let [stood, ended, wake] = [false, false, (): void => {}];
    const end = (): void => {
        ended = true;
        wake();
    };
    let connection: Socket | undefined;
    try {
        const headers = Object.fromEntries(attempt.headers);
        const connect = options.webSocket ?? plain(headers);
        if (connect === undefined) throw new VigilError(attempt, NEEDS_ONE);
        connection = connect(transport.url(call).replace(/^http/, 'ws'), headers);
        attempt.signal.addEventListener('abort', end);
        connection.addEventListener('close', end);
        connection.addEventListener('error', end);
        connection.addEventListener('open', () => {
            stood = true;
            attempt.grant(Infinity);
        });
        connection.addEventListener('message', ({ data }: { data: string }) => {
            if (ended) return;
            waiting.push(JSON.parse(data) as LiveMessage);
            if (waiting.length === MOST_WAITING) end();
            wake();
        });
        while (waiting.length > 0 || !ended) {
            attempt.signal.throwIfAborted();
            const message = waiting.shift();
            if (message !== undefined) yield message;
            else await new Promise<void>((resolve) => (wake = resolve));
        }
        attempt.signal.throwIfAborted();
        if (!stood) await refusal(transport, attempt);
        throw new ConnectionError(attempt, 'the WebSocket has ended');
    } catch (error) {
        throw attempt.explain(error);
    } finally {
        attempt.end();
        connection?.close();
    }
}

const NEEDS_ONE = 'there is no global WebSocket that takes the key: give the option webSocket, or take events()';

/** The global one, where it is enough. */
function plain(headers: Record<string, string>): ((url: string) => Socket) | undefined {
    if (Object.keys(headers).length > 0 || globalThis.WebSocket === undefined) return undefined;
    return (url) => new WebSocket(url);
}

/** A WebSocket does not say why it was refused. The same request without one does. */
async function refusal(transport: Transport, attempt: Attempt): Promise<void> {
    try {
        await transport.open(attempt);
    } catch (error) {
        // All was well but that it is no WebSocket.
        if (!(error instanceof ProblemError && error.status === 426)) throw error;
    }
}
