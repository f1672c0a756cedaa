//! What is sent.

use super::*;

/// The whole of a call, as golden text. `deadline` and `t` are the test clock's.
const BODY: &str = r#"{"task_id":"task_1","action_id":7,"target":"web-1","action":"restart","severity":"critical","params":{"grace":5},"policy_name":"high-cpu","attempt":2,"tenant":"acme","deadline":"2026-01-20T12:05:00Z"}"#;
// printf '1768910400.%s' "$BODY" | openssl dgst -sha256 -hmac s3cret
const SIGNATURE: &str = "t=1768910400,v1=18a88a76df3f6211ce388dc73d3b6e96b3620215f8c4806c3efde8b636d1b3d2";
// printf '1768910400.' | openssl dgst -sha256 -hmac s3cret
const SIGNATURE_OF_NOTHING: &str = "t=1768910400,v1=49be157208e62de32df93015cf39fa523082730f807ddfc99e56537e076dc540";

#[tokio::test]
async fn a_remediation_is_the_documented_post_to_the_byte() {
    let fake = FakeRemediator::start().await;
    client_with(&fake.url(), with_secret()).remediate(&request(2)).await.unwrap();
    let call = fake.calls().remove(0);
    assert_eq!((call.method.as_str(), call.uri.as_str(), call.body.as_str()), ("POST", "/remediate", BODY));
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let host = fake.url().replace("http://", "").replace("/remediate", "");
    let length = BODY.len().to_string();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            ("content-length", length.as_str()),
            ("content-type", "application/json"),
            ("host", host.as_str()),
            ("idempotency-key", KEY),
            ("user-agent", concat!("vigil/", env!("CARGO_PKG_VERSION"))),
            ("x-request-id", "req-1"),
            ("x-vigil-attempt", "2"),
            ("x-vigil-signature", SIGNATURE),
        ]
    );
}

#[tokio::test]
async fn a_manual_action_has_no_policy_name() {
    let fake = FakeRemediator::start().await;
    let manual = RemediationRequest { policy_name: None, params: Map::new(), ..request(1) };
    client(&fake.url()).remediate(&manual).await.unwrap();
    let body = fake.calls()[0].json();
    assert_eq!((&body["policy_name"], &body["params"]), (&json!(null), &json!({})));
}

#[tokio::test]
async fn a_probe_is_a_get_of_the_key_signed_with_an_empty_body() {
    let fake = FakeRemediator::start().await;
    client_with(&fake.url(), with_secret()).probe(&key()).await.unwrap();
    let probe = fake.probes().remove(0);
    assert_eq!((probe.method, probe.uri, probe.body), ("GET".to_owned(), format!("/remediate/{KEY}"), String::new()));
    assert_eq!(probe.headers["x-vigil-signature"], SIGNATURE_OF_NOTHING);
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    client.remediate(&request(1)).await.unwrap();
    client.probe(&key()).await.unwrap();
    for call in [fake.calls().remove(0), fake.probes().remove(0)] {
        assert!(!call.headers.contains_key("x-vigil-signature"));
    }
}

#[tokio::test]
async fn the_url_is_used_exactly_as_given_and_the_key_goes_before_its_query() {
    let fake = FakeRemediator::start().await;
    let base = fake.url().replace("/remediate", "");
    for (given, posted, asked) in [
        ("", "/", format!("/{KEY}")),
        ("/hooks/a%20b/?token=x&y=%2F", "/hooks/a%20b/?token=x&y=%2F", format!("/hooks/a%20b/{KEY}?token=x&y=%2F")),
        ("/hooks?", "/hooks?", format!("/hooks/{KEY}?")),
    ] {
        let client = client(&format!("{base}{given}"));
        client.remediate(&request(1)).await.unwrap();
        client.probe(&key()).await.unwrap();
        assert_eq!(fake.calls().pop().unwrap().uri, posted);
        assert_eq!(fake.probes().pop().unwrap().uri, asked);
    }
}

#[tokio::test]
async fn a_user_in_the_url_becomes_basic_authorization() {
    let fake = FakeRemediator::start().await;
    client(&fake.url().replace("http://", "http://ann:pw@")).remediate(&request(1)).await.unwrap();
    assert_eq!(fake.calls()[0].headers["authorization"], "Basic YW5uOnB3");
}

#[tokio::test]
async fn the_same_key_has_one_effect_and_one_answer() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    let first = client.remediate(&request(1)).await.unwrap();
    assert_eq!(client.remediate(&request(1)).await.unwrap(), first);
    assert_eq!(client.remediate(&request(2)).await.unwrap(), first);
    assert_eq!(fake.effects()[KEY], 1);
}

#[tokio::test]
async fn a_higher_attempt_acts_anew_only_after_a_retryable_failure() {
    let fake = FakeRemediator::start().await;
    let client = client(&fake.url());
    fake.then(Step::fail(true));
    let retryable = |outcome| matches!(outcome, Outcome::Failed { retryable: true, .. });
    assert!(retryable(client.remediate(&request(1)).await.unwrap()));
    assert!(retryable(client.remediate(&request(1)).await.unwrap()), "the same attempt has the same answer");
    assert!(matches!(client.remediate(&request(2)).await.unwrap(), Outcome::Succeeded { .. }));
    assert_eq!(fake.effects()[KEY], 1);
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_secret() {
    let url = refusing_url().await.replace("http://", "http://ann:hunter2@") + "/T0KEN?token=T0KEN";
    let client = client_with(&url, with_secret());
    let shown = [
        format!("{client:?}"),
        format!("{:?}", with_secret()),
        chain(&client.remediate(&request(1)).await.unwrap_err()),
        format!("{:?}", client.remediate(&request(1)).await),
        format!("{:?}", client.probe(&key()).await),
        format!("{:?}", client.ping().await),
        format!("{:?}", HttpRemediator::new("ftp://ann:hunter2@host/T0KEN", noon(), options())),
        format!("{:?}", HttpRemediator::new("http://ann:hunter2@:x/T0KEN", noon(), options())),
    ];
    for text in shown {
        assert!(!["s3cret", "hunter2", "T0KEN"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
