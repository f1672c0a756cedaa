-- A newest sample that lies more than a minute ahead of a new one's receipt was stamped by a clock that was wrong then: any new
-- sample replaces it. Otherwise the series would be frozen until the time that the wrong clock showed.
DROP TRIGGER metrics_newest;
CREATE TRIGGER metrics_newest AFTER INSERT ON metrics WHEN NEW.own BEGIN
    INSERT INTO series_latest (tenant, target, name, series, value, at)
        VALUES (NEW.tenant, NEW.target, NEW.name, NEW.series, NEW.value, NEW.at)
        ON CONFLICT (tenant, target, name, series) DO UPDATE SET value = excluded.value, at = excluded.at
        WHERE excluded.at >= series_latest.at OR series_latest.at > NEW.created_at + 60000000;
END;
