//! The bodies of requests.

use crate::batch::BatchBody;
use serde_json::{Map, Value, json};

use super::{
    ActionStatus, ActionType, BrakeScope, BrakeState, Condition, Duration, NAME, NO_CONTROL, NO_NUL, Name, Params,
    PolicyName, PolicyParams, Role, Severity, Tags, TargetPattern, Tenant, of, optional, schemas, with,
};

/// Text for people of up to 64 KiB.
fn prose(description: &str) -> Value {
    text_of(65536, description)
}

/// Text for people of up to 4 KiB.
fn brief(description: &str) -> Value {
    text_of(4096, description)
}

fn text_of(longest: usize, description: &str) -> Value {
    json!({"type": ["string", "null"], "maxLength": longest, "pattern": NO_NUL, "description": description})
}

/// Fields that answers add, accepted and ignored when they come back.
fn ignored(names: &[&str]) -> Map<String, Value> {
    let field = || json!({"description": "Part of answers; ignored when it comes back."});
    names.iter().map(|name| ((*name).to_owned(), field())).collect()
}

/// The fields of a body and, beside them, those that are ignored.
fn fields(own: Value, also: Map<String, Value>) -> Value {
    let Value::Object(mut own) = own else { unreachable!("fields are an object") };
    own.extend(also);
    Value::Object(own)
}

