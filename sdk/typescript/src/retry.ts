import { ConnectionError, ProblemError } from './errors.js';

/** When and how often a call is sent again. */
export interface Retry {
    /** How often it is sent in all; 1 for never again. */
    attempts: number;
    /** Before the second try it waits at most so many milliseconds, before each further one at most twice as long. */
    baseDelay: number;
    /** It never waits longer than so many milliseconds: if the server asks for more, the call fails instead. */
    maxDelay: number;
}

/** Statuses that pass. After them, nobody knows whether it was done. */
const PASSING = [408, 502, 503, 504];

/** Any time up to twice the most of the last one, so that clients do not come back all at once. */
export function backoff(failures: number, retry: Retry): number {
    return Math.random() * Math.min(retry.maxDelay, retry.baseDelay * 2 ** (failures - 1));
}

/** How long to wait before a call may be sent again; nothing if it must not be. */
export function pause(error: unknown, call: { repeatable: boolean }, wait: number, retry: Retry): number | undefined {
    if (error instanceof ConnectionError) return call.repeatable ? wait : undefined;
    if (!(error instanceof ProblemError)) return undefined;
    // Who asks too often is turned away before anything is done.
    const mayPass = error.status === 429 || (call.repeatable && PASSING.includes(error.status));
    const asked = (error.retryAfter ?? 0) * 1000;
    return mayPass && asked <= retry.maxDelay ? Math.max(asked, wait) : undefined;
}

/** Waits, unless the signal says to give up. */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const giveUp = (): void => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener('abort', giveUp);
            resolve();
        }, milliseconds);
        signal?.addEventListener('abort', giveUp, { once: true });
    });
}
