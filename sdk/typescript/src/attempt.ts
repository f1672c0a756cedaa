import { ConnectionError, TimeoutError, VigilError, type Sent } from './errors.js';
import type { Call } from './transport.js';

/** The longest that timers can wait. */
const LONGEST = 2 ** 31 - 1;

/** One try of a call: the time that it has, the caller's wish to give up, and what its failure means. */
export class Attempt implements Sent {
    readonly #outer: AbortSignal | undefined;
    readonly #controller = new AbortController();
    readonly #forward = (): void => this.#controller.abort(this.#outer?.reason);
    #timer: ReturnType<typeof setTimeout> | undefined;
    #patience = Infinity;
    #isLate = false;

    /**
     * @param patience how many milliseconds it has
     * @param outer the caller's signal, which must not have given up yet
     */
    constructor(
        readonly call: Call,
        readonly attempts: number,
        readonly headers: Headers,
        patience: number,
        outer: AbortSignal | undefined,
    ) {
        this.#outer = outer;
        outer?.addEventListener('abort', this.#forward, { once: true });
        this.grant(patience);
    }

    get method(): string {
        return this.call.method;
    }

    get path(): string {
        return this.call.path;
    }

    /** Ends what the try has begun. */
    get signal(): AbortSignal {
        return this.#controller.signal;
    }

    /** From now on it has so many milliseconds. */
    grant(patience: number): void {
        this.#patience = patience;
        clearTimeout(this.#timer);
        if (patience > LONGEST) return;
        this.#timer = setTimeout(() => {
            this.#isLate = true;
            this.#controller.abort();
        }, patience);
    }

    /** What to tell the caller of whatever went wrong. */
    explain(error: unknown): unknown {
        if (this.#outer?.aborted) return this.#outer.reason;
        if (error instanceof VigilError) return error;
        if (this.#isLate) return new TimeoutError(this, `nothing came for ${this.#patience} ms`);
        return new ConnectionError(this, 'the connection failed', { cause: error });
    }

    /** It is over: what is still open is closed, and nothing is left behind. */
    end(): void {
        clearTimeout(this.#timer);
        this.#outer?.removeEventListener('abort', this.#forward);
        this.#controller.abort();
    }
}
