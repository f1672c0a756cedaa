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
