//! The WebSocket carries what the events carry.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::Server;
use crate::viewer::PATIENCE;

#[tokio::test]
async fn a_websocket_tells_what_happens_resumes_and_is_closed_when_the_server_stops() {
    let server = Server::new();
    let served = server.serve().await;
    let first = server.act("web-1").await;
    let url = format!("ws://{}/api/v1/ws?kinds=action&after=0", served.address);
    let (mut socket, _) = connect_async(url).await.unwrap();
    let mut next = async || {
        loop {
            match timeout(PATIENCE, socket.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => break Some(serde_json::from_str::<Value>(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    assert_eq!(frame.unwrap().code, CloseCode::Away);
                    break None;
                }
                Some(Ok(_)) => {}
                ended => panic!("{ended:?}"),
            }
        }
    };
    assert_eq!(next().await.unwrap()["type"], "ready");
    let told = next().await.unwrap();
    assert_eq!((&told["type"], &told["seq"], &told["data"]["action_id"]), (&json!("action"), &json!(1), &json!(first)));
    let second = server.act("web-2").await;
    assert_eq!(next().await.unwrap()["data"]["action_id"], second);
    let serving = served.stop();
    assert_eq!(next().await, None);
    timeout(PATIENCE, serving).await.expect("and nothing is waited for").unwrap();
    let _ = socket.close(None).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_cut_off() {
    let server = Server::new();
    let served = server.serve().await;
    let (mut socket, _) = connect_async(format!("ws://{}/api/v1/ws", served.address)).await.unwrap();
    let _ = socket.send(Message::Text("x".repeat(1_000_000).into())).await;
    let ended = async { while matches!(socket.next().await, Some(Ok(Message::Text(_) | Message::Ping(_)))) {} };
    timeout(PATIENCE, ended).await.expect("the server ends it");
    server.stop().await;
}
