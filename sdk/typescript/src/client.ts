import { Listing, type Page } from './listing.js';
import { follow, type LiveFilter, type LiveMessage, type LiveOptions } from './live.js';
import type { paths } from './openapi.js';
import { socket, type SocketOptions } from './socket.js';
import { stream } from './stream.js';
import { Transport, type Call, type CallOptions, type ClientOptions } from './transport.js';
import type * as T from './types.js';

type Method = 'get' | 'post' | 'put' | 'delete';
type Operation<M extends Method, P extends keyof paths> = NonNullable<paths[P][M]>;
/** What an operation answers when all is well. */
type Answer<O> = O extends { responses: infer R } ? JsonOf<R[Extract<keyof R, 200 | 201>]> : never;
type JsonOf<A> = A extends { content: { 'application/json': infer J } } ? J : never;
/** What an operation is told, as the OpenAPI document has it. */
type Input<O> = Parts<O> &
    Search<O> &
    Body<O> &
    Pick<Call, 'headers'> &
    Partial<Pick<Call, 'repeatable' | 'unhealthyAnswers'>>;
type Parts<O> = O extends { parameters: { path: infer P } } ? { parts: P } : { parts?: never };
type Body<O> = O extends { requestBody?: { content: { 'application/json': infer B } } }
    ? { body?: B | undefined }
    : { body?: never };
type Search<O> = O extends { parameters: { query?: infer Q } } ? { query?: Loose<NonNullable<Q>> } : { query?: never };
type Loose<Q> = { [K in keyof Q]: Q[K] | undefined };
/** The parameters of a list, the page's own among them. */
type Filter<P extends keyof paths> = NonNullable<Search<Operation<'get', P>>['query']>;
type ListPage<P extends keyof paths> = Answer<Operation<'get', P>> & Page;

/** A call that its idempotency key makes safe to repeat. */
export interface KeyedOptions extends CallOptions {
    /**
     * Within 24 hours the same key and body get the first answer again, and nothing is done twice. Each call has a key
     * of its own if this gives none; give one that outlives your program if that may stop in the middle and try again.
     */
    idempotencyKey?: string | undefined;
}

/** A change of what was read before. */
export interface RevisionOptions extends CallOptions {
    /**
     * The `revision` that was read: if there is a newer one, the call fails with the kind `stale` and changes nothing.
     */
    ifMatch?: number | undefined;
}

/**
 * Vigil's API. There is one method for each operation of its OpenAPI document, named by the operation's id; fields and
 * values are those of the wire.
 *
 * Every method fails with a {@link VigilError}: a {@link ProblemError} if the server says why, a {@link
 * ConnectionError} if there is no answer; or with the signal's reason if the caller gave up.
 */
export class VigilClient {
    readonly #transport: Transport;

    /**
     * @param baseUrl where Vigil is, such as `http://localhost:8000`; with a path if a proxy puts one in front
     * @throws TypeError if it is no address, or if the key cannot be one
     */
    constructor(baseUrl: string | URL, options: ClientOptions = {}) {
        this.#transport = new Transport(baseUrl, options);
    }

    // Health

    /** Whether the process answers. */
    health(options?: CallOptions): Promise<T.Schemas['Health']> {
        return this.#call('get', '/health', {}, options);
    }

    /** What the server depends on. `not_ready`, when the store or the queue is down, is an answer and no error. */
    ready(options?: CallOptions): Promise<T.Schemas['Readiness']> {
        return this.#call('get', '/ready', { unhealthyAnswers: true }, options);
    }

    /** Whether samples can be taken. `unhealthy`, when the store is down, is an answer and no error. */
    ingestHealth(options?: CallOptions): Promise<T.Schemas['ServiceHealth']> {
        return this.#call('get', '/api/v1/ingest/health', { unhealthyAnswers: true }, options);
    }

    /** Whether there is a way to actions. `unhealthy`, when the store is down, is an answer and no error. */
    actionsHealth(options?: CallOptions): Promise<T.Schemas['ServiceHealth']> {
        return this.#call('get', '/api/v1/actions/health', { unhealthyAnswers: true }, options);
    }

    /** The server's own metrics, in the text format of Prometheus. */
    metrics(options: CallOptions = {}): Promise<string> {
        const call: Call = { method: 'GET', path: '/metrics', answers: 'text/plain', repeatable: true };
        return this.#transport.send(call, options, (response) => response.text());
    }

    /** The OpenAPI document. */
    openapi(options?: CallOptions): Promise<T.Schemas['OpenApi']> {
        return this.#call('get', '/openapi.json', {}, options);
    }

    /** The effective configuration, without its secrets. */
    settings(options?: CallOptions): Promise<T.Schemas['SettingsShown']> {
        return this.#call('get', '/api/v1/settings', {}, options);
    }

    // Samples

