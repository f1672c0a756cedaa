-- One index over all samples, by scope, costs each sample a page of its own: 64 series in a commit are 64 pages of 4 KiB in the
-- log. Within chunks of 512 samples in the order they came, the same commit touches a few pages of the newest chunk. Which chunks
-- may hold samples of a time stands beside them, in whole seconds, so that it is seldom written.
CREATE TABLE metric_chunks (
    chunk INTEGER PRIMARY KEY, -- the ids of its samples, divided by 512
    first INTEGER NOT NULL, -- the second of its oldest sample
    last  INTEGER NOT NULL -- and of its newest one
) STRICT;
CREATE INDEX metric_chunks_by_last ON metric_chunks (last);
INSERT INTO metric_chunks (chunk, first, last)
    SELECT id >> 9, min(at / 1000000), max(at / 1000000) FROM metrics GROUP BY id >> 9;
CREATE TRIGGER metrics_chunk AFTER INSERT ON metrics BEGIN
    INSERT INTO metric_chunks (chunk, first, last) VALUES (NEW.id >> 9, NEW.at / 1000000, NEW.at / 1000000)
        ON CONFLICT (chunk) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)
        WHERE excluded.first < first OR excluded.last > last;
END;
DROP INDEX metrics_by_scope;
CREATE INDEX metrics_by_chunk ON metrics (id >> 9, tenant, name, target, at);

-- What keeps the newest sample of each series is part of the INSERT, which then is a transaction by itself.
ALTER TABLE metrics ADD COLUMN own INTEGER NOT NULL DEFAULT 0; -- 1: recorded by Vigil; a foreign client's row is kept and no more
CREATE TRIGGER metrics_newest AFTER INSERT ON metrics WHEN NEW.own BEGIN
    INSERT INTO series_latest (tenant, target, name, series, value, at)
        VALUES (NEW.tenant, NEW.target, NEW.name, NEW.series, NEW.value, NEW.at)
        ON CONFLICT (tenant, target, name, series) DO UPDATE SET value = excluded.value, at = excluded.at
        WHERE excluded.at >= series_latest.at;
END;
