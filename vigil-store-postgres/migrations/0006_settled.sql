-- From when on a target shows what was done to it: whoever would act on it next asks, whatever policy that was of.
CREATE INDEX actions_by_end ON actions (tenant, target, greatest(completed_at, verify_after))
    WHERE managed AND running_at IS NOT NULL AND completed_at IS NOT NULL;
