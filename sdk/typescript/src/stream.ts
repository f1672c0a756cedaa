import type { Attempt } from './attempt.js';
import { ConnectionError } from './errors.js';
import { IDLE_TIMEOUT, type LiveMessage, type LiveOptions } from './live.js';
import type { Call, Transport } from './transport.js';

/** One event of a stream of server-sent events. */
interface ServerSentEvent {
    event: string;
    id: string | undefined;
    data: string;
}

/** The messages of one connection to `/api/v1/events`; fails when it ends. */
export async function* stream(
    transport: Transport,
    query: object,
    options: LiveOptions,
    attempts: number,
): AsyncGenerator<LiveMessage, never, void> {
    const answers = 'text/event-stream';
    const call: Call = {
        method: 'GET',
        path: '/api/v1/events',
        query,
        headers: { Accept: answers },
        answers,
        repeatable: true,
    };
    const attempt = await transport.begin(call, options, attempts);
    try {
        const { body } = await transport.open(attempt);
        if (body !== null) {
            for await (const { event, id, data } of events(
                chunks(body, attempt, options.idleTimeout ?? IDLE_TIMEOUT),
            )) {
                const seq = id === undefined ? {} : { seq: Number(id) };
                yield { type: event, ...seq, data: JSON.parse(data) as unknown } as LiveMessage;
            }
        }
        throw new ConnectionError(attempt, 'the stream has ended');
    } catch (error) {
        throw attempt.explain(error);
    } finally {
        attempt.end();
    }
}

/** The text of a body as it comes, for as long as it never pauses too long. */
async function* chunks(
    body: ReadableStream<Uint8Array>,
    attempt: Attempt,
    idle: number,
): AsyncGenerator<string, void, void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
        attempt.grant(idle);
        const { done, value } = await reader.read();
        // The time that the reader of our messages takes does not count.
        attempt.grant(Infinity);
        if (done) return;
        yield decoder.decode(value, { stream: true });
    }
}

/** What is in a stream of events (HTML, 9.2.6). An event that breaks off is none. */
export async function* events(text: AsyncIterable<string>): AsyncGenerator<ServerSentEvent, void, void> {
    let rest = '';
    let next: ServerSentEvent = { event: '', id: undefined, data: '' };
    for await (const chunk of text) {
        // A line feed that belongs to a carriage return at the end may still come.
        const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
        rest = lines.pop() ?? '';
        for (const line of lines) {
            if (line === '') {
                if (next.data !== '') yield { ...next, event: next.event || 'message', data: next.data.slice(0, -1) };
                next = { event: '', id: undefined, data: '' };
                continue;
            }
            const colon = line.indexOf(':');
            const field = colon < 0 ? line : line.slice(0, colon);
            const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
            if (field === 'event') next.event = value;
            else if (field === 'id') next.id = value;
            else if (field === 'data') next.data += `${value}\n`;
        }
    }
}
