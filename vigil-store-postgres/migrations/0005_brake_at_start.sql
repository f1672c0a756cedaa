-- When the brakes of a tenant end, for whoever is about to begin what they stop: null if none is on. A function, because each
-- statement in it sees what was committed before that statement: it waits for whoever sets a brake, and looks only then.
CREATE FUNCTION vigil_braked(brake_lock BIGINT, braked_tenant TEXT, now_at TIMESTAMPTZ) RETURNS TIMESTAMPTZ
    LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(brake_lock);
    RETURN (SELECT max(coalesce(until, 'infinity')) FROM brakes WHERE tenant IN (braked_tenant, 'default')
        AND (tenant = braked_tenant OR scope = 'all') AND state = 'stopped' AND (until IS NULL OR until > now_at));
END $$;
