//! What a probe learns.

use super::*;

fn json(status: u16, word: &str) -> Step {
    Step::answer(status).with_json(&json!({ "status": word }))
}

#[tokio::test]
async fn done_failed_and_in_progress_are_what_they_say() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    fake.then(Step::in_progress());
    client.remediate(&request(1)).await.unwrap();
    assert_eq!(client.probe(&key()).await.unwrap(), Probe::InProgress);
    fake.finish(KEY, true);
    let done = Outcome::Succeeded { details: Some("did it".to_owned()) };
    assert_eq!(client.probe(&key()).await.unwrap(), Probe::Done(done));
    fake.finish(KEY, false);
    let failed = Outcome::Failed { reason: "it broke".to_owned(), retryable: false };
    assert_eq!(client.probe(&key()).await.unwrap(), Probe::Done(failed));
}

#[tokio::test]
async fn a_retryable_failure_is_known_as_one() {
    let said = json!({ "status": "failed", "retryable": true, "reason": "busy" });
    let failed = Outcome::Failed { reason: "busy".to_owned(), retryable: true };
    assert_eq!(probed(Step::answer(200).with_json(&said)).await.unwrap(), Probe::Done(failed));
}

#[tokio::test]
async fn a_key_it_has_never_seen_is_not_done() {
    let fake = FakeRemediator::start().await;
    assert_eq!(client(&fake.url()).probe(&key()).await.unwrap(), Probe::NotDone);
    for word in ["unknown", "never_seen"] {
        assert_eq!(probed(json(404, word)).await.unwrap(), Probe::NotDone);
    }
}

#[tokio::test]
async fn a_request_that_was_lost_is_not_done_and_one_that_was_taken_is_done() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    fake.then(Step::hang_up());
    client.remediate(&request(1)).await.unwrap_err();
    assert_eq!(client.probe(&key()).await.unwrap(), Probe::NotDone);
    fake.then(Step::hang_up().after_acting());
    client.remediate(&request(2)).await.unwrap_err();
    assert!(matches!(client.probe(&key()).await.unwrap(), Probe::Done(Outcome::Succeeded { .. })));
}

#[tokio::test]
async fn every_other_answer_is_unknown() {
    let steps = [
        Step::answer(404),
        Step::answer(404).with_header("content-type", "text/html").with_body("<h1>Not Found</h1>"),
        json(404, "done"),
        json(404, "not_found"),
        Step::answer(404).with_json(&json!({ "detail": "unknown" })),
        Step::answer(404).with_body("{\"status\":\"unknown\""),
        json(200, "unknown"),
        json(200, "never_seen"),
        json(200, "healthy"),
        json(410, "never_seen"),
        json(405, "unknown"),
        Step::answer(200).with_body("<html>welcome</html>"),
        Step::answer(204),
        Step::answer(301).with_header("location", "/elsewhere"),
        Step::answer(400),
        Step::answer(401),
        Step::answer(403),
        Step::answer(405),
        Step::answer(500),
        Step::answer(501),
        Step::answer(200).with_body(format!("{{\"status\":\"done\"}}{}", " ".repeat(100_000))),
    ];
    for step in steps {
        let shown: String = format!("{step:?}").chars().take(300).collect();
        assert_eq!(probed(step).await.unwrap(), Probe::Unknown, "{shown}");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_unknown() {
    assert_eq!(probed(Step::hang()).await.unwrap(), Probe::Unknown);
}

#[tokio::test]
async fn a_refused_connection_is_an_error_so_that_it_is_asked_again() {
    let url = refusing_url().await;
    assert!(matches!(client(&url).probe(&key()).await, Err(RemediatorError::Unavailable(_))));
}

#[tokio::test]
async fn a_remediator_that_is_away_for_a_moment_is_asked_again() {
    for step in [Step::answer(502), Step::answer(503), Step::answer(504), Step::hang_up(), Step::break_off(200)] {
        let shown = format!("{step:?}");
        assert!(matches!(probed(step).await, Err(RemediatorError::Unavailable(_))), "{shown}");
    }
    let throttled = probed(Step::answer(429).with_header("retry-after", "3")).await;
    assert!(matches!(throttled, Err(RemediatorError::Throttled { retry_after }) if retry_after.as_secs() == 3));
}

#[tokio::test]
async fn keys_are_known_across_the_remediators_restart() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    client.remediate(&request(1)).await.unwrap();
    fake.stop().await;
    assert!(client.probe(&key()).await.is_err());
    fake.restart().await;
    assert!(matches!(client.probe(&key()).await.unwrap(), Probe::Done(_)));
}

#[tokio::test]
async fn a_remediator_without_a_probe_is_never_asked() {
    let fake = FakeRemediator::start().await;
    let client = client_with(&fake.url(), HttpRemediatorOptions { probe: false, ..options() });
    client.remediate(&request(1)).await.unwrap();
    assert_eq!(client.probe(&key()).await.unwrap(), Probe::Unknown);
    assert!(fake.probes().is_empty());
}