schemas! {
    /// One sample. Fields that are not listed are ignored: agents send extras.
    NewMetric [Name, Tags] = json!({
        "type": "object",
        "required": ["name", "value"],
        "properties": {
            "name": with::<Name>("What was measured."),
            "value": {"type": "number", "minimum": f64::MIN, "maximum": f64::MAX, "description": "A finite number."},
            "tags": optional::<Tags>("What tells series of one name apart, the target among them."),
            "timestamp": {
                "description": "When it was measured, at most ten minutes ahead: RFC 3339, or seconds since 1970. The sample \
                    counts from then, or from its receipt if that is earlier.",
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "number", "minimum": 0, "maximum": 253_402_300_799_u64},
                    {"type": "null"},
                ],
            },
        },
        "examples": [{"name": "cpu_percent", "value": 85.5, "tags": {"host": "web-1"}}],
    });

    /// One sample, a list of them, or a list under the key `metrics`.
    NewMetrics [NewMetric] = json!({
        "anyOf": [
            {"allOf": [of::<NewMetric>(), {"type": "object", "not": {"required": ["metrics"]}}]},
            {"type": "array", "minItems": 1, "maxItems": BatchBody::MOST, "items": of::<NewMetric>(), "description": "Several samples."},
            {
                "type": "object",
                "required": ["metrics"],
                "description": "Several samples under a key.",
                "properties": {
                    "metrics": {"type": "array", "minItems": 1, "maxItems": BatchBody::MOST, "items": of::<NewMetric>(), "description": "The samples."},
                },
            },
        ],
        "examples": [{"metrics": [
            {"name": "cpu_percent", "value": 85.5, "tags": {"host": "web-1"}},
            {"name": "memory_percent", "value": 61.2, "tags": {"host": "web-1"}},
        ]}],
    });

    /// An action that is asked for, or the record of one that was done elsewhere.
    NewAction [Name, ActionType, ActionStatus, Severity, Params] = json!({
        "type": "object",
        "required": ["target", "action"],
        "additionalProperties": false,
        "properties": fields(json!({
            "target": with::<Name>("What it is done to."),
            "action": with::<ActionType>("What is done."),
            "status": optional::<ActionStatus>("`pending`, the default, has it carried out. Any other status records something \
                done elsewhere, which Vigil never carries out."),
            "details": prose("Why it is wanted, for people: at most 64 KiB of UTF-8."),
            "severity": optional::<Severity>("How bad it is; `warning` if it does not say."),
            "params": {"anyOf": [of::<Params>(), {"type": "null"}], "description": "Passed on to the remediator."},
        }), ignored(&crate::dto::ActionDto::ADDED)),
        "examples": [{"target": "web-service", "action": "restart", "details": "Asked for by hand"}],
    });

    /// Why an action is called off.
    Cancellation [] = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"reason": prose("For people: at most 64 KiB of UTF-8.")},
        "examples": [{"reason": "Not needed any more"}],
    });

    /// Why an episode is ended.
    EpisodeReset [] = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {"reason": brief("For people: at most 4 KiB of UTF-8.")},
        "examples": [{"reason": "Looked at by hand"}],
    });

    /// Stops all automatic action, or lets it go on.
    BrakeChange [BrakeState, BrakeScope] = json!({
        "type": "object",
        "required": ["state"],
        "additionalProperties": false,
        "properties": fields(json!({
            "state": with::<BrakeState>("What it shall be."),
            "scope": optional::<BrakeScope>("Whom it stops; `tenant` if it does not say."),
            "reason": brief("Why, for whoever finds it: at most 4 KiB of UTF-8. Required to stop."),
            "until": {
                "type": ["string", "null"], "format": "date-time",
                "description": "When it ends by itself: a time to come. Left out, it stays until it is released.",
            },
        }), ignored(&["ok", "since", "by"])),
        "if": {"properties": {"state": {"const": "stopped", "description": "To stop."}}},
        "then": {
            "required": ["reason"],
            "properties": {"reason": {
                "type": "string", "pattern": r"[^\s\u0000]", "description": "Required to stop, and not only white space.",
            }},
        },
        "examples": [{"state": "stopped", "reason": "Deploying", "until": "2999-01-01T00:00:00Z"}],
    });

    /// A key that is to be made.
    NewKey [Name, Role, Tenant] = json!({
        "type": "object",
        "required": ["name", "role"],
        "additionalProperties": false,
        "properties": {
            "name": with::<Name>("What it is called, for people."),
            "role": with::<Role>("What its holder is there for."),
            "tenant": optional::<Tenant>("Whose it will be; the caller's own tenant if it does not say. Only a key of the tenant \
                `default` may name another."),
            "expires_at": {
                "type": ["string", "null"], "format": "date-time",
                "description": "When it ends: a time to come. Left out, it does not expire.",
            },
        },
        "examples": [{"name": "Grafana", "role": "viewer", "expires_at": "2999-01-01T00:00:00Z"}],
    });

    /// A load. The three rates are at most 1 together.
    NewLoad [Name] = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "mode": {
                "anyOf": [{"type": "string", "enum": crate::simulator::Mode::ALL.map(crate::simulator::Mode::as_str)}, {"type": "null"}],
                "description": "How events come, in letters of either case; `STEADY` if it does not say.",
            },
            "rate": {
                "type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 6_000_000,
                "description": "Events per minute, on the average; 60 if it does not say.",
            },
            "failure_rate": share("The share of events whose value is none, which the server must refuse."),
            "timeout_rate": share("The share of events of which only half is sent."),
            "malformed_rate": share("The share of events that are no JSON."),
            "seed": {
                "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX,
                "description": "The same seed gives the same events; left out, one is chosen.",
            },
            "duration_seconds": {
                "type": ["number", "null"], "minimum": 0.001, "maximum": 86400,
                "description": "For how long; left out, until it is stopped.",
            },
            "targets": {
                "type": ["array", "null"], "minItems": 1, "maxItems": 10000, "description": "The hosts that the samples are of.",
                "items": {"type": "string", "minLength": 1, "maxLength": 60, "pattern": NO_CONTROL},
            },
        },
        "examples": [{"mode": "BURST", "rate": 600, "failure_rate": 0.05, "seed": 7, "duration_seconds": 60}],
    });

    /// How an action that a client carries out itself has gone on.
    StatusRecord [ActionStatus] = json!({
        "type": "object",
        "required": ["status"],
        "additionalProperties": false,
        "properties": {
            "status": with::<ActionStatus>("The new status; the state machine must have such a move."),
            "details": prose("For people: at most 64 KiB of UTF-8. Left out, the details stay as they are."),
        },
        "examples": [{"status": "completed", "details": "Restarted by hand"}],
    });

    /// A policy as it is written.
    NewPolicy [PolicyName, Severity, TargetPattern, Condition, ActionType, PolicyParams, Duration] = json!({
        "type": "object",
        "required": ["name", "condition", "action"],
        "additionalProperties": false,
        "properties": fields(policy_fields(), ignored(&["revision", "source", "updated_at", "ok"])),
        "examples": [{
            "name": "high-cpu",
            "description": "A web server is overloaded",
            "severity": "critical",
            "target": "web-*",
            "condition": {"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80},
            "action": "restart",
            "auto_remediate": true,
            "params": {"cooldown_seconds": 300},
            "for": "1m",
        }],
    });

    /// The fields of a policy that are to change; the others stay as they are.
    PolicyPatch [PolicyName, Severity, TargetPattern, Condition, ActionType, PolicyParams, Duration] = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": fields(policy_fields(), ignored(&["revision", "source", "updated_at", "ok"])),
        "examples": [{"severity": "warning", "params": {"cooldown_seconds": 600}}],
    });

    /// Metrics to try policies on.
    Trial [Name] = json!({
        "type": "object",
        "required": ["metrics"],
        "additionalProperties": false,
        "properties": {
            "metrics": {
                "type": "object",
                "propertyNames": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NAME},
                "additionalProperties": {"type": "number", "minimum": f64::MIN, "maximum": f64::MAX},
                "description": "Values by metric name.",
            },
            "target": optional::<Name>("Only policies that watch this target are tried; left out or `all`: every one in force."),
        },
        "examples": [{"metrics": {"cpu_percent": 95}, "target": "web-1"}],
    });
}

fn share(description: &str) -> Value {
    json!({"type": ["number", "null"], "minimum": 0, "maximum": 1, "default": 0, "description": description})
}

fn policy_fields() -> Value {
    json!({
        "name": with::<PolicyName>("Unique. In an update it must be the one in the path."),
        "description": {"type": "string", "pattern": NO_NUL, "default": "", "description": "For people."},
        "severity": with::<Severity>("How bad a violation is; `warning` if it does not say."),
        "target": with::<TargetPattern>("Which targets it watches; `all` if it does not say."),
        "enabled": {"type": "boolean", "default": true, "description": "Whether it is in force."},
        "auto_remediate": {
            "type": "boolean", "default": false,
            "description": "Whether it may act on its own. If not, violations are recorded only.",
        },
        "condition": with::<Condition>("When it is violated."),
        "action": with::<ActionType>("What heals it."),
        "params": with::<PolicyParams>("Parameters of the action."),
        "for": with::<Duration>("How long the condition must be met without a break before anything is done."),
        "keep_firing_for": with::<Duration>("How long the condition must be unmet before the episode ends."),
    })
}
