//! Against a real systemd, over its bus.

use std::process::Command;

use vigil_core::testing::eventually;
use vigil_gitops::units::{UnitsConfig, UnitsSource};
use vigil_gitops::{ItemKey, Source};

use crate::common::{have, patch, said, word, write};

/// The systemd of the tests, in its folder, and a list for it.
struct Machine {
    folder: String,
    list: tempfile::TempDir,
    source: UnitsSource,
}

impl Machine {
    fn shared() -> Option<Self> {
        let folder = have("systemd", "VIGIL_TEST_SYSTEMD")?;
        let address = Some(script(&folder, "address", &[]));
        let source = UnitsSource::new(UnitsConfig { address, ..UnitsConfig::default() }, vec![]);
        Some(Self { folder, list: tempfile::tempdir().unwrap(), source })
    }

    fn run(&self, arguments: &[&str]) -> String {
        script(&self.folder, "run", arguments)
    }

    fn unit(&self, name: &str, text: &str) {
        let path = format!("{}/root/etc/systemd/system/{name}.service", self.folder);
        std::fs::write(path, text).unwrap();
        self.run(&["systemctl", "daemon-reload"]);
    }

    fn declare(&self, text: &str) {
        write(self.list.path(), "units.yaml", text);
    }

    async fn compare(&self) -> vigil_gitops::Comparison {
        self.source.compare(self.list.path()).await.unwrap()
    }

    async fn said(&self) -> Vec<String> {
        said(&self.compare().await)
    }

    async fn heal(&self, unit: &str) -> String {
        word(&self.source.heal(self.list.path(), &key(unit)).await)
    }
}

fn script(folder: &str, verb: &str, arguments: &[&str]) -> String {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers/systemd");
    let output = Command::new(script).arg(verb).arg(folder).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn key(unit: &str) -> ItemKey {
    ItemKey::new("unit", "", unit)
}

#[tokio::test]
async fn units_are_made_as_they_are_declared() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("declared-up", "[Service]\nExecStart=sleep 600\n[Install]\nWantedBy=multi-user.target\n");
    machine.unit("declared-down", "[Service]\nExecStart=sleep 600\n");
    machine.run(&["systemctl", "start", "declared-down"]);
    machine.declare("units:\n- {unit: declared-up, enabled: true}\n- {unit: declared-down.service, active: false}\n");
    let comparison = machine.compare().await;
    assert_eq!(
        said(&comparison),
        [
            "unit/declared-up.service drifted: it is inactive (dead) and disabled, declared active and enabled",
            "unit/declared-down.service drifted: it is active (running), declared inactive",
        ]
    );
    assert_eq!(
        patch(&comparison, &key("declared-down.service")),
        r#"[{"op":"replace","path":"/active","value":false}]"#
    );
    assert_eq!(comparison.items[1].origin.to_string(), "units.yaml:3");
    let answer = machine.heal("declared-up.service").await;
    assert!(
        answer.starts_with("succeeded: declared-up.service is enabled; StartUnit declared-up.service: active"),
        "{answer}"
    );
    assert!(machine.heal("declared-down.service").await.starts_with("succeeded: StopUnit"));
    assert_eq!(machine.run(&["systemctl", "is-enabled", "declared-up"]), "enabled");
    assert_eq!(machine.run(&["systemctl", "is-active", "declared-down"]), "inactive");
    let same = ["unit/declared-up.service same", "unit/declared-down.service same"];
    assert_eq!(machine.said().await, same);
    assert_eq!(machine.heal("declared-up.service").await, "succeeded: declared-up.service is same already");
    machine.source.ping().await.unwrap();
}

#[tokio::test]
async fn a_unit_whose_process_was_killed_is_started_again() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("killed", "[Service]\nExecStart=sleep 600\n");
    machine.run(&["systemctl", "start", "killed"]);
    machine.declare("units: [{unit: killed}]");
    assert_eq!(machine.said().await, ["unit/killed.service same"]);
    machine.run(&["systemctl", "kill", "-s", "KILL", "killed"]);
    let drifted = "unit/killed.service drifted: it is failed (failed), declared active";
    eventually("the drift", async || (machine.said().await == [drifted]).then_some(())).await;
    assert!(machine.heal("killed.service").await.starts_with("succeeded: StartUnit"));
    assert_eq!(machine.said().await, ["unit/killed.service same"]);
}

#[tokio::test]
async fn what_cannot_be_started_or_is_not_there_says_so() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("hopeless", "[Service]\nType=notify\nExecStart=/bin/false\n");
    machine.declare("units: [{unit: hopeless}, {unit: nowhere}, {unit: nothing, active: false}]");
    assert_eq!(
        machine.said().await,
        [
            "unit/hopeless.service drifted: it is inactive (dead), declared active",
            "unit/nowhere.service drifted: it is missing",
            "unit/nothing.service same",
        ]
    );
    let answer = machine.heal("hopeless.service").await;
    assert!(answer.starts_with("failed (false): the job of StartUnit hopeless.service ended as 'failed'"), "{answer}");
    let answer = machine.heal("nowhere.service").await;
    assert!(answer.starts_with("rejected: systemd refuses StartUnit nowhere.service"), "{answer}");
}

#[tokio::test]
async fn a_unit_that_is_on_its_way_is_not_judged() {
    let Some(machine) = Machine::shared() else { return };
    machine.unit("slowly", "[Service]\nExecStartPre=/bin/sleep 3\nExecStart=sleep 600\n");
    machine.declare("units: [{unit: slowly}]");
    machine.run(&["systemctl", "--no-block", "start", "slowly"]);
    let on_its_way = "unit/slowly.service unknown: it is activating (start-pre)";
    eventually("the start", async || (machine.said().await == [on_its_way]).then_some(())).await;
    eventually("its end", async || (machine.said().await == ["unit/slowly.service same"]).then_some(())).await;
}
