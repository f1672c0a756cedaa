-- What may stop an attempt that is about to begin: when the brakes of its tenant end (null if none is engaged), and whether the
-- policy that wants it is in force (null policy: a person wants it). A function, because each statement in it sees what was
-- committed before that statement: it waits for a brake, or a write of policies, that is being committed, and reads after it.
CREATE FUNCTION vigil_may_begin(brake_lock BIGINT, action_tenant TEXT, now_at TIMESTAMPTZ, wanted_by TEXT, wanted_revision BIGINT,
        OUT braked TIMESTAMPTZ, OUT in_force BOOLEAN) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    braked := vigil_braked(brake_lock, action_tenant, now_at);
    in_force := wanted_by IS NULL OR EXISTS (SELECT FROM policies
        WHERE tenant = action_tenant AND name = wanted_by AND revision = wanted_revision AND enabled);
END $$;
