import { Attempt } from './attempt.js';
import { ProblemError, VigilError } from './errors.js';
import { backoff, pause, sleep, type Retry } from './retry.js';

/** What a client is told once, for all its calls. */
export interface ClientOptions {
    /** The API key, or what gives it before each request, so that it can be rotated while the client lives. */
    apiKey?: string | (() => string | Promise<string>) | undefined;
    /** How the key is sent: as `X-API-Key`, which is the default, or as `Authorization: Bearer`. */
    keyHeader?: 'x-api-key' | 'bearer' | undefined;
    /**
     * How many milliseconds one try may take, its answer's body included; 30,000 by default, `Infinity` for no bound.
     */
    timeout?: number | undefined;
    /** 4 attempts, 500 ms doubling to 30 s, by default. */
    retry?: Partial<Retry> | undefined;
    /** What sends requests in the place of the global `fetch`. */
    fetch?: typeof globalThis.fetch | undefined;
}

/** What one call is told. */
export interface CallOptions {
    /** Gives the call up, its retries included: it is then rejected with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** As the client's, for this call. */
    timeout?: number | undefined;
    /** As the client's, for this call. */
    retry?: Partial<Retry> | undefined;
    /** Names the request in the answer, in errors and in the server's log: 1 to 128 visible ASCII characters. */
    requestId?: string | undefined;
}

/** A request, before it is sent. */
export interface Call {
    method: 'GET' | 'POST' | 'PUT' | 'DELETE';
    path: string;
    query?: object;
    headers?: Record<string, string>;
    /** JSON; the same text each time, which is what an idempotency key holds for. */
    body?: string;
    /** The content type of its answer. */
    answers: 'application/json' | 'text/plain' | 'text/event-stream';
    /** Whether a second time has no effect of its own. */
    repeatable: boolean;
    /** Whether a 503 can be an answer, not a problem: that of a health check. */
    unhealthyAnswers?: boolean;
}

const RETRY: Retry = { attempts: 4, baseDelay: 500, maxDelay: 30_000 };
const TIMEOUT = 30_000;

/** Sends requests: where to, with which key, for how long, how often. */
export class Transport {
    readonly #base: string;
    readonly #options: ClientOptions;

    constructor(baseUrl: string | URL, options: ClientOptions) {
        const base = new URL(baseUrl, globalThis.location?.href);
        if (base.username !== '' || base.password !== '') {
            throw new TypeError('baseUrl must hold no user and no password: the key is the option apiKey');
        }
        if (typeof options.apiKey === 'string') checked(options.apiKey);
        this.#base = base.origin + base.pathname.replace(/\/+$/, '');
        this.#options = options;
    }

    /** The address of a call. */
    url({ path, query = {} }: Call): string {
        const search = new URLSearchParams();
        for (const [name, value] of Object.entries(query)) {
            for (const one of Array.isArray(value) ? value : [value]) {
                if (one !== undefined && one !== null) search.append(name, String(one));
            }
        }
        return this.#base + path + (search.size > 0 ? `?${search}` : '');
    }

    /** When a call is sent again. */
    retry(options: CallOptions): Retry {
        return { ...RETRY, ...this.#options.retry, ...options.retry };
    }

    /** Sends a call, again where that is safe, and gives what `read` makes of its answer. */
    async send<T>(
        call: Call,
        options: CallOptions,
        read: (response: Response, attempt: Attempt) => Promise<T>,
    ): Promise<T> {
        const retry = this.retry(options);
        for (let attempts = 1; ; attempts++) {
            const attempt = await this.begin(call, options, attempts);
            try {
                return await read(await this.open(attempt), attempt);
            } catch (caught) {
                const error = attempt.explain(caught);
                const wait =
                    attempts < retry.attempts ? pause(error, call, backoff(attempts, retry), retry) : undefined;
                if (wait === undefined) throw error;
                await sleep(wait, options.signal);
            } finally {
                attempt.end();
            }
        }
    }

    /** Prepares a try. Whoever begins one ends it. */
    async begin(call: Call, options: CallOptions, attempts: number): Promise<Attempt> {
        const headers = new Headers({ ...call.headers, ...(await this.#credentials()) });
        if (call.body !== undefined) headers.set('Content-Type', 'application/json');
        if (options.requestId !== undefined) headers.set('X-Request-Id', options.requestId);
        options.signal?.throwIfAborted();
        return new Attempt(
            call,
            attempts,
            headers,
            options.timeout ?? this.#options.timeout ?? TIMEOUT,
            options.signal,
        );
    }

    /** Sends a call once. Its answer is open until the attempt ends. */
    async open(attempt: Attempt): Promise<Response> {
        const { call, headers, signal } = attempt;
        // Redirects would take the key wherever they say.
        const init: RequestInit = { method: call.method, headers, signal, redirect: 'manual', cache: 'no-store' };
        if (call.body !== undefined) init.body = call.body;
        const send = this.#options.fetch ?? globalThis.fetch;
        const response = await send(this.url(call), init);
        const answers = response.ok || (call.unhealthyAnswers === true && response.status === 503);
        if (answers && has(response, call.answers)) return response;
        if (response.ok || response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) {
            throw new VigilError(
                attempt,
                `this is not Vigil's answer (status ${response.status}): is baseUrl Vigil's own address?`,
            );
        }
        throw new ProblemError(attempt, response, await problem(response));
    }

    async #credentials(): Promise<Record<string, string>> {
        const { apiKey, keyHeader } = this.#options;
        if (apiKey === undefined) return {};
        const key = checked(typeof apiKey === 'string' ? apiKey : await apiKey());
        return keyHeader === 'bearer' ? { Authorization: `Bearer ${key}` } : { 'X-API-Key': key };
    }
}

function has(response: Response, type: string): boolean {
    return response.headers.get('Content-Type')?.toLowerCase().startsWith(type) === true;
}

/** The problem document, or nothing if there is none. */
async function problem(response: Response): Promise<unknown> {
    const text = await response.text();
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

function checked(key: string): string {
    // Otherwise fetch would refuse the header with an error that shows it.
    if (!/^[!-~]+$/.test(key))
        throw new TypeError('apiKey must be visible ASCII characters, without a space or a line break');
    return key;
}
