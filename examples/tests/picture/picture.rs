//! [`Picture`]: agent, server, worker, remediator and drift daemon as processes, over a PostgreSQL and a Redis of their own.

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use vigil_tests::http::Answer;
use vigil_tests::private::Private;

use crate::program::{PATIENCE, Program, command, until};
use crate::shop::{Shop, free_port};

pub(crate) const SECRET: &str = "the secret of all that act";
const PEPPER: &str = "the pepper of this picture";

/// The policies as code: they heal the shop once the drift daemon has put them in force.
pub(crate) const POLICIES: &str = "
- name: shop-killed
  description: None of its processes is there.
  severity: critical
  target: shop
  condition: { type: metric_below, metric: process_count, threshold: 1 }
  auto_remediate: true
  action: restart
  params: { cooldown_seconds: 1 }
- name: shop-hung
  description: It is there, not just started, and does not answer again and again.
  severity: critical
  target: shop
  condition:
    type: all
    conditions:
      - { type: metric_exceeds, metric: health_check_failures, threshold: 2 }
      - { type: metric_exceeds, metric: process_count, threshold: 0 }
      - { type: metric_exceeds, metric: process_uptime_seconds, threshold: 4 }
  auto_remediate: true
  action: restart
  params: { cooldown_seconds: 1 }
- name: shop-leaking
  description: It takes far more memory than it needs.
  severity: warning
  target: shop
  condition: { type: metric_exceeds, metric: process_rss_mb, threshold: 120 }
  auto_remediate: true
  action: restart
  params: { cooldown_seconds: 1 }
";

/// How many policies these are.
pub(crate) const DECLARED: usize = 3;

/// All of it, running.
pub(crate) struct Picture {
    pub(crate) shop: Shop,
    pub(crate) remediator: Program,
    pub(crate) gitopsd: Program,
    server: Program,
    worker: Program,
    agent: Program,
    key: String,
    // The last to go.
    _servers: [Private; 2],
    _folder: TempDir,
}

impl Picture {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, shop) = (folder.path(), Shop::new(folder.path()));
        let servers = [Private::start("postgres"), Private::start("redis")];
        let (database, redis) = (servers[0].run("url"), servers[1].run("url"));
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();

        write("remediator.yaml", &of_the_remediator(&shop));
        let mut remediator = command("vigil-remediator", path);
        remediator.args(["--config", "remediator.yaml"]).env("REMEDIATOR_SECRET", SECRET);
        let remediator = Program::start("remediator", remediator).await;

        let drift = format!("127.0.0.1:{}", free_port(26_000));
        write("collector.yaml", &of_the_server(&remediator.address, &drift));
        let of_the_server = |roles: &str| {
            let mut server = command("examples/server", path);
            server.env("DATABASE_URL", &database).env("REDIS_URL", &redis).env("REMEDIATOR_SECRET", SECRET);
            server.env("VIGIL_KEY_PEPPER", PEPPER).args(["--config", "collector.yaml"]);
            if !roles.is_empty() {
                server.args(["--port", "0", "--role", roles]);
            }
            server
        };
        let server = Program::start("server", of_the_server("api,runner")).await;
        let worker = Program::start("worker", of_the_server("worker")).await;
        let made = async |name: &str, role: &str| {
            let mut make = of_the_server("");
            make.args(["keys", "create", "--name", name, "--role", role]);
            key(make).await
        };
        let key = made("tests", "operator").await;
        write("agent.key", &made("agent", "ingest").await);
        write("gitopsd.key", &made("gitopsd", "operator").await);

        std::fs::create_dir(path.join("policies")).unwrap();
        write("policies/shop.yaml", POLICIES);
        write("gitopsd.yaml", &of_the_drift_daemon(&server.address, &drift));
        let mut gitopsd = command("vigil-gitopsd", path);
        gitopsd.args(["--config", "gitopsd.yaml"]).env("REMEDIATOR_SECRET", SECRET);
        let gitopsd = Program::start("gitopsd", gitopsd).await;

        write("agent.yaml", &of_the_agent(&server.address, &shop));
        let mut agent = command("vigil-agent", path);
        agent.args(["--config", "agent.yaml"]);
        let agent = Program::start("agent", agent).await;
        Self { shop, remediator, gitopsd, server, worker, agent, key, _servers: servers, _folder: folder }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.server.ask(method, path, &[("X-API-Key", &self.key)], body).await
    }

    /// All actions, newest first.
    pub(crate) async fn actions(&self) -> Vec<Value> {
        self.get("/api/v1/actions?limit=500").await["actions"].as_array().unwrap().clone()
    }

    /// Waits until `count` actions were completed and verified, every episode is over, and there are no more actions than those.
    /// Answers them, newest first.
    pub(crate) async fn healed(&self, count: usize) -> Vec<Value> {
        let is_proven = |action: &Value| action["status"] == "completed" && action["verification"] == "verified";
        let at_rest = until(async || {
            let seen = self.actions().await;
            let is_done = seen.len() >= count && seen.iter().all(is_proven);
            (is_done && self.open_episodes().await.is_empty()).then_some(seen)
        });
        let Some(seen) = at_rest.await else {
            let (seen, open) = (self.actions().await, self.open_episodes().await);
            panic!("{count} actions are not verified: {seen:#?}, episodes {open:#?}\n{}", self.tails());
        };
        assert_eq!(seen.len(), count, "one action each: {seen:#?}\n{}", self.tails());
        seen
    }

    async fn open_episodes(&self) -> Vec<Value> {
        let all = self.get("/api/v1/episodes?limit=100").await["episodes"].as_array().unwrap().clone();
        all.into_iter().filter(|episode| episode["state"] != "resolved").collect()
    }

    fn tails(&self) -> String {
        [&self.server, &self.worker, &self.agent, &self.remediator, &self.gitopsd].map(Program::tail).join("\n\n")
    }

    /// Stops them as their users do; each ends well.
    pub(crate) async fn stop(self) {
        for program in [self.agent, self.gitopsd, self.worker, self.server, self.remediator] {
            program.stop().await;
        }
    }
}

