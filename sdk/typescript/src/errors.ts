import type { Schemas } from './types.js';

/** Which call went wrong, and how often it was sent. */
export interface Sent {
    /** `GET`, `POST`, `PUT` or `DELETE`. */
    readonly method: string;
    /** The path, without the query. */
    readonly path: string;
    /** How often it was sent. Above 1, an earlier one may have had its effect although its answer was lost. */
    readonly attempts: number;
}

/** Anything that goes wrong between this client and Vigil. No error holds the API key. */
export class VigilError extends Error {
    override readonly name: string = 'VigilError';
    readonly method: string;
    readonly path: string;
    /** How often it was sent. Above 1, an earlier one may have had its effect although its answer was lost. */
    readonly attempts: number;

    constructor(sent: Sent, what: string, options?: { cause: unknown }) {
        super(`${sent.method} ${sent.path}: ${what}`, options);
        this.method = sent.method;
        this.path = sent.path;
        this.attempts = sent.attempts;
    }
}

/** The words that end a problem's type. There may be more in time. */
export type ProblemKind =
    | 'malformed'
    | 'unknown-value'
    | 'unauthenticated'
    | 'forbidden'
    | 'not-found'
    | 'method-not-allowed'
    | 'duplicate'
    | 'conflict'
    | 'stale'
    | 'slow-body'
    | 'too-large'
    | 'unsupported-media-type'
    | 'upgrade-required'
    | 'invalid'
    | 'too-many'
    | 'internal'
    | 'unavailable'
    | 'timed-out'
    | 'other';

/** What is wrong with one field. */
export type ProblemField = Schemas['ProblemField'];

/** The server answered that it will not, or cannot: its problem document (RFC 9457). */
export class ProblemError extends VigilError {
    override readonly name = 'ProblemError';
    /** The HTTP status. */
    readonly status: number;
    /** `urn:vigil:problem:` and the kind; `about:blank` when something before the server answered. */
    readonly type: string;
    /** The last word of the type: what to tell problems apart by. */
    readonly kind: ProblemKind | (string & {});
    /** The kind in words. */
    readonly title: string;
    /** One sentence for people. */
    readonly detail: string;
    /** What is wrong with which field; empty when it is about none. */
    readonly errors: readonly ProblemField[];
    /** What to look for in the server's log. */
    readonly requestId: string | null;
    /** After how many seconds it may be tried again, if the server says. */
    readonly retryAfter: number | null;

    constructor(sent: Sent, answer: { status: number; statusText: string; headers: Headers }, body: unknown) {
        const problem = isObject(body) ? body : {};
        const { status, statusText, headers } = answer;
        const title = text(problem['title']) ?? (statusText || 'Error');
        const detail = text(problem['detail']) ?? 'What answered gave no problem document: it may not be Vigil.';
        super(sent, `${status} ${title}: ${detail}`);
        this.status = status;
        this.type = text(problem['type']) ?? 'about:blank';
        this.kind = this.type.startsWith(PREFIX) ? this.type.slice(PREFIX.length) : 'other';
        this.title = title;
        this.detail = detail;
        this.errors = Array.isArray(problem['errors']) ? (problem['errors'] as ProblemField[]) : [];
        this.requestId = text(problem['request_id']) ?? headers.get('X-Request-Id');
        this.retryAfter = seconds(headers.get('Retry-After'));
    }
}

/** There was no answer, or it broke off: nobody listens there, the network failed, a page's origin is not allowed. */
export class ConnectionError extends VigilError {
    override readonly name: string = 'ConnectionError';
}

/** There was no answer in time. */
export class TimeoutError extends ConnectionError {
    override readonly name = 'TimeoutError';
}

const PREFIX = 'urn:vigil:problem:';

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Seconds or a date (RFC 9110). */
function seconds(retryAfter: string | null): number | null {
    if (retryAfter === null) return null;
    if (/^\d+$/.test(retryAfter.trim())) return Number(retryAfter);
    const until = Date.parse(retryAfter);
    return Number.isNaN(until) ? null : Math.max(0, Math.ceil((until - Date.now()) / 1000));
}
