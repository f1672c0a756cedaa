//! Declarations on a branch.

use std::process::Command;

use serde_json::{Value, json};
use vigil_core::testing::eventually;

use crate::world::World;

/// A repository that a test commits to.
struct Origin<'a>(&'a World);

impl Origin<'_> {
    fn new(world: &World) -> Origin<'_> {
        std::fs::create_dir_all(world.path("origin")).unwrap();
        let origin = Origin(world);
        origin.git(&["init", "--quiet", "--initial-branch", "main"]);
        origin
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.0.path("origin")).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        let done = command.args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self, file: &str, text: &str) {
        self.0.write(&format!("origin/{file}"), text);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "a change"]);
    }

    fn source(&self, branch: &str) -> String {
        let url = format!("file://{}", self.0.path("origin").display());
        format!(
            "  - {{name: rules, mode: enforce, cooldown_seconds: 0, policies: {{}},\n     \
             git: {{url: '{url}', branch: {branch}, path: policies}}}}"
        )
    }
}

fn policy(name: &str, threshold: u32) -> String {
    format!(
        "policies:\n  - name: {name}\n    action: restart\n    condition: \
         {{type: metric_exceeds, metric: cpu, threshold: {threshold}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_commit_is_brought_into_force_and_a_broken_manifest_is_named_and_costs_only_itself() {
    let world = World::new().await;
    let origin = Origin::new(&world);
    origin.commit("policies/hot.yaml", &policy("hot", 80));
    origin.commit("elsewhere.yaml", &policy("elsewhere", 1));
    let daemon = world.start(&origin.source("main")).await;
    let threshold = |name: &str| world.policy(name).map(|policy| policy["condition"]["threshold"].clone());
    eventually("the first commit", async || (threshold("hot")? == 80.0).then_some(())).await;

    origin.commit("policies/hot.yaml", &policy("hot", 70));
    eventually("the second commit", async || (threshold("hot")? == 70.0).then_some(())).await;

    origin.commit("policies/broken.yaml", "policies:\n  - name: broken\n    action: [restart\n");
    origin.commit("policies/half.yaml", &(policy("good", 60) + "  - name: bad\n    action: explode\n"));
    origin.commit("policies/hot.yaml", &policy("hot", 60));
    eventually("the rest", async || (threshold("hot")? == 60.0 && threshold("good")? == 60.0).then_some(())).await;
    let drift: Value = serde_json::from_str(&daemon.text("/drift").await).unwrap();
    let rules = &drift["sources"][0];
    let problems: Vec<_> = rules["problems"].as_array().unwrap().iter().map(|p| (&p["file"], &p["line"])).collect();
    assert!(problems.contains(&(&json!("half.yaml"), &json!(6))), "{problems:?}");
    let broken = problems.iter().find(|(file, _)| **file == "broken.yaml").unwrap();
    assert!(broken.1.as_u64().is_some_and(|line| (3..=4).contains(&line)), "{problems:?}");
    assert_eq!(rules["commit"].as_str().map(str::len), Some(40));
    assert!(world.policy("bad").is_none() && world.policy("elsewhere").is_none());

    // What somebody does in the working copy does not stay.
    let copy = world.path("state/git/rules/policies");
    std::fs::write(copy.join("hot.yaml"), policy("hot", 1)).unwrap();
    std::fs::write(copy.join("mine.yaml"), policy("mine", 1)).unwrap();
    eventually("the branch again", async || {
        let text = std::fs::read_to_string(copy.join("hot.yaml")).unwrap_or_default();
        (text.contains("threshold: 60") && !copy.join("mine.yaml").exists()).then_some(())
    })
    .await;
    daemon.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_is_not_there_is_said_and_found_when_it_comes() {
    let world = World::new().await;
    let origin = Origin::new(&world);
    origin.commit("policies/hot.yaml", &policy("hot", 80));
    let daemon = world.start(&origin.source("next")).await;
    let error = eventually("the error", async || {
        let drift: Value = serde_json::from_str(&daemon.text("/drift").await).unwrap();
        drift["sources"][0]["error"].as_str().map(str::to_owned)
    })
    .await;
    assert!(error.contains("the branch next of file://") && error.contains("refs/heads/next"), "{error}");
    assert!(daemon.text("/ready").await.contains("not_ready"));
    origin.git(&["branch", "next"]);
    eventually("the branch", async || world.policy("hot")).await;
    daemon.stop().await;
    world.stop().await;
}
