//! What the answers to a remediation mean.

use super::*;

fn succeeded(details: Option<&str>) -> Outcome {
    Outcome::Succeeded { details: details.map(str::to_owned) }
}

fn failed(reason: &str, retryable: bool) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retryable }
}

fn said(status: u16, json: &serde_json::Value) -> Step {
    Step::answer(status).with_json(json)
}

#[tokio::test]
async fn succeeded_is_succeeded() {
    assert_eq!(met(said(200, &json!({ "status": "succeeded" }))).await.unwrap(), succeeded(None));
    let body = &json!({ "status": "succeeded", "details": "pid 4711" });
    assert_eq!(met(said(200, body)).await.unwrap(), succeeded(Some("pid 4711")));
}

#[tokio::test]
async fn failed_is_final_unless_it_says_retryable() {
    let body = &json!({ "status": "failed", "error": "no such unit" });
    assert_eq!(met(said(200, body)).await.unwrap(), failed("no such unit", false));
    let body = &json!({ "status": "failed", "retryable": true });
    assert_eq!(met(said(200, body)).await.unwrap(), failed("the remediator gave no reason", true));
}

#[tokio::test]
async fn in_progress_is_in_progress() {
    assert_eq!(met(Step::in_progress()).await.unwrap(), Outcome::InProgress);
}

#[tokio::test]
async fn a_2xx_without_our_json_is_succeeded_and_marked_unconfirmed() {
    let cases = [
        (Step::answer(204), "unconfirmed: the remediator answered 204 No Content"),
        (Step::answer(200).with_body("ok\r\n"), "unconfirmed: the remediator answered 200 OK: ok"),
        (
            said(202, &json!({ "status": "queued" })),
            r#"unconfirmed: the remediator answered 202 Accepted: {"status":"queued"}"#,
        ),
        (said(200, &json!({ "status": 1 })), r#"unconfirmed: the remediator answered 200 OK: {"status":1}"#),
        (
            said(200, &json!({ "status": "never_seen" })),
            r#"unconfirmed: the remediator answered 200 OK: {"status":"never_seen"}"#,
        ),
        (said(201, &json!([])), "unconfirmed: the remediator answered 201 Created: []"),
    ];
    for (step, details) in cases {
        assert_eq!(met(step).await.unwrap(), succeeded(Some(details)));
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let huge = |status| Step::answer(status).with_body("x".repeat(20_000_000));
    let excerpt = format!("{}...", "x".repeat(200));
    assert_eq!(
        met(huge(200)).await.unwrap(),
        succeeded(Some(&format!("unconfirmed: the remediator answered 200 OK: {excerpt}")))
    );
    let reason = format!("the remediator answered 400 Bad Request: {excerpt}");
    assert_eq!(met(huge(400)).await.unwrap(), Outcome::Rejected { reason });
}

#[tokio::test]
async fn a_stale_attempt_is_refused() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    client.remediate(&request(2)).await.unwrap();
    assert!(matches!(client.remediate(&request(1)).await, Err(RemediatorError::Stale)));
}

#[tokio::test]
async fn other_4xx_are_rejected_with_the_beginning_of_the_body() {
    for status in [400, 401, 403, 404, 405, 410, 422, 451] {
        let step = Step::answer(status).with_body("<p>no\u{0}\n\n  way</p>");
        match met(step).await.unwrap() {
            Outcome::Rejected { reason } => {
                assert!(reason.contains(&status.to_string()) && reason.ends_with(": <p>no way</p>"), "{reason}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_rejected_and_not_followed() {
    for status in [301, 302, 303, 307, 308, 304] {
        let fake = FakeRemediator::start().await;
        fake.then(Step::answer(status).with_header("location", "/elsewhere"));
        let outcome = client(&fake.url()).remediate(&request(1)).await.unwrap();
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{status}: {outcome:?}");
        assert_eq!(fake.calls().len() + fake.probes().len(), 1);
    }
}

#[tokio::test]
async fn a_rejection_whose_body_breaks_off_is_still_a_rejection() {
    let reason = r#"the remediator answered 400 Bad Request: {"status":"succ"#.to_owned();
    assert_eq!(met(Step::break_off(400)).await.unwrap(), Outcome::Rejected { reason });
}

async fn wait_of(step: Step) -> Duration {
    match met(step).await {
        Err(RemediatorError::Throttled { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_429_is_not_taken_for_as_long_as_it_says() {
    let throttled = |wait| Step::answer(429).with_header("retry-after", wait);
    assert_eq!(wait_of(throttled("7")).await, Duration::from_secs(7));
    assert_eq!(wait_of(throttled("Tue, 20 Jan 2026 12:00:09 GMT")).await, Duration::from_secs(9));
    assert_eq!(wait_of(throttled("Tue, 20 Jan 2026 11:00:00 GMT")).await, Duration::ZERO, "that was an hour ago");
}

#[tokio::test]
async fn a_429_that_does_not_say_how_long_is_not_taken_for_a_second() {
    assert_eq!(wait_of(Step::answer(429)).await, Duration::from_secs(1));
    assert_eq!(wait_of(Step::answer(429).with_header("retry-after", "soon")).await, Duration::from_secs(1));
}

#[tokio::test]
async fn a_503_with_retry_after_is_not_taken() {
    let away = |wait| Step::answer(503).with_header("retry-after", wait);
    assert_eq!(wait_of(away("120")).await, Duration::from_secs(120));
    assert_eq!(wait_of(away("Tue, 20 Jan 2026 12:01:00 GMT")).await, Duration::from_secs(60));
}

#[tokio::test]
async fn an_absurd_wait_is_cut_to_an_hour() {
    for wait in ["4000", "18446744073709551615", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(wait_of(Step::answer(429).with_header("retry-after", wait)).await, Duration::from_secs(3600));
    }
}

async fn assert_indeterminate(step: Step) {
    let shown = format!("{step:?}");
    let answer = met(step).await;
    assert!(matches!(answer, Err(RemediatorError::Indeterminate(_))), "{shown}: {answer:?}");
}

#[tokio::test]
async fn a_408_425_and_every_other_5xx_are_indeterminate() {
    for status in [408, 425, 500, 501, 502, 503, 504, 599] {
        assert_indeterminate(Step::answer(status)).await;
    }
    assert_indeterminate(Step::answer(500).with_header("retry-after", "5")).await;
}

#[tokio::test]
async fn a_503_whose_retry_after_makes_no_sense_is_indeterminate() {
    for wait in ["soon", "-1", "1.5", ""] {
        assert_indeterminate(Step::answer(503).with_header("retry-after", wait)).await;
    }
}

#[tokio::test]
async fn no_answer_in_time_is_indeterminate() {
    assert_indeterminate(Step::hang()).await;
    assert_indeterminate(Step::hang().after_acting()).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_indeterminate() {
    assert_indeterminate(Step::hang_up()).await;
    assert_indeterminate(Step::hang_up().after_acting()).await;
    assert_indeterminate(Step::break_off(200)).await;
}

#[tokio::test]
async fn what_cannot_be_known_is_not_sent_again_by_the_client() {
    for step in [Step::hang_up(), Step::break_off(200), Step::hang(), Step::answer(503), Step::answer(429)] {
        let fake = FakeRemediator::start().await;
        fake.then(step);
        client(&fake.url()).remediate(&request(1)).await.unwrap_err();
        assert_eq!(fake.calls().len(), 1);
    }
}
