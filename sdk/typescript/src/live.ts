import { ConnectionError, ProblemError, VigilError } from './errors.js';
import { backoff, sleep, type Retry } from './retry.js';
import type { CallOptions } from './transport.js';

/** What messages can be about. */
export type LiveKind = AuditKind | 'queue' | 'decision' | 'metric';

/** Which messages are wanted; all of them if it says nothing. */
export interface LiveFilter {
    /** Only those of these kinds. */
    kinds?: readonly LiveKind[] | undefined;
    /** Only what is about targets of this pattern. */
    target?: string | undefined;
    /** Only what is about this policy. */
    policy?: string | undefined;
    /** Begins behind the message with this `seq`; now if it does not say. */
    after?: number | undefined;
}

/** How a live view is kept. */
export interface LiveOptions extends CallOptions {
    /**
     * `attempts` counts until the view stands; whenever it breaks after that, it connects anew for as long as it takes.
     */
    retry?: Partial<Retry> | undefined;
    /**
     * After so many milliseconds without a sign of life the connection counts as dead; 45,000 by default. The server
     * gives one every 15 s.
     */
    idleTimeout?: number | undefined;
    /** Called whenever the view breaks, before it connects anew. */
    onDisconnect?: ((reason: VigilError) => void) | undefined;
}

/** The view stands: everything after `seq` follows. It comes first, and again whenever the view had to connect anew. */
export interface ReadyMessage {
    type: 'ready';
    seq: number;
    data: { seq: number };
}

/**
 * This client was too slow, or the server's history is another one: of what has no `seq` something was lost. Read it
 * again.
 */
export interface ResyncMessage {
    type: 'resync';
    seq?: never;
    data: { missed: number };
}

/** What entries of the audit can be about. */
export type AuditKind = 'action' | 'episode' | 'policy' | 'brake' | 'key' | 'dead_letter';

/** An entry of the audit. None is missed and none comes twice, however often the view connects anew. */
export type AuditMessage = { [K in AuditKind]: AuditMessageOf<K> }[AuditKind];

/** An entry of the audit that is about one kind of thing. */
export interface AuditMessageOf<K extends AuditKind> {
    type: K;
    seq: number;
    data: {
        seq: number;
        /** What happened, such as `action.started`: the words before and after the dot. */
        kind: string;
        at: string;
        actor: string;
        action_id: number | null;
        episode_id: number | null;
        policy: string | null;
        target: string | null;
        reason: string | null;
        detail: Record<string, unknown> | null;
    };
}

/** What was decided on a violation; news of this very moment. */
export interface DecisionMessage {
    type: 'decision';
    seq?: never;
    data: {
        policy: string;
        target: string;
        decision: string;
        reason: unknown;
        why: string | null;
        action_id: number | null;
    };
}

/** A sample that came in; news of this very moment. */
export interface MetricMessage {
    type: 'metric';
    seq?: never;
    data: { name: string; value: number; target: string | null; tags: Record<string, string> };
}

/** How the queue stands; news of this very moment. */
export interface QueueMessage {
    type: 'queue';
    seq?: never;
    data: {
        queue_depth: number;
        scheduled: number;
        leased: number;
        dead: number;
        completed: number;
        failed: number;
    };
}

/** One message of a live view. There may be more types in time: leave out what you do not know. */
export type LiveMessage = ReadyMessage | ResyncMessage | AuditMessage | DecisionMessage | MetricMessage | QueueMessage;

/** How long a connection may be silent: three signs of life. */
export const IDLE_TIMEOUT = 45_000;

/**
 * Keeps a view: connects, and whenever that breaks connects anew behind the last message that was given out.
 *
 * @param connect gives the messages of one connection, and fails when it ends
 */
export async function* follow(
    connect: (after: number | undefined, attempts: number) => AsyncIterable<LiveMessage>,
    begin: number | undefined,
    options: LiveOptions,
    retry: Retry,
): AsyncGenerator<LiveMessage, never, void> {
    let after = begin;
    let stood = false;
    let failures = 0;
    for (;;) {
        try {
            for await (const message of connect(after, failures + 1)) {
                failures = 0;
                stood = true;
                after = message.seq ?? after;
                yield message;
            }
        } catch (error) {
            failures += 1;
            const wait = stood || failures < retry.attempts ? anew(error, failures, retry) : undefined;
            if (wait === undefined) throw error;
            options.onDisconnect?.(error as VigilError);
            await sleep(wait, options.signal);
        }
    }
}

/** How long to wait before connecting anew; nothing if that is of no use. */
function anew(error: unknown, failures: number, retry: Retry): number | undefined {
    const wait = backoff(failures, retry);
    if (error instanceof ConnectionError) return wait;
    if (!(error instanceof ProblemError)) return undefined;
    const mayPass = error.status >= 500 || error.status === 429 || error.status === 408;
    return mayPass ? Math.max(wait, (error.retryAfter ?? 0) * 1000) : undefined;
}
