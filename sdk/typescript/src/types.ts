import type { components, operations } from './openapi.js';

/** Every schema of the OpenAPI document, by its name. */
export type Schemas = components['schemas'];

/** Every operation of the OpenAPI document, by its id. */
export type Operations = operations;

/** A policy, as Vigil 1.0 documents it. Answers carry more: {@link FullPolicy}. */
export interface Policy {
    name: string;
    description: string;
    severity: 'info' | 'warning' | 'critical';
    target: string;
    enabled: boolean;
    params: Record<string, any>;
    auto_remediate: boolean;
}

/** An action, as Vigil 1.0 documents it. Answers carry more: {@link FullAction}. */
export interface Action {
    id: number;
    target: string;
    action: string;
    status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
    details: string | null;
    started_at: string;
}

/** A sample, as Vigil 1.0 documents it. One with a time of its own is a {@link NewMetric}. */
export interface Metric {
    name: string;
    value: number;
    tags?: Record<string, string>;
}

/** A policy with all that answers carry. */
export type FullPolicy = Schemas['Policy'];
/** An action with all that answers carry. */
export type FullAction = Schemas['Action'];
/** A sample to send: every {@link Metric} is one. */
export type NewMetric = Schemas['NewMetric'];

export type ActionStatus = Schemas['ActionStatus'];
export type ActionType = Schemas['ActionType'];
export type AuditEntry = Schemas['AuditEntry'];
export type Brake = Schemas['Brake'];
export type BrakeChange = Schemas['BrakeChange'];
export type Condition = Schemas['Condition'];
export type DeadLetter = Schemas['DeadLetter'];
export type Episode = Schemas['Episode'];
export type Evaluation = Schemas['Evaluation'];
export type IssuedKey = Schemas['IssuedKey'];
export type Key = Schemas['Key'];
export type NewAction = Schemas['NewAction'];
export type NewKey = Schemas['NewKey'];
export type NewLoad = Schemas['NewLoad'];
export type NewPolicy = Schemas['NewPolicy'];
export type PolicyPatch = Schemas['PolicyPatch'];
export type QueueStatus = Schemas['QueueStatus'];
export type Role = Schemas['Role'];
export type Series = Schemas['Series'];
export type Severity = Schemas['Severity'];
export type SimulatorStatus = Schemas['SimulatorStatus'];
export type Why = Schemas['Why'];
