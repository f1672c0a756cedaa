//! What lives of a Compose project.

use std::collections::HashMap;

use bollard::models::ContainerSummaryStateEnum;
use vigil_core::remediator::RemediatorError;

use super::{DockerExecutor, compose, status};
use crate::executor::unavailable;

/// A container of a Compose service, running or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The service.
    pub service: String,
    /// Its own name.
    pub name: String,
    /// What it was made from, as it was called then; an id if that name belongs to another image by now.
    pub image: String,
    /// The id of the image it was made from.
    pub image_id: String,
    /// `running`, `exited`, `paused` and others.
    pub state: String,
    /// All its labels.
    pub labels: HashMap<String, String>,
}

impl DockerExecutor {
    /// The containers of a Compose project, but for those of `docker compose run`, by service and number.
    ///
    /// # Errors
    /// [`RemediatorError::Unavailable`].
    pub async fn members(&self, project: &str) -> Result<Vec<Member>, RemediatorError> {
        let labels = [format!("{}={project}", compose::PROJECT)];
        let mut found = compose::containers(&self.engine().await?, &labels, true).await?;
        found.sort_by_key(compose::number);
        let mut members = Vec::new();
        for container in found {
            let labels = container.labels.unwrap_or_default();
            let Some(service) = labels.get(compose::SERVICE).cloned() else { continue };
            let names = container.names.unwrap_or_default();
            members.push(Member {
                service,
                name: names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
                image: container.image.unwrap_or_default(),
                image_id: container.image_id.unwrap_or_default(),
                state: container.state.unwrap_or(ContainerSummaryStateEnum::EMPTY).to_string(),
                labels,
            });
        }
        members.sort_by(|one, other| one.service.cmp(&other.service));
        Ok(members)
    }

    /// The id of the image that a reference names on this machine; `None` if it names none here.
    ///
    /// # Errors
    /// [`RemediatorError::Unavailable`].
    pub async fn image_id(&self, reference: &str) -> Result<Option<String>, RemediatorError> {
        // It becomes part of a path.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
        if reference.is_empty() || reference.contains("..") || !reference.chars().all(is_plain) {
            return Ok(None);
        }
        match self.engine().await?.inspect_image(reference).await {
            Ok(image) => Ok(image.id),
            Err(error) if matches!(status(&error), Some(400..=499)) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }
}
