-- A foreign client's pending row is Vigil's to carry out; any other status records something done elsewhere, which has ended
-- when it began if it has ended.
CREATE OR REPLACE FUNCTION vigil_managed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.managed := NEW.status = 'pending';
    IF NEW.status IN ('completed', 'failed', 'cancelled') THEN
        NEW.completed_at := coalesce(NEW.completed_at, NEW.started_at);
    END IF;
    RETURN NEW;
END $$;
UPDATE actions SET completed_at = started_at
    WHERE NOT managed AND completed_at IS NULL AND status IN ('completed', 'failed', 'cancelled');
