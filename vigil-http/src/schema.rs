//! Schemas that are written by hand: the words of the domain, and the bodies that handlers read field by field, so that
//! they can tell everything that is wrong at once. Schemas of answers are derived where the answers are.
//!
//! `vigil-core` knows nothing of OpenAPI: its types are described here, the closed vocabularies from its own lists.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{Object, SchemaType};
use utoipa::openapi::{RefOr, Schema};
use vigil_core::{action, episode, key, policy, store};

mod bodies;

pub(crate) use bodies::*;

/// Text that is more than white space and has no control characters.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// The same without a slash.
const NAME_IN_PATH: &str =
    r"^[^/\u0000-\u001f\u007f-\u009f]*[^/\s\u0000-\u001f\u007f-\u009f][^/\u0000-\u001f\u007f-\u009f]*$";
const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
pub(crate) const NO_NUL: &str = r"^[^\u0000]*$";
const TIME_SPAN: &str = r"^([0-9]{1,6}(\.[0-9]{1,3})?s?|[0-9]{1,9}ms|[0-9]{1,4}m|[0-9]{1,2}h|([12]?[0-9]|30)d)$";

const PHASES: [action::Phase; 6] = [
    action::Phase::Queued,
    action::Phase::Retrying,
    action::Phase::Executing,
    action::Phase::Indeterminate,
    action::Phase::Verifying,
    action::Phase::Done,
];
const VERDICTS: [policy::Verdict; 3] = [policy::Verdict::Met, policy::Verdict::Unmet, policy::Verdict::Unknown];

/// Declares types that stand for hand-written schemas: `Name [the types it refers to] = json!(...)`. The doc comment is the
/// schema's description.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])+ $name:ident [$($used:ident),*] = $json:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::schema::by_hand(concat!($($doc),+).trim(), $json)
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(all: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                $(all.push((<$used as utoipa::ToSchema>::name().into_owned(), <$used as utoipa::PartialSchema>::schema()));
                <$used as utoipa::ToSchema>::schemas(all);)*
                let _ = all;
            }
        }
    )+};
}
pub(crate) use schemas;

/// Declares types that stand for parameters of a query, for the documentation: handlers read them one by one. None is required
/// that does not say so.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($parameter:tt),* $(,)?];)+) => {$(
        $(#[doc = $doc])+
        pub(crate) enum $name {}

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                vec![$($crate::schema::in_query(serde_json::json!($parameter))),*]
            }
        }
    )+};
}
pub(crate) use parameters;

/// A schema of plain JSON. utoipa's builders know fewer keywords than JSON Schema has; an object without a type and with
/// nothing but extensions is written as it is.
pub(crate) fn by_hand(description: &str, schema: Value) -> RefOr<Schema> {
    let Value::Object(mut keywords) = schema else { unreachable!("a schema is an object") };
    keywords.insert("description".to_owned(), description.into());
    let extensions = keywords.into_iter().collect::<Extensions>();
    let mut object = Object::with_type(SchemaType::AnyValue);
    object.extensions = Some(extensions);
    RefOr::T(Schema::Object(object))
}

/// A parameter of plain JSON.
pub(crate) fn parameter(parameter: Value) -> Parameter {
    serde_json::from_value(parameter).expect("a parameter as OpenAPI has it")
}

/// A parameter of the query of plain JSON.
pub(crate) fn in_query(mut described: Value) -> Parameter {
    described["in"] = "query".into();
    if described["required"].is_null() {
        described["required"] = false.into();
    }
    parameter(described)
}

/// A time in a query: RFC 3339, or seconds since 1970.
pub(crate) fn time_in_query() -> Value {
    json!({"anyOf": [
        {"type": "string", "format": "date-time", "description": "RFC 3339."},
        {"type": "number", "minimum": 0, "maximum": 253_402_300_799_u64, "description": "Seconds since 1970."},
    ]})
}

/// A reference to a named schema.
pub(crate) fn of<T: ToSchema>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// The same, for a field that has more to say.
pub(crate) fn with<T: ToSchema>(description: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name()), "description": description})
}

/// A field that may be there, and for which null is the same as not being there.
pub(crate) fn optional<T: ToSchema>(description: &str) -> Value {
    json!({"anyOf": [of::<T>(), {"type": "null"}], "description": description})
}

