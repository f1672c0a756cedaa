-- Times are microseconds since the Unix epoch, UTC. The documented tables keep their names and columns; every other column
-- has a default, so that an INSERT by a foreign client with only the documented ones works.

CREATE TABLE metrics (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    value      REAL    NOT NULL,
    tags       TEXT    CHECK (tags IS NULL OR json_valid(tags)),
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)), -- when it was received
    tenant     TEXT    NOT NULL DEFAULT 'default',
    target     TEXT    NOT NULL DEFAULT '', -- empty: no tag named one
    series     TEXT    NOT NULL DEFAULT '{}', -- the tags without the one that named the target
    at         INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)) -- the effective time
) STRICT;
CREATE INDEX metrics_by_scope ON metrics (tenant, target, name, at);
CREATE INDEX metrics_by_age ON metrics (created_at);

-- The newest sample of each series: snapshots and the runner never scan `metrics`.
CREATE TABLE series_latest (
    tenant TEXT    NOT NULL,
    target TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    series TEXT    NOT NULL,
    value  REAL    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, target, name, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE episodes (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant        TEXT    NOT NULL,
    policy        TEXT    NOT NULL,
    target        TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
    severity      TEXT    NOT NULL,
    condition     TEXT    NOT NULL CHECK (json_valid(condition)),
    version       INTEGER NOT NULL,
    pending_since INTEGER NOT NULL,
    firing_since  INTEGER,
    known_at      INTEGER NOT NULL,
    unmet_since   INTEGER,
    resolved_at   INTEGER,
    resolution    TEXT,
    evidence      TEXT    NOT NULL CHECK (json_valid(evidence)),
    actions       INTEGER NOT NULL,
    last_action   INTEGER,
    refusal       TEXT    CHECK (refusal IS NULL OR json_valid(refusal))
) STRICT;
CREATE UNIQUE INDEX episodes_one_open ON episodes (tenant, policy, target) WHERE state <> 'resolved';
CREATE INDEX episodes_open ON episodes (id) WHERE state <> 'resolved';
CREATE INDEX episodes_by_tenant ON episodes (tenant, id);
CREATE INDEX episodes_by_age ON episodes (resolved_at) WHERE state = 'resolved';

CREATE TABLE actions (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    target           TEXT    NOT NULL CHECK (length(target) BETWEEN 1 AND 255),
    action           TEXT    NOT NULL CHECK (lower(replace(action, '_', '-')) IN
        ('restart', 'restart-service', 'scale-up', 'scale-down', 'drain-pod', 'rebalance', 'snapshot', 'custom')),
    status           TEXT    NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    details          TEXT,
    started_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    tenant           TEXT    NOT NULL DEFAULT 'default',
    severity         TEXT    NOT NULL DEFAULT 'warning' CHECK (severity IN ('info', 'warning', 'critical')),
    params           TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(params)),
    policy           TEXT,
    policy_revision  INTEGER,
    episode          INTEGER REFERENCES episodes (id) ON DELETE SET NULL,
    condition        TEXT    CHECK (condition IS NULL OR json_valid(condition)),
    managed          INTEGER, -- never null once inserted: see the trigger
    version          INTEGER NOT NULL DEFAULT 1,
    attempt          INTEGER NOT NULL DEFAULT 0,
    tries            INTEGER NOT NULL DEFAULT 0,
    crashes          INTEGER NOT NULL DEFAULT 0,
    nonce            INTEGER NOT NULL DEFAULT (random()),
    lease_until      INTEGER,
    occupies         INTEGER NOT NULL DEFAULT 0,
    running_at       INTEGER,
    completed_at     INTEGER,
    not_before       INTEGER NOT NULL DEFAULT 0,
    expires_at       INTEGER NOT NULL DEFAULT (CAST((unixepoch('subsec') + 600) * 1000000 AS INTEGER)),
    deadline         INTEGER,
    indeterminate_at INTEGER,
    verification     TEXT    CHECK (verification IS NULL OR verification IN ('awaiting', 'verified', 'ineffective', 'inconclusive')),
    verify_after     INTEGER,
    verify_by        INTEGER,
    verify_hidden    INTEGER NOT NULL DEFAULT 0, -- handed out for verification until then
    error            TEXT,
    evidence_at      INTEGER
) STRICT;
-- A foreign client's pending row is Vigil's to carry out; any other status records something done elsewhere.
CREATE TRIGGER actions_managed AFTER INSERT ON actions WHEN NEW.managed IS NULL BEGIN
    UPDATE actions SET managed = (NEW.status = 'pending') WHERE id = NEW.id;
END;
CREATE UNIQUE INDEX actions_one_in_flight ON actions (tenant, target) WHERE occupies = 1;
CREATE INDEX actions_by_time ON actions (tenant, started_at, id);
CREATE INDEX actions_by_status ON actions (tenant, status, started_at, id);
CREATE INDEX actions_by_target ON actions (tenant, target, started_at, id);
CREATE INDEX actions_by_policy ON actions (tenant, policy, target, started_at, id) WHERE managed = 1;
CREATE INDEX actions_open ON actions (tenant, target) WHERE managed = 1 AND status IN ('pending', 'running');
CREATE INDEX actions_to_deliver ON actions (id) WHERE managed = 1 AND status IN ('pending', 'running');
CREATE INDEX actions_to_verify ON actions (id) WHERE managed = 1 AND (verification = 'awaiting' OR indeterminate_at IS NOT NULL);
CREATE INDEX actions_to_free ON actions (id) WHERE managed = 1 AND occupies = 1;
CREATE INDEX actions_by_age ON actions (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX actions_by_episode ON actions (episode) WHERE episode IS NOT NULL;

CREATE TABLE policies (
    tenant           TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    spec             TEXT    NOT NULL CHECK (json_valid(spec)),
    source           TEXT    NOT NULL CHECK (json_valid(source)),
    enabled_override INTEGER,
    revision         INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    seq     INTEGER UNIQUE, -- given later, gapless
    tenant  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    actor   TEXT    NOT NULL,
    action  INTEGER,
    episode INTEGER,
    policy  TEXT,
    target  TEXT,
    reason  TEXT,
    detail  TEXT    NOT NULL CHECK (json_valid(detail))
) STRICT;
CREATE INDEX audit_unsequenced ON audit (id) WHERE seq IS NULL;
CREATE INDEX audit_by_tenant ON audit (tenant, seq);
CREATE INDEX audit_by_action ON audit (tenant, action, seq) WHERE action IS NOT NULL;
CREATE INDEX audit_by_episode ON audit (tenant, episode, seq) WHERE episode IS NOT NULL;
CREATE INDEX audit_by_age ON audit (at);

CREATE TABLE idempotency (
    tenant      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    answer      TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('policy_generation', 0), ('audit_seq', 0);
