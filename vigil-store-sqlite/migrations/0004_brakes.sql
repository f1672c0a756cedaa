-- What stops all automatic action of a tenant, or, of the default tenant, of all. Whoever never set one has no row.
CREATE TABLE brakes (
    tenant TEXT    PRIMARY KEY,
    state  TEXT    NOT NULL CHECK (state IN ('stopped', 'released')),
    scope  TEXT    NOT NULL CHECK (scope IN ('tenant', 'all')),
    reason TEXT,
    until  INTEGER,
    since  INTEGER NOT NULL,
    actor  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- What people look at: series by name, and the audit by policy, target and rare kinds.
CREATE INDEX series_by_name ON series_latest (tenant, name, target, series);
CREATE INDEX audit_by_policy ON audit (tenant, policy, seq) WHERE policy IS NOT NULL;
CREATE INDEX audit_by_target ON audit (tenant, target, seq) WHERE target IS NOT NULL;
CREATE INDEX audit_by_kind ON audit (tenant, kind, seq) WHERE kind NOT LIKE 'action.%' AND kind NOT LIKE 'episode.%';
