-- Who may call. Of a secret only its digest is kept; a revoked key stays, so that its id is never used again.
CREATE TABLE api_keys (
    id         TEXT COLLATE "C" PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL,
    name       TEXT        NOT NULL,
    role       TEXT        NOT NULL CHECK (role IN ('ingest', 'viewer', 'operator', 'admin')),
    digest     BYTEA       NOT NULL CHECK (octet_length(digest) = 32),
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    rotated_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);

INSERT INTO counters (name, value) VALUES ('key_generation', 0);
