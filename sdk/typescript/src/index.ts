export { VigilClient, type KeyedOptions, type RevisionOptions } from './client.js';
export {
    ConnectionError,
    ProblemError,
    TimeoutError,
    VigilError,
    type ProblemField,
    type ProblemKind,
} from './errors.js';
export { Listing, type Page } from './listing.js';
export type {
    AuditKind,
    AuditMessage,
    AuditMessageOf,
    DecisionMessage,
    LiveFilter,
    LiveKind,
    LiveMessage,
    LiveOptions,
    MetricMessage,
    QueueMessage,
    ReadyMessage,
    ResyncMessage,
} from './live.js';
export type { Retry } from './retry.js';
export type { Socket, SocketOptions } from './socket.js';
export type { CallOptions, ClientOptions } from './transport.js';
export type * from './types.js';
