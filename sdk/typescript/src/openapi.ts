// Generated from the server's OpenAPI document by `npm run generate`: do not edit.

export interface paths {
    "/api/v1/actions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List actions, the newest first */
        get: operations["list_actions"];
        put?: never;
        /**
         * Ask for a remediation, or record one
         * @description A `pending` action, the default, is carried out: never two at a time on one target, so that it may wait, and held back by
         *     no cooldown. An action of any other status is the record of something done elsewhere, and does not count among those that the
         *     tenant may have in a minute.
         */
        post: operations["create_action"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/actions/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Actions can be taken in */
        get: operations["actions_health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/actions/status/{status}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List actions of one status, the newest first */
        get: operations["list_actions_by_status"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/actions/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show one action */
        get: operations["get_action"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/actions/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Call an action off
         * @description A pending one is never started. A running one keeps its target occupied until its executor reports; what it reports goes to
         *     the audit only.
         */
        put: operations["cancel_action"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/actions/{id}/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Move on an action that is carried out elsewhere
         * @description For actions that were recorded with a status other than `pending`; those that Vigil carries out can only be cancelled.
         */
        put: operations["record_action_status"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the audit
         * @description In the order in which it happened. An entry is seen once it has its sequence, within seconds.
         */
        get: operations["list_audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/brake": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show the brake
         * @description The one that is on, or else the tenant's own as it was last set.
         */
        get: operations["get_brake"];
        /**
         * Set the brake
         * @description When this is answered, nothing it stops is admitted or started on any replica. What runs is finished.
         */
        put: operations["set_brake"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/episodes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List episodes, the newest first */
        get: operations["list_episodes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/episodes/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show one episode */
        get: operations["get_episode"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/episodes/{id}/reset": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * End an episode by a person's word
         * @description If its condition is still met, another one opens, with all its actions before it.
         */
        post: operations["reset_episode"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow what happens, as server-sent events
         * @description The first event is `ready`. A message's type is the event's, and its place in the audit the event's id: who comes back with it
         *     misses nothing and sees nothing twice, whatever replica it comes to. Who is too slow gets `resync`: what has no id is lost.
         */
        get: operations["events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingest": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Take in one sample
         * @description 201 means that it is committed. Policies are evaluated afterwards: a violation never delays or fails the answer.
         */
        post: operations["ingest"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingest/agent/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Take in many samples
         * @description One sample, a list of them, or a list under the key `metrics`: all or none. Pointers of errors begin with the index.
         */
        post: operations["ingest_batch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ingest/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Samples can be taken in */
        get: operations["ingest_health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List a tenant's keys
         * @description The revoked ones included, the oldest first. No secret is shown.
         */
        get: operations["list_keys"];
        put?: never;
        /**
         * Make a key
         * @description The answer shows it, this once.
         */
        post: operations["create_key"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Refuse a key for good
         * @description In under a second on every replica.
         */
        delete: operations["revoke_key"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/keys/{id}/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Give a key another secret
         * @description The one it had is refused from then on, in under a second on every replica.
         */
        post: operations["rotate_key"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List policies by name
         * @description All of them, unless `limit` is given.
         */
        get: operations["list_policies"];
        put?: never;
        /**
         * Add a policy
         * @description It is in force on every replica at once, unless `enabled` is false.
         */
        post: operations["create_policy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/evaluate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Try policies on given metrics
         * @description A sandbox: the same evaluation and plan as live, and nothing is written.
         */
        post: operations["evaluate_policies"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/reload": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Read the policy files again
         * @description All or none: with an error in any file everything stays as it was.
         */
        post: operations["reload_policies"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/runner/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show what the runner does */
        get: operations["runner_status"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/severity/{severity}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List policies of one severity by name */
        get: operations["list_policies_by_severity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show one policy */
        get: operations["get_policy"];
        /**
         * Change a policy
         * @description Only the fields that the body has change. A changed condition begins to be timed anew. With `If-Match` it is changed only if
         *     nobody was faster.
         */
        put: operations["update_policy"];
        post?: never;
        /**
         * Remove a policy
         * @description Pending actions of it are cancelled when they would start, running ones finish, open episodes end.
         */
        delete: operations["delete_policy"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/{name}/disable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Take a policy out of force
         * @description For one from a file this survives a reload.
         */
        put: operations["disable_policy"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/{name}/enable": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Put a policy in force
         * @description For one from a file this survives a reload.
         */
        put: operations["enable_policy"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/query": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a metric over a span of time
         * @description One point a step, made by the store: charts need no second system. What would be more than 11,000 points is refused, with the
         *     smallest step that fits.
         */
        get: operations["query"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queue": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show how much of the tenant waits in the queue
         * @description When it cannot be asked the answer is 503, never zeros.
         */
        get: operations["tenant_queue"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queue/dead": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List tasks that were given up, the oldest first */
        get: operations["list_dead_letters"];
        put?: never;
        post?: never;
        /** Forget old dead letters */
        delete: operations["purge_dead_letters"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queue/dead/{task_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Forget a dead letter */
        delete: operations["discard_dead_letter"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/queue/dead/{task_id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Put a dead letter in line again
         * @description An action that is final by now is not carried out again.
         */
        post: operations["retry_dead_letter"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/series": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List what is measured
         * @description Every series with its newest sample, by name, then by target.
         */
        get: operations["list_series"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/settings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show what the server runs with
         * @description The effective configuration of this process, its secrets left out.
         */
        get: operations["settings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/simulator/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Put a load on this server
         * @description It comes with the key of whoever starts it.
         */
        post: operations["start_simulator"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/simulator/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show what the simulator does
         * @description It is always there, also where the configuration does not allow it to start.
         */
        get: operations["simulator_status"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/simulator/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stop the load
         * @description What is on its way is still counted.
         */
        post: operations["stop_simulator"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ui/queue/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show the queue of all tenants as it is now
         * @description When it cannot be asked the answer is 503, never zeros.
         */
        get: operations["queue_stats"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ui/simulator/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Put a load on this server
         * @description It comes with the key of whoever starts it.
         */
        post: operations["start_simulator_ui"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ui/simulator/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show what the simulator does
         * @description It is always there, also where the configuration does not allow it to start.
         */
        get: operations["simulator_status_ui"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ui/simulator/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stop the load
         * @description What is on its way is still counted.
         */
        post: operations["stop_simulator_ui"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/why": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Say why something is or is not done
         * @description Every gate as the planner would find it now, with its reason and the time it may next pass. Nothing is written.
         */
        get: operations["why"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/ws": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow what happens, over a WebSocket
         * @description The same messages as those of `/api/v1/events`, as JSON texts. Clients have nothing to say.
         */
        get: operations["websocket"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The process answers
         * @description Depends on nothing else: for liveness probes.
         */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The server's own metrics
         * @description In Prometheus's text format. This endpoint is not there when metrics are switched off.
         */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Describe the API
         * @description This document: OpenAPI 3.1, made from the code that serves it. `/docs` and `/redoc` show it in a browser.
         */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Store and queue can serve
         * @description For readiness probes. A remediator that is down, or a brake that is on, does not make it 503: actions wait.
         */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description An action: the durable intent to do something to a target. */
        Action: {
            /** @description What is done. */
            action: components["schemas"]["ActionType"];
            /**
             * Format: int32
             * @description The number of the newest attempt; 0 before the first.
             */
            attempt: number;
            /** @description When it became final. */
            completed_at: components["schemas"]["Time"] | null;
            /** @description Why it was wanted, later the outcome, for people. */
            details: string | null;
            /**
             * Format: int64
             * @description The episode it is to end; null when a person wanted it.
             */
            episode_id: number | null;
            /** @description Why it failed, or why the newest attempt did not succeed. */
            error_message: string | null;
            /**
             * Format: int64
             * @description Its id. Unique; ids do not tell the order of creation.
             */
            id: number;
            /** @description Passed on to the remediator. */
            params: components["schemas"]["Params"];
            /** @description Where it stands in more detail. */
            phase: components["schemas"]["Phase"];
            /** @description The policy that wanted it; null when a person did. */
            policy_name: components["schemas"]["PolicyName"] | null;
            /** @description When the first attempt started. */
            running_at: components["schemas"]["Time"] | null;
            /** @description How bad the violation is. */
            severity: components["schemas"]["Severity"];
            /** @description When it was created. Lists show the newest first. */
            started_at: components["schemas"]["Time"];
            /** @description Where it stands. */
            status: components["schemas"]["ActionStatus"];
            /** @description What it is done to. */
            target: components["schemas"]["Name"];
            /** @description Whether fresh metrics proved it; null when nothing verifies it, or nothing was done yet. */
            verification: components["schemas"]["Verification"] | null;
        };
        /** @description A page of actions. */
        ActionList: {
            /** @description The actions. */
            actions: components["schemas"]["Action"][];
            /** @description How many are on this page. */
            count: number;
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
        };
        /**
         * @description Where an action stands. The last three are final.
         * @enum {string}
         */
        ActionStatus: "pending" | "running" | "completed" | "failed" | "cancelled";
        /**
         * @description What is done to a target. In requests `restart-service` also stands for `restart`, `_` for `-`, and letters may be of either case; answers have the words as listed.
         * @enum {string}
         */
        ActionType: "restart" | "scale-up" | "scale-down" | "drain-pod" | "rebalance" | "snapshot" | "custom";
        /**
         * @description What one value of several samples is made by.
         * @enum {string}
         */
        Aggregate: "avg" | "min" | "max" | "sum" | "count" | "last";
        /** @description An entry of the audit. */
        AuditEntry: {
            /**
             * Format: int64
             * @description The action it is about, if it is about one.
             */
            action_id: number | null;
            /** @description Who caused it: a part of Vigil, or `key:` and the id of an API key. */
            actor: string;
            /** @description When it happened. */
            at: components["schemas"]["Time"];
            /** @description What else there is to know; its fields depend on `kind`. */
            detail: components["schemas"]["Detail"];
            /**
             * Format: int64
             * @description The episode it is about, if it is about one.
             */
            episode_id: number | null;
            /** @description What happened: what it is about, a dot, and a word. */
            kind: string;
            /** @description The policy it is about, if it is about one. */
            policy_name: components["schemas"]["PolicyName"] | null;
            /** @description Why, in words or as a reason's word. */
            reason: string | null;
            /**
             * Format: int64
             * @description Its place in the gapless order of all entries, of all tenants.
             */
            seq: number | null;
            /** @description The target it is about, if it is about one. */
            target: components["schemas"]["Name"] | null;
        };
        /** @description A page of the audit. */
        AuditList: {
            /** @description How many are on this page. */
            count: number;
            /** @description The entries. */
            entries: components["schemas"]["AuditEntry"][];
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
        };
        /** @description Samples were committed. */
        BatchIngested: {
            /** @description How many. */
            accepted: number;
            /** @description What was done, for people. */
            message: string;
            /**
             * Format: int64
             * @description The id of the first.
             */
            metric_id: number;
            /** @description Their ids, in the order of the request. */
            metric_ids: number[];
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description The brake that counts: the one that is on, or else the tenant's own as it was last set. */
        Brake: {
            /** @description Who set it; of another tenant's brake that is not told. */
            by: string | null;
            /** @description Why it was set. */
            reason: string | null;
            /** @description Whom it stops. */
            scope: components["schemas"]["BrakeScope"];
            /** @description When it was set; null if it never was. */
            since: components["schemas"]["Time"] | null;
            /** @description Whether automatic action is stopped. */
            state: components["schemas"]["BrakeState"];
            /** @description When it ends by itself; null when somebody must release it. */
            until: components["schemas"]["Time"] | null;
        };
        /** @description Stops all automatic action, or lets it go on. */
        BrakeChange: {
            /** @description Part of answers; ignored when it comes back. */
            by?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            ok?: unknown;
            /** @description Why, for whoever finds it: at most 4 KiB of UTF-8. Required to stop. */
            reason?: string | null;
            /** @description Whom it stops; `tenant` if it does not say. */
            scope?: components["schemas"]["BrakeScope"] | null;
            /** @description Part of answers; ignored when it comes back. */
            since?: unknown;
            /** @description What it shall be. */
            state: components["schemas"]["BrakeState"];
            /**
             * Format: date-time
             * @description When it ends by itself: a time to come. Left out, it stays until it is released.
             */
            until?: string | null;
        };
        /**
         * @description Whom a brake stops: the caller's tenant, or all of them, which only the tenant `default` can.
         * @enum {string}
         */
        BrakeScope: "tenant" | "all";
        /** @description The brake as it was set. */
        BrakeSet: components["schemas"]["Brake"] & {
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /**
         * @description Whether automatic action is stopped.
         * @enum {string}
         */
        BrakeState: "stopped" | "released";
        /** @description Why an action is called off. */
        Cancellation: {
            /** @description For people: at most 64 KiB of UTF-8. */
            reason?: string | null;
        };
        /** @description What was done to an action, and the action. */
        ChangedAction: components["schemas"]["Action"] & {
            /**
             * Format: int64
             * @description Its id, as in `id`.
             */
            action_id: number;
            /** @description What was done, for people. */
            message: string;
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description What was done to an episode, and the episode. */
        ChangedEpisode: components["schemas"]["Episode"] & {
            /** @description What was done, for people. */
            message: string;
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description One check between violation and action. */
        CheckedGate: {
            /** @description The same for people. */
            detail: string;
            /** @description Which. */
            gate: components["schemas"]["Gate"];
            /** @description When it may next pass, if the passing of time alone can bring that. */
            next_at: components["schemas"]["Time"] | null;
            /** @description Why it is blocked, as a word that programs may rely on. */
            reason: string | null;
            /** @description `pass` or `blocked`. */
            state: string;
        };
        /** @description Met when all, or any, of its conditions are. What is unknown counts as neither. */
        Compound: {
            /** @description At least one condition. */
            conditions: components["schemas"]["Condition"][];
            /**
             * @description Whether all must be met, or one is enough.
             * @enum {string}
             */
            type: "all" | "any";
        };
        /** @description When a policy is violated: a metric beyond a threshold, or all or any of several conditions, at most 16 deep and 256 in all. A program that embeds Vigil may register further types. */
        Condition: components["schemas"]["Threshold"] | components["schemas"]["Compound"];
        /** @description What answers that only confirm say. */
        Confirmation: {
            /** @description What was done, for people. */
            message: string;
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description A task that was given up on. */
        DeadLetter: {
            /** @description What would be done. */
            action: components["schemas"]["ActionType"] | null;
            /**
             * Format: int64
             * @description The action that it would carry out; null if what was queued is no task.
             */
            action_id: number | null;
            /** @description When it was given up. */
            at: components["schemas"]["Time"];
            /** @description What was queued, whatever it is. */
            payload: string;
            /** @description The policy that wanted it; null when a person did. */
            policy_name: string | null;
            /** @description Why it was given up. */
            reason: string;
            /** @description What that would be done to. */
            target: components["schemas"]["Name"] | null;
            /** @description Names it. */
            task_id: string;
        };
        /** @description A page of dead letters. */
        DeadLetterList: {
            /** @description How many are on this page. */
            count: number;
            /** @description The letters. */
            dead: components["schemas"]["DeadLetter"][];
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
        };
        /** @description What the live system would do now: `act`, `suggest`, `blocked`, or nothing when the policy is not met. */
        Decision: {
            /** @description `act`, `suggest` or `blocked`; null when the policy is not met. */
            decision: string | null;
            /** @description Why it is blocked, for people. */
            detail: string | null;
            /** @description When it may next be allowed, if the passing of time alone can bring that. */
            next_at: components["schemas"]["Time"] | null;
            /** @description Why it is blocked, as a word that programs may rely on. */
            reason: string | null;
        };
        /** @description What there is to know beside the fields that all have. */
        Detail: Record<string, unknown> | null;
        /** @description A span of time of at most 30 days: seconds, or text such as `90s`, `5m`, `1h`, `2d`. */
        Duration: number | string;
        /** @description An episode: one violation of a policy by a target, from its beginning to its end. */
        Episode: {
            /**
             * Format: int32
             * @description How many actions it has had.
             */
            actions: number;
            /** @description The condition as it was when the episode began. */
            condition: components["schemas"]["Condition"];
            /** @description The samples that met the condition. */
            evidence: components["schemas"]["Sample"][];
            /** @description Since when it has been met for as long as `for` asks; null before that. */
            firing_since: components["schemas"]["Time"] | null;
            /**
             * Format: int64
             * @description Its id.
             */
            id: number;
            /** @description When the condition was last known to be met or unmet. */
            known_at: components["schemas"]["Time"];
            /**
             * Format: int64
             * @description The newest of them; null before the first.
             */
            last_action_id: number | null;
            /** @description Since when the condition has been met. */
            pending_since: components["schemas"]["Time"];
            /** @description The policy that is violated. */
            policy_name: components["schemas"]["PolicyName"];
            /** @description Why nothing is done about it at present; null when nothing is in the way. */
            refusal: components["schemas"]["Refusal"] | null;
            /** @description How it ended; null before that. */
            resolution: components["schemas"]["Resolution"] | null;
            /** @description When it ended; null before that. */
            resolved_at: components["schemas"]["Time"] | null;
            /** @description How bad it is. */
            severity: components["schemas"]["Severity"];
            /** @description Where it stands. */
            state: components["schemas"]["EpisodeState"];
            /** @description The target that violates it. */
            target: components["schemas"]["Name"];
            /** @description Since when the condition has been unmet; null while it is met. */
            unmet_since: components["schemas"]["Time"] | null;
        };
        /** @description A page of episodes. */
        EpisodeList: {
            /** @description How many are on this page. */
            count: number;
            /** @description The episodes. */
            episodes: components["schemas"]["Episode"][];
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
        };
        /** @description Why an episode is ended. */
        EpisodeReset: {
            /** @description For people: at most 4 KiB of UTF-8. */
            reason?: string | null;
        };
        /**
         * @description Where an episode stands: `for` is running, it is firing, or it is over.
         * @enum {string}
         */
        EpisodeState: "pending" | "firing" | "resolved";
        /** @description What the policies say of the metrics. */
        Evaluation: {
            /** @description What would be done about them, gates ignored. Nothing is done. */
            actions_triggered: components["schemas"]["TriggeredAction"][];
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /** @description Every policy that was tried. */
            policies: components["schemas"]["TriedPolicy"][];
            /** @description When they were tried. */
            timestamp: components["schemas"]["Time"];
            /** @description The policies that are met, `for` taken as elapsed. */
            violations: components["schemas"]["Violation"][];
        };
        /**
         * @description One check between violation and action.
         * @enum {string}
         */
        Gate: "enabled" | "brake" | "target" | "for" | "autonomy" | "attempts" | "exclusion" | "cooldown" | "freshness" | "rate";
        /** @description The process answers. */
        Health: {
            /** @description Always `vigil`. */
            service: string;
            /** @description Always `healthy`: a process that is not does not answer. */
            status: string;
            /** @description The version of the server. */
            version: string;
        };
        /** @description The API. */
        HttpSettings: {
            /** @description How many bytes a batch of samples may have. */
            batch_limit_bytes: number;
            /** @description How many bytes a body may have. */
            body_limit_bytes: number;
            /** @description How long a body may take to arrive. */
            body_timeout_seconds: number;
            /** @description Whose pages may call the API from a browser. */
            cors_origins: string[];
            /** @description How long requests in flight may take after shutdown was asked for. */
            drain_seconds: number;
            /** @description How long a request's head may take to arrive. */
            header_timeout_seconds: number;
            /** @description How many connections are served at a time. */
            max_connections: number;
            /** @description Whether `/metrics` is there. */
            metrics_enabled: boolean;
            /** @description How long a backend may take to answer a health check. */
            ping_timeout_seconds: number;
            /** @description How long a request may take in all. */
            request_timeout_seconds: number;
        };
        /** @description A sample was committed. */
        Ingested: {
            /** @description What was done, for people. */
            message: string;
            /**
             * Format: int64
             * @description Its id.
             */
            metric_id: number;
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description The only answers that show a secret. */
        IssuedKey: components["schemas"]["Key"] & {
            /** @description The whole key, `vgl_<id>_<secret>`. It is not shown again. */
            key: string;
            /** @description What was done, for people. */
            message: string;
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description A key, without anything of its secret. */
        Key: {
            /** @description When it was made. */
            created_at: components["schemas"]["Time"];
            /** @description When it ends by itself; null if it does not. */
            expires_at: components["schemas"]["Time"] | null;
            /** @description Its public part. */
            id: components["schemas"]["KeyId"];
            /** @description What it is called, for people. */
            name: components["schemas"]["Name"];
            /** @description When it was refused for good; null if it was not. */
            revoked_at: components["schemas"]["Time"] | null;
            /** @description What its holder is there for. */
            role: components["schemas"]["Role"];
            /** @description When it last got another secret; null if it never did. */
            rotated_at: components["schemas"]["Time"] | null;
            /** @description `live`, `expired` or `revoked`. */
            status: string;
            /** @description Whose it is. */
            tenant: components["schemas"]["Tenant"];
        };
        /** @description The public part of a key. */
        KeyId: string;
        /** @description A tenant's keys. */
        KeyList: {
            /** @description How many there are. */
            count: number;
            /** @description The keys. */
            keys: components["schemas"]["Key"][];
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /** @description How long the answers to those that were taken took, in milliseconds. */
        Latency: {
            /**
             * Format: double
             * @description The longest.
             */
            max: number;
            /**
             * Format: double
             * @description Half took at most so long.
             */
            p50: number;
            /**
             * Format: double
             * @description 95 of 100 did.
             */
            p95: number;
            /**
             * Format: double
             * @description 99 of 100 did.
             */
            p99: number;
        };
        /** @description One series of a range. */
        Line: {
            /** @description Its points, the oldest first. A step without samples has none. */
            points: components["schemas"]["Point"][];
            /** @description What tells it from others of that target. */
            tags: components["schemas"]["Tags"];
            /** @description On what it was measured; null when no tag named a target. */
            target: components["schemas"]["Name"] | null;
        };
        /** @description One message of a live view. */
        LiveMessage: {
            /** @description What there is to know; its fields depend on `type`. */
            data: components["schemas"]["Detail"];
            /**
             * Format: int64
             * @description Its place in the audit, where to resume from. Without one it is news of this very moment, and not repeated.
             */
            seq?: number;
            /**
             * @description What it is about: `action`, `episode`, `policy`, `brake`, `key`, `dead_letter`, `queue`, `decision`,
             *     `metric`; or `ready`, or `resync`.
             */
            type: string;
        };
        /** @description The control loop. */
        LoopSettings: {
            /** @description How many actions an episode may have before a person must look. */
            actions_per_episode: number;
            /** @description How long an attempt may take in all. */
            deadline_seconds: number;
            /** @description How long an admitted action may wait to be started. */
            expires_after_seconds: number;
            /** @description How long work in flight may take after shutdown was asked for. */
            grace_seconds: number;
            /** @description How often it gives one. */
            heartbeat_seconds: number;
            /** @description How long final actions, ended episodes and the audit are kept. */
            history_retention_seconds: number;
            /** @description How many samples may wait in a lane. */
            lane_capacity: number;
            /** @description How many lanes evaluate samples side by side. */
            lanes: number;
            /** @description How much of the lease must be left before anything is sent. */
            lease_margin_seconds: number;
            /** @description How long a worker holds an action without a heartbeat. */
            lease_seconds: number;
            /** @description How many workers may be lost on one action. */
            max_crashes: number;
            /** @description How long samples are kept. */
            metric_retention_seconds: number;
            /** @description How soon a blocked violation is looked at again when no passing of time is known to free it. */
            recheck_seconds: number;
            /** @description How often what fell between the steps is picked up. */
            reconcile_interval_seconds: number;
            /** @description How long one call of the remediator may take. */
            remediation_timeout_seconds: number;
            /** @description The waits between attempts. */
            retry: {
                /** @description The first wait. */
                base_seconds: number;
                /** @description The longest wait. */
                cap_seconds: number;
                /** @description How many attempts there may be. */
                tries: number;
            };
            /** @description The sweep over all targets. */
            runner: {
                /** @description How many targets it reads at a time. */
                batch_size: number;
                /** @description Whether it runs. */
                enabled: boolean;
                /** @description From one sweep to the next. */
                interval_seconds: number;
            };
            /** @description How long an action's effect takes to show in metrics. */
            settle_seconds: number;
            /** @description How old a sample may be and still count as data. */
            staleness_seconds: number;
            /** @description The tags that may name a sample's target: the first present one wins. */
            target_tags: string[];
            /** @description After how long without a known verdict an episode ends. */
            unknown_after_seconds: number;
            /** @description How often actions awaiting verification are looked at. */
            verify_interval_seconds: number;
            /** @description How long after that a proof is waited for. */
            verify_seconds: number;
            /** @description How many actions this process carries out at a time. */
            workers: number;
        };
        /** @description 1 to 255 characters after white space around them is dropped, no control characters. */
        Name: string;
        /** @description An action that is asked for, or the record of one that was done elsewhere. */
        NewAction: {
            /** @description What is done. */
            action: components["schemas"]["ActionType"];
            /** @description Part of answers; ignored when it comes back. */
            action_id?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            attempt?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            completed_at?: unknown;
            /** @description Why it is wanted, for people: at most 64 KiB of UTF-8. */
            details?: string | null;
            /** @description Part of answers; ignored when it comes back. */
            episode_id?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            error_message?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            id?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            message?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            ok?: unknown;
            /** @description Passed on to the remediator. */
            params?: components["schemas"]["Params"] | null;
            /** @description Part of answers; ignored when it comes back. */
            phase?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            policy_name?: unknown;
            /** @description Part of answers; ignored when it comes back. */
            running_at?: unknown;
            /** @description How bad it is; `warning` if it does not say. */
            severity?: components["schemas"]["Severity"] | null;
            /** @description Part of answers; ignored when it comes back. */
            started_at?: unknown;
            /** @description `pending`, the default, has it carried out. Any other status records something done elsewhere, which Vigil never carries out. */
            status?: components["schemas"]["ActionStatus"] | null;
            /** @description What it is done to. */
            target: components["schemas"]["Name"];
            /** @description Part of answers; ignored when it comes back. */
            verification?: unknown;
        };
        /** @description A key that is to be made. */
        NewKey: {
            /**
             * Format: date-time
             * @description When it ends: a time to come. Left out, it does not expire.
             */
            expires_at?: string | null;
            /** @description What it is called, for people. */
            name: components["schemas"]["Name"];
            /** @description What its holder is there for. */
            role: components["schemas"]["Role"];
            /** @description Whose it will be; the caller's own tenant if it does not say. Only a key of the tenant `default` may name another. */
            tenant?: components["schemas"]["Tenant"] | null;
        };
        /** @description A load. The three rates are at most 1 together. */
        NewLoad: {
            /** @description For how long; left out, until it is stopped. */
            duration_seconds?: number | null;
            /**
             * @description The share of events whose value is none, which the server must refuse.
             * @default 0
             */
            failure_rate?: number | null;
            /**
             * @description The share of events that are no JSON.
             * @default 0
             */
            malformed_rate?: number | null;
            /** @description How events come, in letters of either case; `STEADY` if it does not say. */
            mode?: ("STEADY" | "BURST" | "RAMP" | "CHAOS") | null;
            /** @description Events per minute, on the average; 60 if it does not say. */
            rate?: number | null;
            /** @description The same seed gives the same events; left out, one is chosen. */
            seed?: number | null;
            /** @description The hosts that the samples are of. */
            targets?: string[] | null;
            /**
             * @description The share of events of which only half is sent.
             * @default 0
             */
            timeout_rate?: number | null;
        };
        /** @description One sample. Fields that are not listed are ignored: agents send extras. */
        NewMetric: {
            /** @description What was measured. */
            name: components["schemas"]["Name"];
            /** @description What tells series of one name apart, the target among them. */
            tags?: components["schemas"]["Tags"] | null;
            /** @description When it was measured, at most ten minutes ahead: RFC 3339, or seconds since 1970. The sample counts from then, or from its receipt if that is earlier. */
            timestamp?: string | number | null;
            /** @description A finite number. */
            value: number;
        };
        /** @description One sample, a list of them, or a list under the key `metrics`. */
        NewMetrics: (components["schemas"]["NewMetric"] & Record<string, unknown>) | components["schemas"]["NewMetric"][] | {
            /** @description The samples. */
            metrics: components["schemas"]["NewMetric"][];
        };
        /** @description A policy as it is written. */
        NewPolicy: {
            /** @description What heals it. */
            action: components["schemas"]["ActionType"];
            /**
             * @description Whether it may act on its own. If not, violations are recorded only.
             * @default false
             */
            auto_remediate?: boolean;
            /** @description When it is violated. */
            condition: components["schemas"]["Condition"];
            /**
             * @description For people.
             * @default
             */
            description?: string;
            /**
             * @description Whether it is in force.
             * @default true
             */
            enabled?: boolean;
            /** @description How long the condition must be met without a break before anything is done. */
            for?: components["schemas"]["Duration"];
            /** @description How long the condition must be unmet before the episode ends. */
            keep_firing_for?: components["schemas"]["Duration"];
            /** @description Unique. In an update it must be the one in the path. */
            name: components["schemas"]["PolicyName"];
            /** @description Part of answers; ignored when it comes back. */
            ok?: unknown;
            /** @description Parameters of the action. */
            params?: components["schemas"]["PolicyParams"];
            /** @description Part of answers; ignored when it comes back. */
            revision?: unknown;
            /** @description How bad a violation is; `warning` if it does not say. */
            severity?: components["schemas"]["Severity"];
            /** @description Part of answers; ignored when it comes back. */
            source?: unknown;
            /** @description Which targets it watches; `all` if it does not say. */
            target?: components["schemas"]["TargetPattern"];
            /** @description Part of answers; ignored when it comes back. */
            updated_at?: unknown;
        };
        /** @description An OpenAPI 3.1 document. */
        OpenApi: {
            /** @description What the API is. */
            info: Record<string, unknown>;
            /** @description The version of OpenAPI. */
            openapi: string;
            /** @description Its endpoints. */
            paths: Record<string, unknown>;
        };
        /** @description Free-form parameters, passed on to the remediator as they are. */
        Params: Record<string, unknown>;
        /**
         * @description Where an action stands in more detail than its status: waiting for a worker, waiting to be tried again, with a worker, sent without an answer so that metrics must tell, done and not yet proven, or over.
         * @enum {string}
         */
        Phase: "queued" | "retrying" | "executing" | "indeterminate" | "verifying" | "done";
        /** @description One step of a series. */
        Point: {
            /** @description Where the step begins. */
            at: components["schemas"]["Time"];
            /**
             * Format: double
             * @description The value of all its samples.
             */
            value: number;
        };
        /** @description A policy: a condition on targets that match a pattern, and the action that heals its violation. */
        Policy: {
            /** @description What heals it. */
            action: components["schemas"]["ActionType"];
            /** @description Whether it may act on its own. */
            auto_remediate: boolean;
            /** @description When it is violated. */
            condition: components["schemas"]["Condition"];
            /** @description For people. */
            description: string;
            /** @description Whether it is in force. */
            enabled: boolean;
            /**
             * Format: double
             * @description For how many seconds the condition must be met without a break before anything is done; absent when at once.
             */
            for?: number;
            /**
             * Format: double
             * @description For how many seconds the condition must be unmet before the episode ends; absent when at once.
             */
            keep_firing_for?: number;
            /** @description Its name, unique. */
            name: components["schemas"]["PolicyName"];
            /** @description Parameters of the action. */
            params: components["schemas"]["PolicyParams"];
            /**
             * Format: int64
             * @description Raised by every change; `If-Match` takes it.
             */
            revision: number;
            /** @description How bad a violation is. */
            severity: components["schemas"]["Severity"];
            /** @description Where it comes from, which alone may change it. */
            source: components["schemas"]["Source"];
            /** @description Which targets it watches. */
            target: components["schemas"]["TargetPattern"];
            /** @description When it was changed last. */
            updated_at: components["schemas"]["Time"];
        };
        /** @description Policies by name, all or a page. */
        PolicyList: {
            /** @description How many are on this page. */
            count: number;
            /** @description How many of those are in force. */
            enabled_count: number;
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /** @description The policies of this page by name. */
            policies: {
                [key: string]: components["schemas"]["Policy"];
            };
            /** @description How many there are on all pages. */
            total: number;
        };
        /** @description A policy's name: 1 to 255 characters, no control characters and no slash, and none of the words that are routes beside policies. */
        PolicyName: string;
        /** @description Parameters of a policy's action, passed on to the remediator as they are; Vigil itself reads `cooldown_seconds`. */
        PolicyParams: {
            /**
             * @description The least time between two automatic actions of this policy on one target.
             * @default 300
             */
            cooldown_seconds?: number;
        } & {
            [key: string]: unknown;
        };
        /** @description The fields of a policy that are to change; the others stay as they are. */
        PolicyPatch: {
            /** @description What heals it. */
            action?: components["schemas"]["ActionType"];
            /**
             * @description Whether it may act on its own. If not, violations are recorded only.
             * @default false
             */
            auto_remediate?: boolean;
            /** @description When it is violated. */
            condition?: components["schemas"]["Condition"];
            /**
             * @description For people.
             * @default
             */
            description?: string;
            /**
             * @description Whether it is in force.
             * @default true
             */
            enabled?: boolean;
            /** @description How long the condition must be met without a break before anything is done. */
            for?: components["schemas"]["Duration"];
            /** @description How long the condition must be unmet before the episode ends. */
            keep_firing_for?: components["schemas"]["Duration"];
            /** @description Unique. In an update it must be the one in the path. */
            name?: components["schemas"]["PolicyName"];
            /** @description Part of answers; ignored when it comes back. */
            ok?: unknown;
            /** @description Parameters of the action. */
            params?: components["schemas"]["PolicyParams"];
            /** @description Part of answers; ignored when it comes back. */
            revision?: unknown;
            /** @description How bad a violation is; `warning` if it does not say. */
            severity?: components["schemas"]["Severity"];
            /** @description Part of answers; ignored when it comes back. */
            source?: unknown;
            /** @description Which targets it watches; `all` if it does not say. */
            target?: components["schemas"]["TargetPattern"];
            /** @description Part of answers; ignored when it comes back. */
            updated_at?: unknown;
        };
        /** @description Why a request was not answered as asked (RFC 9457). */
        Problem: {
            /** @description One sentence for people. */
            detail: string;
            /** @description What is wrong with which field; absent when it is about no field. */
            errors?: components["schemas"]["ProblemField"][];
            /** @description The `X-Request-Id` of the answer. */
            request_id: string;
            /**
             * Format: int32
             * @description The HTTP status.
             */
            status: number;
            /** @description The kind in words. */
            title: string;
            /**
             * Format: uri
             * @description Which kind of problem it is: `urn:vigil:problem:` and a word that programs may rely on.
             */
            type: string;
        };
        /** @description What is wrong with one field. */
        ProblemField: {
            /**
             * Format: int64
             * @description The column in the policy file, when it is about one.
             */
            column?: number;
            /** @description What it must be. */
            detail: string;
            /**
             * Format: int64
             * @description The line in the policy file, when it is about one.
             */
            line?: number;
            /** @description A JSON pointer (RFC 6901) into the body, or to the name of a parameter of path or query. Empty for the whole body. */
            pointer: string;
        };
        /** @description Dead letters were forgotten. */
        Purged: {
            /** @description What was done, for people. */
            message: string;
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /** @description How many. */
            purged: number;
        };
        /** @description The queue in numbers. */
        Queue: {
            /**
             * Format: int64
             * @description How many were carried out.
             */
            completed: number;
            /**
             * Format: int64
             * @description How many were given up and wait for a person.
             */
            dead: number;
            /**
             * Format: int64
             * @description How many were given up.
             */
            failed: number;
            /** @description The last 60 depths, 5 seconds apart, the newest last. */
            history: number[];
            /** @description When one was processed last; null before the first. */
            last_processed_task: components["schemas"]["Time"] | null;
            /**
             * Format: int64
             * @description How many a worker has.
             */
            leased: number;
            /**
             * Format: int64
             * @description How many tasks wait to be claimed, due retries among them.
             */
            queue_depth: number;
            /**
             * Format: int64
             * @description The same.
             */
            queue_length: number;
            /**
             * Format: int64
             * @description How many wait for their time.
             */
            scheduled: number;
            /**
             * Format: double
             * @description The share of those carried out, from 0 to 1; null as long as nothing was processed.
             */
            success_rate: number | null;
            /**
             * Format: int64
             * @description How many were ever claimed.
             */
            tasks_dequeued: number;
            /**
             * Format: int64
             * @description How many were ever enqueued.
             */
            tasks_enqueued: number;
        };
        /** @description The queue and this process's workers. */
        QueueStatus: components["schemas"]["Queue"] & {
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /** @description The queue's numbers once more. */
            queue: components["schemas"]["Queue"];
            /** @description The workers of this process. */
            worker: components["schemas"]["Worker"];
        };
        /** @description The samples of a metric over a span of time. */
        Range: {
            /** @description What one point is made by. */
            agg: components["schemas"]["Aggregate"];
            /** @description How many points all series have together: at most 11,000. */
            count: number;
            /** @description Where it begins. */
            from: components["schemas"]["Time"];
            /** @description What was measured. */
            metric: components["schemas"]["Name"];
            /** @description The series that have samples there. */
            series: components["schemas"]["Line"][];
            /**
             * Format: int64
             * @description How many seconds one point stands for.
             */
            step: number;
            /** @description Where it ends, without that moment. */
            to: components["schemas"]["Time"];
        };
        /** @description What the server depends on, each `up` or `down`. */
        Readiness: {
            /** @description The brake of the tenant `default`: `stopped`, `released`, or `unknown` when the store is down. */
            brake: string;
            /** @description What carries tasks to workers. */
            queue: string;
            /** @description What carries actions out. */
            remediator: string;
            /** @description Always `vigil`. */
            service: string;
            /** @description `ready`, or `not_ready` when the store or the queue is down. */
            status: string;
            /** @description Where everything is kept. */
            store: string;
        };
        /** @description Why nothing is done about an episode at present. */
        Refusal: {
            /**
             * Format: int64
             * @description How often it was looked at since then.
             */
            count: number;
            /** @description The same for people. */
            detail: string;
            /** @description When it may next be allowed, if the passing of time alone can bring that. */
            next_at: components["schemas"]["Time"] | null;
            /** @description A word that programs may rely on. */
            reason: string;
            /** @description Since when it has been so. */
            since: components["schemas"]["Time"];
        };
        /**
         * @description How an episode ended: the condition was unmet, an action was verified, nothing was known for too long, the policy is gone or changed, or a person said so.
         * @enum {string}
         */
        Resolution: "recovered" | "verified" | "expired" | "policy_removed" | "reset";
        /**
         * @description What the holder of a key is there for: `ingest` sends samples and reads nothing, `viewer` reads, `operator` also changes policies and actions, `admin` also hands out keys.
         * @enum {string}
         */
        Role: "ingest" | "viewer" | "operator" | "admin";
        /** @description What judges every target at an interval, whether or not a sample comes. */
        Runner: {
            /** @description How many targets it takes at a time. */
            batch_size: number;
            /** @description Whether it is configured to run. */
            enabled: boolean;
            /**
             * Format: double
             * @description How many seconds apart every target is judged, by whichever replica.
             */
            interval_seconds: number;
            /**
             * Format: int64
             * @description How many pairs of policy and target it judged in the last interval.
             */
            judged: number;
            /** @description When it last had nothing left to take; null before the first time. */
            last_sweep: components["schemas"]["Time"] | null;
            /** @description Whether it runs now. */
            running: boolean;
            /**
             * Format: int64
             * @description How many targets it took in the last interval: its share.
             */
            targets: number;
        };
        /** @description The runner's status. */
        RunnerStatus: {
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /** @description The runner of this process. */
            runner: components["schemas"]["Runner"];
        };
        /** @description One value of one series: what conditions read, and what evidence is made of. */
        Sample: {
            /** @description When it was measured. */
            at: components["schemas"]["Time"];
            /** @description What was measured. */
            metric: components["schemas"]["Name"];
            /** @description What tells it from other series of that name. */
            tags: components["schemas"]["Tags"];
            /** @description The value. */
            value: number;
        };
        /** @description A series with its newest sample. */
        Series: {
            /** @description When that was measured. */
            at: components["schemas"]["Time"];
            /** @description What is measured. */
            name: components["schemas"]["Name"];
            /** @description What tells it from others of that name and target. */
            tags: components["schemas"]["Tags"];
            /** @description On what; null when no tag named a target. */
            target: components["schemas"]["Name"] | null;
            /**
             * Format: double
             * @description The newest value.
             */
            value: number;
        };
        /** @description A page of series. */
        SeriesList: {
            /** @description How many are on this page. */
            count: number;
            /** @description Where the next page begins; null on the last one. */
            next_cursor: string | null;
            /** @description The series. */
            series: components["schemas"]["Series"][];
        };
        /** @description How well a part of the service is. */
        ServiceHealth: {
            /** @description Which part of the service. */
            service: string;
            /** @description `healthy`, or `unhealthy` when the store is down. */
            status: string;
        };
        /** @description What a process runs with. */
        SettingsShown: {
            /** @description The API. */
            http: components["schemas"]["HttpSettings"];
            /** @description The control loop. */
            loop: components["schemas"]["LoopSettings"];
            /** @description What the program that serves the API adds to it. */
            program: Record<string, unknown>;
            /** @description The server's version. */
            version: string;
        };
        /**
         * @description How bad it is: worth knowing, worth acting on, noticed by users.
         * @enum {string}
         */
        Severity: "info" | "warning" | "critical";
        /** @description What the simulator does, or did last. */
        SimulatorStatus: {
            /** @description Whether the configuration allows it. */
            enabled: boolean;
            /**
             * Format: int64
             * @description How many were refused, or not answered.
             */
            events_failed: number;
            /**
             * Format: int64
             * @description How many events were sent: once all are answered, the sum of the other five.
             */
            events_generated: number;
            /**
             * Format: int64
             * @description How many were sent malformed.
             */
            events_malformed: number;
            /**
             * Format: int64
             * @description How many were refused for now, by 429.
             */
            events_rate_limited: number;
            /**
             * Format: int64
             * @description How many were taken.
             */
            events_succeeded: number;
            /**
             * Format: int64
             * @description How many were given up.
             */
            events_timeout: number;
            /** @description How long the answers took. */
            latency_ms: components["schemas"]["Latency"];
            /** @description How events come: `STEADY`, `BURST`, `RAMP` or `CHAOS`; null before the first start. */
            mode: string | null;
            /** @description Always true: an error is a problem. */
            ok: boolean;
            /**
             * Format: double
             * @description Events per minute, on the average; null before the first start.
             */
            rate: number | null;
            /** @description Whether it sends now. */
            running: boolean;
            /**
             * Format: int64
             * @description The same one gives the same events; null before the first start.
             */
            seed: number | null;
            /**
             * Format: double
             * @description For how long it has been, or was, sending.
             */
            uptime_seconds: number;
        };
        /** @description Where a policy comes from: made through the API, or declared in a file. */
        Source: {
            /**
             * @description Which of the two.
             * @enum {string}
             */
            kind: "api" | "file";
            /** @description The file's path as configured, for a policy from a file. */
            path?: string;
        };
        /** @description How an action that a client carries out itself has gone on. */
        StatusRecord: {
            /** @description For people: at most 64 KiB of UTF-8. Left out, the details stay as they are. */
            details?: string | null;
            /** @description The new status; the state machine must have such a move. */
            status: components["schemas"]["ActionStatus"];
        };
        /** @description Tags: at most 64, keys of 1 to 128 and values of up to 1024 characters, no control characters. The first present of `target`, `pod`, `container`, `instance`, `host`, `hostname` and `service` (unless configured otherwise) names the target. */
        Tags: {
            [key: string]: string;
        };
        /**
         * Format: glob
         * @description Which targets a policy watches: `all` or `*`, one exact name, or a glob of `*`, `?`, `[...]` and `{a,b}`, which must compile; `*` crosses every separator.
         */
        TargetPattern: string;
        /** @description Whose it is. */
        Tenant: string;
        /** @description What of the tenant is in the queue. */
        TenantQueue: {
            /**
             * Format: int64
             * @description How many of its tasks were given up and wait for a person.
             */
            dead: number;
            /**
             * Format: int64
             * @description How many of its tasks wait to be claimed, due retries among them.
             */
            queue_depth: number;
            /** @description Whose. */
            tenant: components["schemas"]["Tenant"];
        };
        /** @description Met when any fresh series of the metric is above (`metric_exceeds`) or below (`metric_below`) the threshold; unknown when none is fresh. */
        Threshold: {
            /** @description The metric's name. */
            metric: components["schemas"]["Name"];
            /** @description A finite number. */
            threshold: number;
            /**
             * @description On which side.
             * @enum {string}
             */
            type: "metric_exceeds" | "metric_below";
        };
        /**
         * Format: date-time
         * @description A time, RFC 3339 in UTC.
         */
        Time: string;
        /** @description Metrics to try policies on. */
        Trial: {
            /** @description Values by metric name. */
            metrics: {
                [key: string]: number;
            };
            /** @description Only policies that watch this target are tried; left out or `all`: every one in force. */
            target?: components["schemas"]["Name"] | null;
        };
        /** @description A policy that was tried. */
        TriedPolicy: components["schemas"]["Decision"] & {
            /** @description Which. */
            policy_name: components["schemas"]["PolicyName"];
            /** @description The target that was given, or `all`. */
            target: components["schemas"]["Name"];
            /** @description What its condition says. */
            verdict: components["schemas"]["Verdict"];
        };
        /** @description What would be done about it, gates ignored. */
        TriggeredAction: {
            /** @description What would be done. */
            action: components["schemas"]["ActionType"];
            /** @description The policy's own parameters. */
            params: components["schemas"]["PolicyParams"];
            /** @description The policy that would want it. */
            policy_name: components["schemas"]["PolicyName"];
            /** @description Always `triggered`. */
            status: string;
            /** @description What it would be done to. */
            target: components["schemas"]["Name"];
        };
        /** @description The changed policy. */
        UpdatedPolicy: components["schemas"]["Policy"] & {
            /** @description Always true: an error is a problem. */
            ok: boolean;
        };
        /**
         * @description What a condition says of metrics. `unknown`: fresh data is missing, which is neither yes nor no.
         * @enum {string}
         */
        Verdict: "met" | "unmet" | "unknown";
        /**
         * @description Whether fresh metrics proved that an action worked: still awaited, verified, ineffective, or inconclusive because no fresh sample came in time.
         * @enum {string}
         */
        Verification: "awaiting" | "verified" | "ineffective" | "inconclusive";
        /** @description A policy that is met, `for` taken as elapsed. */
        Violation: components["schemas"]["Decision"] & {
            /** @description The policy's description. */
            description: string;
            /** @description Which. */
            policy_name: components["schemas"]["PolicyName"];
            /** @description How bad it is. */
            severity: components["schemas"]["Severity"];
            /** @description The target that was given, or `all`. */
            target: components["schemas"]["Name"];
            /** @description When it was tried. */
            timestamp: components["schemas"]["Time"];
        };
        /** @description What stands between a policy and an action on a target. */
        Why: {
            /** @description What would be done now: `act`, `suggest`, `blocked`; null when there is no violation to decide about. */
            decision: string | null;
            /** @description The same for people. */
            detail: string;
            /** @description The open episode, if there is one. */
            episode: components["schemas"]["Episode"] | null;
            /** @description The samples that say so. */
            evidence: components["schemas"]["Sample"][];
            /** @description Every check, in the order in which they are asked. */
            gates: components["schemas"]["CheckedGate"][];
            /** @description Whether the policy watches the target at all. */
            matches: boolean;
            /** @description When all that is known to pass with time will have passed; null when something else must happen, or nothing need. */
            next_at: components["schemas"]["Time"] | null;
            /** @description Which policy. */
            policy_name: components["schemas"]["PolicyName"];
            /** @description Why it would be blocked, as a word that programs may rely on. */
            reason: string | null;
            /** @description Which target. */
            target: components["schemas"]["Name"];
            /** @description When this was so. */
            timestamp: components["schemas"]["Time"];
            /** @description What its condition says now. */
            verdict: components["schemas"]["Verdict"];
        };
        /** @description The workers of this process. */
        Worker: {
            /** @description Whether they run. */
            active: boolean;
            /** @description `running` or `stopped`. */
            status: string;
            /**
             * Format: int64
             * @description How many tasks were carried out.
             */
            tasks_completed: number;
            /**
             * Format: int64
             * @description How many tasks were given up.
             */
            tasks_failed: number;
        };
    };
    responses: never;
    parameters: {
        /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
        RequestId: string;
    };
    requestBodies: never;
    headers: {
        /** @description The client's own X-Request-Id if it was sane, else a new one. */
        RequestId: string;
        /** @description How many seconds to wait before the next try. */
        RetryAfter: number;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    list_actions: {
        parameters: {
            query?: {
                /** @description Only those of this status */
                status?: components["schemas"]["ActionStatus"];
                /** @description Only those on this target */
                target?: components["schemas"]["Name"];
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ActionList"];
                };
            };
        };
    };
    create_action: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes a repetition safe: within 24 hours the same key and body get the first answer again; with another body the key is refused */
                "Idempotency-Key"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The action */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewAction"];
            };
        };
        responses: {
            /** @description It is committed */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChangedAction"];
                };
            };
        };
    };
    actions_health: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They can */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceHealth"];
                };
            };
            /** @description The store is down */
            503: {
                headers: {
                    "Retry-After": components["headers"]["RetryAfter"];
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceHealth"];
                };
            };
        };
    };
    list_actions_by_status: {
        parameters: {
            query?: {
                /** @description Only those on this target */
                target?: components["schemas"]["Name"];
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The status */
                status: components["schemas"]["ActionStatus"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ActionList"];
                };
            };
        };
    };
    get_action: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The action's id */
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The action */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Action"];
                };
            };
        };
    };
    cancel_action: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The action's id */
                id: number;
            };
            cookie?: never;
        };
        /** @description The reason; the body may be left out */
        requestBody?: {
            content: {
                "application/json": components["schemas"]["Cancellation"];
            };
        };
        responses: {
            /** @description It is cancelled */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChangedAction"];
                };
            };
        };
    };
    record_action_status: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The action's id */
                id: number;
            };
            cookie?: never;
        };
        /** @description The new status */
        requestBody: {
            content: {
                "application/json": components["schemas"]["StatusRecord"];
            };
        };
        responses: {
            /** @description It is recorded */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChangedAction"];
                };
            };
        };
    };
    list_audit: {
        parameters: {
            query?: {
                /** @description Only entries about this action: its whole history */
                action_id?: number;
                /** @description Only entries about this episode */
                episode_id?: number;
                /** @description Only entries about this policy */
                policy?: components["schemas"]["PolicyName"];
                /** @description Only entries about this target */
                target?: components["schemas"]["Name"];
                /** @description Only entries of this kind */
                kind?: string;
                /** @description Only what happened from then on */
                since?: string | number;
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of it */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditList"];
                };
            };
        };
    };
    get_brake: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The brake as it counts now */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Brake"];
                };
            };
        };
    };
    set_brake: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description What it shall be */
        requestBody: {
            content: {
                "application/json": components["schemas"]["BrakeChange"];
            };
        };
        responses: {
            /** @description It is set */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BrakeSet"];
                };
            };
        };
    };
    list_episodes: {
        parameters: {
            query?: {
                /** @description Only those in this state */
                state?: components["schemas"]["EpisodeState"];
                /** @description Only those of this policy */
                policy?: components["schemas"]["PolicyName"];
                /** @description Only those of this target */
                target?: components["schemas"]["Name"];
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EpisodeList"];
                };
            };
        };
    };
    get_episode: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The episode's id */
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The episode */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Episode"];
                };
            };
        };
    };
    reset_episode: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The episode's id */
                id: number;
            };
            cookie?: never;
        };
        /** @description The reason; the body may be left out */
        requestBody?: {
            content: {
                "application/json": components["schemas"]["EpisodeReset"];
            };
        };
        responses: {
            /** @description It is over */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChangedEpisode"];
                };
            };
        };
    };
    events: {
        parameters: {
            query?: {
                /** @description Only messages of these kinds, a list with commas */
                kinds?: string;
                /** @description Only what is about targets of this pattern */
                target?: components["schemas"]["TargetPattern"];
                /** @description Only what is about this policy */
                policy?: components["schemas"]["PolicyName"];
                /** @description The `id` of the last message that was seen: what came after it follows */
                after?: number;
            };
            header?: {
                /** @description The same as `after`, and wins over it: what browsers send when they connect anew */
                "Last-Event-ID"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events, without end */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
        };
    };
    ingest: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes a repetition safe: within 24 hours the same key and body get the first answer again; with another body the key is refused */
                "Idempotency-Key"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The sample */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewMetric"];
            };
        };
        responses: {
            /** @description It is committed */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ingested"];
                };
            };
        };
    };
    ingest_batch: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes a repetition safe: within 24 hours the same key and body get the first answer again; with another body the key is refused */
                "Idempotency-Key"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The samples, 8 MiB of JSON unless configured otherwise */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewMetrics"];
            };
        };
        responses: {
            /** @description All are committed */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["BatchIngested"];
                };
            };
        };
    };
    ingest_health: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They can */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceHealth"];
                };
            };
            /** @description The store is down */
            503: {
                headers: {
                    "Retry-After": components["headers"]["RetryAfter"];
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceHealth"];
                };
            };
        };
    };
    list_keys: {
        parameters: {
            query?: {
                /** @description Whose keys; the caller's own tenant if it does not say. Only a key of the tenant `default` may name another. */
                tenant?: components["schemas"]["Tenant"];
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KeyList"];
                };
            };
        };
    };
    create_key: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The key */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewKey"];
            };
        };
        responses: {
            /** @description It is made */
            201: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IssuedKey"];
                };
            };
        };
    };
    revoke_key: {
        parameters: {
            query?: {
                /** @description Whose keys; the caller's own tenant if it does not say. Only a key of the tenant `default` may name another. */
                tenant?: components["schemas"]["Tenant"];
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The key's id, which is its public part */
                id: components["schemas"]["KeyId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is refused */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    rotate_key: {
        parameters: {
            query?: {
                /** @description Whose keys; the caller's own tenant if it does not say. Only a key of the tenant `default` may name another. */
                tenant?: components["schemas"]["Tenant"];
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The key's id, which is its public part */
                id: components["schemas"]["KeyId"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It has another one */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IssuedKey"];
                };
            };
        };
    };
    list_policies: {
        parameters: {
            query?: {
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them, or a page */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyList"];
                };
            };
        };
    };
    create_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The policy */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewPolicy"];
            };
        };
        responses: {
            /** @description It is committed */
            201: {
                headers: {
                    /** @description The revision in quotes, for `If-Match` */
                    ETag?: string;
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Policy"];
                };
            };
        };
    };
    evaluate_policies: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The metrics, and the target they are of */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Trial"];
            };
        };
        responses: {
            /** @description What the policies say, and what the live system would do */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Evaluation"];
                };
            };
        };
    };
    reload_policies: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What the files say is in force */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    runner_status: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its status */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunnerStatus"];
                };
            };
        };
    };
    list_policies_by_severity: {
        parameters: {
            query?: {
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The severity */
                severity: components["schemas"]["Severity"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All of them, or a page */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyList"];
                };
            };
        };
    };
    get_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The policy's name */
                name: components["schemas"]["PolicyName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy */
            200: {
                headers: {
                    /** @description The revision in quotes, for `If-Match` */
                    ETag?: string;
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Policy"];
                };
            };
        };
    };
    update_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description The revision that must still be the newest, as in `ETag`; `*` is any */
                "If-Match"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The policy's name */
                name: components["schemas"]["PolicyName"];
            };
            cookie?: never;
        };
        /** @description The fields to change */
        requestBody: {
            content: {
                "application/json": components["schemas"]["PolicyPatch"];
            };
        };
        responses: {
            /** @description It is changed */
            200: {
                headers: {
                    /** @description The revision in quotes, for `If-Match` */
                    ETag?: string;
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpdatedPolicy"];
                };
            };
        };
    };
    delete_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The policy's name */
                name: components["schemas"]["PolicyName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is gone */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    disable_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The policy's name */
                name: components["schemas"]["PolicyName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is out of force */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    enable_policy: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The policy's name */
                name: components["schemas"]["PolicyName"];
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is in force */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    query: {
        parameters: {
            query: {
                /** @description The metric's name */
                metric: components["schemas"]["Name"];
                /** @description Only its series on this target */
                target?: components["schemas"]["Name"];
                /** @description Only its series with this tag, as `key=value`; may stand often */
                tag?: string[];
                /** @description Where it begins; an hour before the end if it does not say */
                from?: string | number;
                /** @description Where it ends, without that moment; now if it does not say */
                to?: string | number;
                /** @description How many seconds one point stands for; a 300th of the whole if it does not say */
                step?: number;
                /** @description What one point is made by; `avg` if it does not say */
                agg?: components["schemas"]["Aggregate"];
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its series */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Range"];
                };
            };
        };
    };
    tenant_queue: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The tenant's own */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TenantQueue"];
                };
            };
        };
    };
    list_dead_letters: {
        parameters: {
            query?: {
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DeadLetterList"];
                };
            };
        };
    };
    purge_dead_letters: {
        parameters: {
            query: {
                /** @description How many seconds ago they must have been given up */
                older_than_seconds: number;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They are forgotten */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Purged"];
                };
            };
        };
    };
    discard_dead_letter: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The letter's `task_id` */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is forgotten */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    retry_dead_letter: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path: {
                /** @description The letter's `task_id` */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is in line again */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Confirmation"];
                };
            };
        };
    };
    list_series: {
        parameters: {
            query?: {
                /** @description Only those of this metric */
                name?: components["schemas"]["Name"];
                /** @description Only those of metrics whose names begin so */
                prefix?: string;
                /** @description Only those of this target */
                target?: components["schemas"]["Name"];
                /** @description How many the page may have */
                limit?: number;
                /** @description Where the page begins: the `next_cursor` of the one before */
                cursor?: string;
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of them */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SeriesList"];
                };
            };
        };
    };
    settings: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The settings */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SettingsShown"];
                };
            };
        };
    };
    start_simulator: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The load */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewLoad"];
            };
        };
        responses: {
            /** @description It sends */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    simulator_status: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What it does, or did last */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    stop_simulator: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It does not send any more */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    queue_stats: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The queue in numbers */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QueueStatus"];
                };
            };
        };
    };
    start_simulator_ui: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        /** @description The load */
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewLoad"];
            };
        };
        responses: {
            /** @description It sends */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    simulator_status_ui: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What it does, or did last */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    stop_simulator_ui: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It does not send any more */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SimulatorStatus"];
                };
            };
        };
    };
    why: {
        parameters: {
            query: {
                /** @description The policy's name */
                policy: components["schemas"]["PolicyName"];
                /** @description The target */
                target: components["schemas"]["Name"];
            };
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Every gate */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Why"];
                };
            };
        };
    };
    websocket: {
        parameters: {
            query?: {
                /** @description Only messages of these kinds, a list with commas */
                kinds?: string;
                /** @description Only what is about targets of this pattern */
                target?: components["schemas"]["TargetPattern"];
                /** @description Only what is about this policy */
                policy?: components["schemas"]["PolicyName"];
                /** @description The `id` of the last message that was seen: what came after it follows */
                after?: number;
            };
            header?: {
                /** @description The same as `after`, and wins over it: what browsers send when they connect anew */
                "Last-Event-ID"?: string;
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The WebSocket begins; its texts are like this */
            101: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LiveMessage"];
                };
            };
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It does */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Metrics, every name with the prefix `vigil_` */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    openapi: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The document */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OpenApi"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: {
                /** @description Names the request in the answer and in the log. Kept if it is 1 to 128 visible ASCII characters, else a new one takes its place. */
                "X-Request-Id"?: components["parameters"]["RequestId"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description They can */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            /** @description One of them cannot */
            503: {
                headers: {
                    "Retry-After": components["headers"]["RetryAfter"];
                    "X-Request-Id": components["headers"]["RequestId"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
        };
    };
}
