-- Who may call. Of a secret only its digest is kept; a revoked key stays, so that its id is never used again.
CREATE TABLE api_keys (
    id         TEXT    PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role IN ('ingest', 'viewer', 'operator', 'admin')),
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    rotated_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO counters (name, value) VALUES ('key_generation', 0);
