//! Many deliveries of few actions, out of order, at once, over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use vigil_core::remediator::{Outcome, Remediator, RemediatorError};
use vigil_core::testing::eventually;

use crate::bench::request;
use crate::service::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_duplicate_and_reordered_deliveries_of_a_hundred_actions_have_a_hundred_effects() {
    let bench = Bench::start(None).await;
    let client = Arc::new(bench.client(None));
    // Ten of each, attempts 1 to 5 twice, in an order that a fixed generator shuffles (Knuth's MMIX constants).
    let mut deliveries: Vec<(u32, u32)> = (0..1000).map(|number| (number % 100, number / 100 % 5 + 1)).collect();
    let mut state = 20_261_124_u64;
    for last in (1..deliveries.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        deliveries.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
    let mut sending = JoinSet::new();
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for (action, attempt) in deliveries {
        let client = client.clone();
        sending.spawn(async move {
            let request = request(&format!("key-{action}"), attempt, &format!("web-{action}"), "restart");
            loop {
                // As the worker does: what was not taken is sent again.
                match client.remediate(&request).await {
                    Err(RemediatorError::Throttled { .. } | RemediatorError::Unavailable(_)) => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    Ok(Outcome::Succeeded { .. }) => break "succeeded",
                    Ok(Outcome::InProgress) => break "in progress",
                    Err(RemediatorError::Stale) => break "stale",
                    other => panic!("{other:?}"),
                }
            }
        });
        while sending.len() >= 32 {
            *answers.entry(sending.join_next().await.unwrap().unwrap()).or_default() += 1;
        }
    }
    while let Some(answer) = sending.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    // What was answered with "in progress" goes on without its client.
    eventually("every effect", async || (bench.effects().len() >= 100).then_some(())).await;
    let mut effects = bench.effects();
    println!("1000 deliveries: {answers:?}; {} effects", effects.len());
    assert_eq!(answers.values().sum::<usize>(), 1000);
    effects.sort();
    effects.dedup();
    assert_eq!((bench.effects().len(), effects.len()), (100, 100), "each once");
}
