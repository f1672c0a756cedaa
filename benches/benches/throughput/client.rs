//! [`Client`]: one keep-alive connection that sends what is needed and costs next to nothing itself.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: vec![0; 64 * 1024] }
    }

    /// Posts and waits for the whole answer, which must be 201.
    pub(crate) async fn post(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(&request, "201").await;
    }

    /// Asks and waits for the whole answer, which must be 200.
    pub(crate) async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: b\r\n\r\n"), "200").await;
    }

    async fn send(&mut self, request: &str, status: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = 0;
        loop {
            let read = self.stream.read(&mut self.answer[got..]).await.unwrap();
            assert!(read > 0, "the server hung up");
            got += read;
            let text = &self.answer[..got];
            let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let (head, rest) = (std::str::from_utf8(&text[..head]).unwrap(), got - head - 4);
            assert_eq!(head.get(9..12), Some(status), "{head}");
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if rest >= length.unwrap_or(0) {
                return;
            }
        }
    }
}
