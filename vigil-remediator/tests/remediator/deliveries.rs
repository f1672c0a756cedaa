//! Many deliveries of few actions, out of order, at once, over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use vigil_core::remediator::{Outcome, Probe, RemediationRequest, Remediator, RemediatorError};
use vigil_http::HttpRemediator;

use crate::bench::request;
use crate::service::Bench;

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

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
        let request = request(&format!("key-{action}"), attempt, &format!("web-{action}"), "restart");
        sending.spawn(async move { deliver(&client, &request).await });
        while sending.len() >= 32 {
            *answers.entry(sending.join_next().await.unwrap().unwrap()).or_default() += 1;
        }
    }
    while let Some(answer) = sending.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    let mut effects = bench.effects();
    println!("1000 deliveries: {answers:?}; {} effects", effects.len());
    assert_eq!(answers.values().sum::<usize>(), 1000);
    effects.sort();
    effects.dedup();
    assert_eq!((bench.effects().len(), effects.len()), (100, 100), "each once");
}

/// Delivers as the worker does: what was not taken is sent again, and what is in progress is asked after until its end is known. It
/// may still turn out not to be taken.
async fn deliver(client: &HttpRemediator, request: &RemediationRequest) -> &'static str {
    loop {
        match client.remediate(request).await {
            Err(RemediatorError::Throttled { .. } | RemediatorError::Unavailable(_)) => {}
            Ok(Outcome::InProgress) => loop {
                match client.probe(&request.key).await {
                    Ok(Probe::InProgress) => sleep(BETWEEN_LOOKS).await,
                    Ok(Probe::Done(Outcome::Succeeded { .. })) => return "succeeded later",
                    Ok(Probe::NotDone) => break,
                    other => panic!("{other:?}"),
                }
            },
            Ok(Outcome::Succeeded { .. }) => return "succeeded",
            Err(RemediatorError::Stale) => return "stale",
            other => panic!("{other:?}"),
        }
        sleep(BETWEEN_LOOKS).await;
    }
}