schemas! {
    /// Where an action stands. The last three are final.
    ActionStatus [] = json!({
        "type": "string",
        "enum": action::ActionStatus::ALL.map(action::ActionStatus::as_str),
        "examples": ["pending"],
    });

    /// What is done to a target. In requests `restart-service` also stands for `restart`, `_` for `-`, and letters may be of
    /// either case; answers have the words as listed.
    ActionType [] = json!({
        "type": "string",
        "enum": action::ActionType::ALL.map(action::ActionType::as_str),
        "examples": ["restart"],
    });

    /// How bad it is: worth knowing, worth acting on, noticed by users.
    Severity [] = json!({
        "type": "string",
        "enum": action::Severity::ALL.map(action::Severity::as_str),
        "examples": ["critical"],
    });

    /// Whether fresh metrics proved that an action worked: still awaited, verified, ineffective, or inconclusive because no
    /// fresh sample came in time.
    Verification [] = json!({
        "type": "string",
        "enum": action::Verification::ALL.map(action::Verification::as_str),
        "examples": ["verified"],
    });

    /// Where an action stands in more detail than its status: waiting for a worker, waiting to be tried again, with a worker,
    /// sent without an answer so that metrics must tell, done and not yet proven, or over.
    Phase [] = json!({
        "type": "string",
        "enum": PHASES.map(action::Phase::as_str),
        "examples": ["done"],
    });

    /// What a condition says of metrics. `unknown`: fresh data is missing, which is neither yes nor no.
    Verdict [] = json!({
        "type": "string",
        "enum": VERDICTS.map(policy::Verdict::as_str),
        "examples": ["met"],
    });

    /// Where an episode stands: `for` is running, it is firing, or it is over.
    EpisodeState [] = json!({
        "type": "string",
        "enum": episode::EpisodeState::ALL.map(episode::EpisodeState::as_str),
        "examples": ["firing"],
    });

    /// How an episode ended: the condition was unmet, an action was verified, nothing was known for too long, the policy is gone
    /// or changed, or a person said so.
    Resolution [] = json!({
        "type": "string",
        "enum": episode::Resolution::ALL.map(episode::Resolution::as_str),
        "examples": ["verified"],
    });

    /// What one value of several samples is made by.
    Aggregate [] = json!({
        "type": "string",
        "enum": store::Aggregate::ALL.map(store::Aggregate::as_str),
        "examples": ["avg"],
    });

    /// Whether automatic action is stopped.
    BrakeState [] = json!({
        "type": "string",
        "enum": store::BrakeState::ALL.map(store::BrakeState::as_str),
        "examples": ["stopped"],
    });

    /// Whom a brake stops: the caller's tenant, or all of them, which only the tenant `default` can.
    BrakeScope [] = json!({
        "type": "string",
        "enum": store::BrakeScope::ALL.map(store::BrakeScope::as_str),
        "examples": ["tenant"],
    });

    /// One check between violation and action.
    Gate [] = json!({
        "type": "string",
        "enum": policy::Gate::ALL.map(policy::Gate::as_str),
        "examples": ["cooldown"],
    });

    /// What the holder of a key is there for: `ingest` sends samples and reads nothing, `viewer` reads, `operator` also changes
    /// policies and actions, `admin` also hands out keys.
    Role [] = json!({
        "type": "string",
        "enum": key::Role::ALL.map(key::Role::as_str),
        "examples": ["viewer"],
    });

    /// The public part of a key.
    KeyId [] = json!({
        "type": "string", "minLength": 1, "maxLength": 32, "pattern": "^[a-z0-9]+$", "examples": ["5f0a4c559c0e0a6f"],
    });

    /// Whose it is.
    Tenant [] = json!({
        "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9_-]+$", "examples": ["default"],
    });

    /// What there is to know beside the fields that all have.
    Detail [] = json!({"type": ["object", "null"], "examples": [{"attempt": 1}]});

    /// One value of one series: what conditions read, and what evidence is made of.
    Sample [Name, Tags, Time] = json!({
        "type": "object",
        "required": ["metric", "tags", "value", "at"],
        "properties": {
            "metric": with::<Name>("What was measured."),
            "tags": with::<Tags>("What tells it from other series of that name."),
            "value": {"type": "number", "description": "The value."},
            "at": with::<Time>("When it was measured."),
        },
        "examples": [{"metric": "cpu_percent", "tags": {}, "value": 95.0, "at": "2026-01-20T12:00:00Z"}],
    });

    /// A time, RFC 3339 in UTC.
    Time [] = json!({"type": "string", "format": "date-time", "examples": ["2026-01-20T12:00:00Z"]});

    /// 1 to 255 characters after white space around them is dropped, no control characters.
    Name [] = json!({
        "type": "string", "minLength": 1, "maxLength": 255, "pattern": NAME, "examples": ["web-service"],
    });

    /// A policy's name: 1 to 255 characters, no control characters and no slash, and none of the words that are routes beside
    /// policies.
    PolicyName [] = json!({
        "type": "string", "minLength": 1, "maxLength": 255, "pattern": NAME_IN_PATH,
        "not": {"enum": [".", "..", "evaluate", "reload", "runner", "severity"]},
        "examples": ["high-cpu"],
    });

    /// Which targets a policy watches: `all` or `*`, one exact name, or a glob of `*`, `?`, `[...]` and `{a,b}`, which must
    /// compile; `*` crosses every separator.
    TargetPattern [] = json!({
        "type": "string", "format": "glob", "minLength": 1, "maxLength": 255, "pattern": NAME, "examples": ["web-*"],
    });

    /// Free-form parameters, passed on to the remediator as they are.
    Params [] = json!({"type": "object", "examples": [{"grace_seconds": 30}]});

    /// Parameters of a policy's action, passed on to the remediator as they are; Vigil itself reads `cooldown_seconds`.
    PolicyParams [] = json!({
        "type": "object",
        "additionalProperties": true,
        "properties": {
            "cooldown_seconds": {
                "type": "integer", "minimum": 0, "maximum": 2_592_000, "default": 300,
                "description": "The least time between two automatic actions of this policy on one target.",
            },
        },
        "examples": [{"cooldown_seconds": 300}],
    });

    /// A span of time of at most 30 days: seconds, or text such as `90s`, `5m`, `1h`, `2d`.
    Duration [] = json!({
        "oneOf": [
            {"type": "number", "minimum": 0, "maximum": 2_592_000, "description": "Seconds."},
            {"type": "string", "pattern": TIME_SPAN, "description": "A number with its unit: ms, s, m, h or d."},
        ],
        "examples": ["5m"],
    });

    /// When a policy is violated: a metric beyond a threshold, or all or any of several conditions, at most 16 deep and 256 in
    /// all. A program that embeds Vigil may register further types.
    Condition [Threshold, Compound] = json!({
        "oneOf": [of::<Threshold>(), of::<Compound>()],
        "examples": [{"type": "metric_exceeds", "metric": "cpu_percent", "threshold": 80}],
    });

    /// Met when any fresh series of the metric is above (`metric_exceeds`) or below (`metric_below`) the threshold; unknown when
    /// none is fresh.
    Threshold [Name] = json!({
        "type": "object",
        "required": ["type", "metric", "threshold"],
        "additionalProperties": false,
        "properties": {
            "type": {"type": "string", "enum": ["metric_exceeds", "metric_below"], "description": "On which side."},
            "metric": with::<Name>("The metric's name."),
            "threshold": {"type": "number", "minimum": f64::MIN, "maximum": f64::MAX, "description": "A finite number."},
        },
    });

    /// Met when all, or any, of its conditions are. What is unknown counts as neither.
    Compound [] = json!({
        "type": "object",
        "required": ["type", "conditions"],
        "additionalProperties": false,
        "properties": {
            "type": {"type": "string", "enum": ["all", "any"], "description": "Whether all must be met, or one is enough."},
            "conditions": {
                "type": "array", "minItems": 1, "maxItems": 255, "description": "At least one condition.",
                "items": {"$ref": "#/components/schemas/Condition"},
            },
        },
    });

    /// Tags: at most 64, keys of 1 to 128 and values of up to 1024 characters, no control characters. The first present of
    /// `target`, `pod`, `container`, `instance`, `host`, `hostname` and `service` (unless configured otherwise) names the target.
    Tags [] = json!({
        "type": "object",
        "maxProperties": 64,
        "propertyNames": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": NO_CONTROL},
        "additionalProperties": {"type": "string", "maxLength": 1024, "pattern": NO_CONTROL},
        "examples": [{"host": "web-1"}],
    });
}