    /** Sends a sample. Once answered, it is committed. */
    ingest(metric: T.NewMetric, options: KeyedOptions = {}): Promise<T.Schemas['Ingested']> {
        return this.#call('post', '/api/v1/ingest', { body: metric, ...keyed(options) }, options);
    }

    /** Sends many samples: all of them are committed, or none. */
    ingestBatch(metrics: T.NewMetric[], options: KeyedOptions = {}): Promise<T.Schemas['BatchIngested']> {
        return this.#call('post', '/api/v1/ingest/agent/metrics', { body: metrics, ...keyed(options) }, options);
    }

    /** The series that there are, each with its newest sample. */
    listSeries(
        filter: Filter<'/api/v1/series'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['SeriesList'], T.Series> {
        return this.#list('/api/v1/series', filter, options, (page) => page.series);
    }

    /** A metric over time, in steps. */
    query(range: Filter<'/api/v1/query'>, options?: CallOptions): Promise<T.Schemas['Range']> {
        return this.#call('get', '/api/v1/query', { query: range }, options);
    }

    // Actions

    /** Has something done; or, with another status than `pending`, records that it was done elsewhere. */
    createAction(action: T.NewAction, options: KeyedOptions = {}): Promise<T.Schemas['ChangedAction']> {
        return this.#call('post', '/api/v1/actions', { body: action, ...keyed(options) }, options);
    }

    /** Actions, the newest first. */
    listActions(
        filter: Filter<'/api/v1/actions'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['ActionList'], T.FullAction> {
        return this.#list('/api/v1/actions', filter, options, (page) => page.actions);
    }

    /** Actions of one status, the newest first. */
    listActionsByStatus(
        status: T.ActionStatus,
        filter: Filter<'/api/v1/actions/status/{status}'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['ActionList'], T.FullAction> {
        return this.#list('/api/v1/actions/status/{status}', filter, options, (page) => page.actions, { status });
    }

    /** One action. */
    getAction(id: number, options?: CallOptions): Promise<T.FullAction> {
        return this.#call('get', '/api/v1/actions/{id}', { parts: { id } }, options);
    }

    /** Cancels an action that is pending or running. */
    cancelAction(id: number, reason?: string, options?: CallOptions): Promise<T.Schemas['ChangedAction']> {
        return this.#call(
            'put',
            '/api/v1/actions/{id}/cancel',
            { parts: { id }, body: { reason: reason ?? null } },
            options,
        );
    }

    /** Moves an action on that is carried out elsewhere. */
    recordActionStatus(
        id: number,
        record: T.Schemas['StatusRecord'],
        options?: CallOptions,
    ): Promise<T.Schemas['ChangedAction']> {
        return this.#call('put', '/api/v1/actions/{id}/status', { parts: { id }, body: record }, options);
    }

    // Policies

    /** Makes a policy. */
    createPolicy(policy: T.NewPolicy, options?: CallOptions): Promise<T.FullPolicy> {
        return this.#call('post', '/api/v1/policies', { body: policy }, options);
    }

    /** Policies: a page has them by name, and all of them unless `limit` says otherwise. */
    listPolicies(
        filter: Filter<'/api/v1/policies'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['PolicyList'], T.FullPolicy> {
        return this.#list('/api/v1/policies', filter, options, (page) => Object.values(page.policies));
    }

    /** Policies of one severity. */
    listPoliciesBySeverity(
        severity: T.Severity,
        filter: Filter<'/api/v1/policies/severity/{severity}'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['PolicyList'], T.FullPolicy> {
        const path = '/api/v1/policies/severity/{severity}';
        return this.#list(path, filter, options, (page) => Object.values(page.policies), { severity });
    }

    /** One policy. */
    getPolicy(name: string, options?: CallOptions): Promise<T.FullPolicy> {
        return this.#call('get', '/api/v1/policies/{name}', { parts: { name } }, options);
    }

    /** Changes the fields that are given. */
    updatePolicy(
        name: string,
        patch: T.PolicyPatch,
        options: RevisionOptions = {},
    ): Promise<T.Schemas['UpdatedPolicy']> {
        const headers: Record<string, string> =
            options.ifMatch === undefined ? {} : { 'If-Match': `"${options.ifMatch}"` };
        return this.#call('put', '/api/v1/policies/{name}', { parts: { name }, body: patch, headers }, options);
    }

    /** Removes a policy. */
    deletePolicy(name: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('delete', '/api/v1/policies/{name}', { parts: { name } }, options);
    }

    /** Puts a policy in force. */
    enablePolicy(name: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('put', '/api/v1/policies/{name}/enable', { parts: { name } }, options);
    }

    /** Puts a policy out of force. */
    disablePolicy(name: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('put', '/api/v1/policies/{name}/disable', { parts: { name } }, options);
    }

    /** Tries policies on metrics. Nothing is written, and nothing happens. */
    evaluatePolicies(trial: T.Schemas['Trial'], options?: CallOptions): Promise<T.Evaluation> {
        return this.#call('post', '/api/v1/policies/evaluate', { body: trial, repeatable: true }, options);
    }

    /** Reads the policy files again. */
    reloadPolicies(options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('post', '/api/v1/policies/reload', { repeatable: true }, options);
    }

    /** How the runner does, which judges every target whether or not a sample comes. */
    runnerStatus(options?: CallOptions): Promise<T.Schemas['RunnerStatus']> {
        return this.#call('get', '/api/v1/policies/runner/status', {}, options);
    }

    // What happened, and why

    /** Episodes, the newest first. */
    listEpisodes(
        filter: Filter<'/api/v1/episodes'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['EpisodeList'], T.Episode> {
        return this.#list('/api/v1/episodes', filter, options, (page) => page.episodes);
    }

    /** One episode. */
    getEpisode(id: number, options?: CallOptions): Promise<T.Episode> {
        return this.#call('get', '/api/v1/episodes/{id}', { parts: { id } }, options);
    }

    /** Lets an episode that has had its actions have them once more. */
    resetEpisode(id: number, reason?: string, options?: CallOptions): Promise<T.Schemas['ChangedEpisode']> {
        return this.#call(
            'post',
            '/api/v1/episodes/{id}/reset',
            { parts: { id }, body: { reason: reason ?? null } },
            options,
        );
    }

    /** The audit: with `action_id`, an action's full history. */
    listAudit(
        filter: Filter<'/api/v1/audit'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['AuditList'], T.AuditEntry> {
        return this.#list('/api/v1/audit', filter, options, (page) => page.entries);
    }

    /** Every gate between a policy and an action on a target: whether it lets through, and when it next may. */
    why(question: { policy: string; target: string }, options?: CallOptions): Promise<T.Why> {
        return this.#call('get', '/api/v1/why', { query: question }, options);
    }

    /** Whether all automatic action is stopped. */
    getBrake(options?: CallOptions): Promise<T.Brake> {
        return this.#call('get', '/api/v1/brake', {}, options);
    }

    /** Stops all automatic action, on every replica and at once, or lets it go on. */
    setBrake(change: T.BrakeChange, options?: CallOptions): Promise<T.Schemas['BrakeSet']> {
        return this.#call('put', '/api/v1/brake', { body: change }, options);
    }

    // Queue

    /** How much of one's own is in the queue. */
    tenantQueue(options?: CallOptions): Promise<T.Schemas['TenantQueue']> {
        return this.#call('get', '/api/v1/queue', {}, options);
    }

    /** How the queue and its workers do. */
    queueStats(options?: CallOptions): Promise<T.QueueStatus> {
        return this.#call('get', '/api/v1/ui/queue/stats', {}, options);
    }

    /** Tasks that were given up. */
    listDeadLetters(
        filter: Filter<'/api/v1/queue/dead'> = {},
        options?: CallOptions,
    ): Listing<T.Schemas['DeadLetterList'], T.DeadLetter> {
        return this.#list('/api/v1/queue/dead', filter, options, (page) => page.dead);
    }

    /** Puts a dead letter back into the queue. */
    retryDeadLetter(taskId: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('post', '/api/v1/queue/dead/{task_id}/retry', { parts: { task_id: taskId } }, options);
    }

    /** Throws a dead letter away. */
    discardDeadLetter(taskId: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('delete', '/api/v1/queue/dead/{task_id}', { parts: { task_id: taskId } }, options);
    }

    /** Throws away all dead letters that are older than so many seconds. */
    purgeDeadLetters(olderThanSeconds: number, options?: CallOptions): Promise<T.Schemas['Purged']> {
        return this.#call('delete', '/api/v1/queue/dead', { query: { older_than_seconds: olderThanSeconds } }, options);
    }

    // Keys

    /** Makes an API key. This answer is the only one that shows it. */
    createKey(key: T.NewKey, options?: CallOptions): Promise<T.IssuedKey> {
        return this.#call('post', '/api/v1/keys', { body: key }, options);
    }

    /** All keys, without their secrets. */
    listKeys(filter: Filter<'/api/v1/keys'> = {}, options?: CallOptions): Promise<T.Schemas['KeyList']> {
        return this.#call('get', '/api/v1/keys', { query: filter }, options);
    }

    /** Gives a key a new secret; the old one is refused from then on. */
    rotateKey(id: string, tenant?: string, options?: CallOptions): Promise<T.IssuedKey> {
        return this.#call('post', '/api/v1/keys/{id}/rotate', { parts: { id }, query: { tenant } }, options);
    }

    /** Refuses a key for good. */
    revokeKey(id: string, tenant?: string, options?: CallOptions): Promise<T.Schemas['Confirmation']> {
        return this.#call('delete', '/api/v1/keys/{id}', { parts: { id }, query: { tenant } }, options);
    }

    // Simulator

    /** Puts a load on the server, where its configuration allows that. */
    startSimulator(load: T.NewLoad = {}, options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('post', '/api/v1/simulator/start', { body: load }, options);
    }

    /** Takes the load off. */
    stopSimulator(options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('post', '/api/v1/simulator/stop', {}, options);
    }

    /** What the load is, and what became of it. */
    simulatorStatus(options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('get', '/api/v1/simulator/status', {}, options);
    }

    /** {@link startSimulator} at its second address. */
    startSimulatorUi(load: T.NewLoad = {}, options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('post', '/api/v1/ui/simulator/start', { body: load }, options);
    }

    /** {@link stopSimulator} at its second address. */
    stopSimulatorUi(options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('post', '/api/v1/ui/simulator/stop', {}, options);
    }

    /** {@link simulatorStatus} at its second address. */
    simulatorStatusUi(options?: CallOptions): Promise<T.SimulatorStatus> {
        return this.#call('get', '/api/v1/ui/simulator/status', {}, options);
    }

    // Live

    /**
     * What happens, as it happens, by server-sent events. When the connection breaks, a new one goes on behind the last
     * message: of those with a `seq` none is missed and none comes twice.
     *
     * Leave the loop with `break` after a message, or at any time by the signal; it ends by itself only with an error.
     */
    events(filter: LiveFilter = {}, options: LiveOptions = {}): AsyncGenerator<LiveMessage, never, void> {
        const connect = (after: number | undefined, attempts: number): AsyncIterable<LiveMessage> =>
            stream(this.#transport, search(filter, after), options, attempts);
        return follow(connect, filter.after, options, this.#transport.retry(options));
    }

    /**
     * The same over a WebSocket, for where streams do not pass. Nothing shows that a silent connection is dead, and
     * browsers send no API key with it: prefer {@link events}.
     */
    websocket(filter: LiveFilter = {}, options: SocketOptions = {}): AsyncGenerator<LiveMessage, never, void> {
        const connect = (after: number | undefined, attempts: number): AsyncIterable<LiveMessage> =>
            socket(this.#transport, search(filter, after), options, attempts);
        return follow(connect, filter.after, options, this.#transport.retry(options));
    }

    #call<M extends Method, P extends keyof paths>(
        method: M,
        path: P,
        input: Input<Operation<M, P>>,
        options: CallOptions = {},
    ): Promise<Answer<Operation<M, P>>> {
        const { parts = {}, query, body, headers, repeatable, unhealthyAnswers }: Filled = input;
        const call: Call = {
            method: method.toUpperCase() as Call['method'],
            path: path.replace(/\{(\w+)\}/g, (_, part: string) => encodeURIComponent(String(parts[part]))),
            answers: 'application/json',
            repeatable: repeatable ?? method !== 'post',
            ...(query && { query }),
            ...(headers && { headers }),
            ...(body !== undefined && { body: JSON.stringify(body) }),
            ...(unhealthyAnswers && { unhealthyAnswers }),
        };
        return this.#transport.send(call, options, (response) => response.json() as Promise<Answer<Operation<M, P>>>);
    }

    #list<P extends keyof paths, Item>(
        path: P,
        filter: Filter<P>,
        options: CallOptions | undefined,
        itemsOf: (page: ListPage<P>) => Item[],
        ...[parts]: Parts<Operation<'get', P>> extends { parts: infer A } ? [A] : []
    ): Listing<ListPage<P>, Item> {
        const load = (cursor?: string): Promise<unknown> => {
            const query = cursor === undefined ? filter : { ...filter, cursor };
            // That the two fit the path was checked where this was called.
            return this.#call('get', path, { query, parts } as never, options);
        };
        return new Listing(load as () => Promise<ListPage<P>>, itemsOf);
    }
}

/** An operation's input, whichever it is. */
interface Filled extends Pick<Call, 'query' | 'headers'>, Partial<Pick<Call, 'repeatable' | 'unhealthyAnswers'>> {
    parts?: Record<string, unknown> | undefined;
    body?: unknown;
}

function keyed(options: KeyedOptions): Required<Pick<Call, 'headers' | 'repeatable'>> {
    return { headers: { 'Idempotency-Key': options.idempotencyKey ?? fresh() }, repeatable: true };
}

/** 128 random bits; `randomUUID` is missing on pages that did not come by TLS. */
function fresh(): string {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join(
        '',
    );
}

/**
 * What has come last goes into the query: for the header `Last-Event-ID` a browser would have to ask first, and
 * WebSockets send none.
 */
function search({ kinds, target, policy }: LiveFilter, after: number | undefined): object {
    return { kinds: kinds?.join(','), target, policy, after };
}