/// What `server keys create` prints.
async fn key(mut make: Command) -> String {
    let made = timeout(PATIENCE, make.output()).await.unwrap().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn of_the_remediator(shop: &Shop) -> String {
    format!(
        "
listen: 127.0.0.1:0
ledger: keys.redb
executors:
  host:
    process:
      folder: processes
      services:
        shop:
          command: [{program}, --victim, '{port}', --parent, '{parent}']
          stop_seconds: 2
          start_seconds: 0.5
routes: [{{ target: shop, actions: [restart], executor: host }}]
",
        program = shop.program.display(),
        port = shop.port,
        parent = std::process::id()
    )
}

fn of_the_server(remediator: &str, drift: &str) -> String {
    format!(
        "
verification: {{ settle_seconds: 1, deadline_seconds: 60, interval_seconds: 0.2 }}
worker: {{ lease_seconds: 10, heartbeat_seconds: 2, lease_margin_seconds: 2, retry_base_seconds: 0.5 }}
reconcile_interval_seconds: 0.5
runner: {{ interval_seconds: 1 }}
remediator:
  url: http://{remediator}/remediate
  deadline_seconds: 60
  routes: [{{ target: 'drift/*', url: 'http://{drift}/remediate' }}]
"
    )
}

fn of_the_drift_daemon(server: &str, listen: &str) -> String {
    format!(
        "
server: http://{server}
api_key_file: gitopsd.key
interval_seconds: 1
listen: {listen}
state: drift
sources: [{{ name: rules, mode: enforce, path: policies, policies: {{}}, cooldown_seconds: 1 }}]
"
    )
}

fn of_the_agent(server: &str, shop: &Shop) -> String {
    format!(
        "
server: http://{server}
api_key_file: agent.key
interval_seconds: 1
buffer: buffer
listen: 127.0.0.1:0
processes: [{{ name: {name}, target: shop }}]
checks: [{{ name: work, http: 'http://{address}/work', timeout_seconds: 1, target: shop }}]
",
        name = Shop::name(),
        address = shop.address()
    )
}
