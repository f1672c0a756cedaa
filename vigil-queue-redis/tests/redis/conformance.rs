//! The suite, on keys of its own for each test.

use std::sync::Arc;

use vigil_core::queue::Queue;
use vigil_core::testing::queue_conformance::QueueFixture;
use vigil_queue_redis::RedisQueue;

use crate::server;

struct OnServer(Arc<RedisQueue>);

#[async_trait::async_trait]
impl QueueFixture for OnServer {
    async fn open() -> Option<Self> {
        Some(Self(server::queue(&server::shared()?).0))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.0.clone()
    }
}

vigil_core::queue_conformance!(OnServer);
