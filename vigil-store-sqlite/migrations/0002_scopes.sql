-- What there is to judge, and when it is next due: whatever has a newest sample or an open episode.
CREATE TABLE scopes (
    tenant TEXT    NOT NULL,
    target TEXT    NOT NULL, -- empty: the samples that name none
    due_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX scopes_due ON scopes (due_at, tenant, target);

CREATE TRIGGER series_scope AFTER INSERT ON series_latest BEGIN
    INSERT INTO scopes (tenant, target) VALUES (NEW.tenant, NEW.target) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER episodes_scope AFTER INSERT ON episodes BEGIN
    INSERT INTO scopes (tenant, target) VALUES (NEW.tenant, iif(NEW.target = 'unknown', '', NEW.target)) ON CONFLICT DO NOTHING;
END;

INSERT INTO scopes (tenant, target)
    SELECT tenant, target FROM series_latest
    UNION SELECT tenant, iif(target = 'unknown', '', target) FROM episodes WHERE state <> 'resolved';
CREATE INDEX episodes_by_scope ON episodes (tenant, target) WHERE state <> 'resolved';
DROP INDEX episodes_open;
