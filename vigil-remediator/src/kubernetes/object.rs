//! [`Object`]: what is acted on, as `[namespace/]kind/name`, or a Deployment by its name alone.

use vigil_core::action::ActionType;

/// A thing in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// The kinds that words mean something on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Pod,
    Node,
    Claim,
}

impl Object {
    /// # Errors
    /// A sentence, if it cannot be one.
    pub(super) fn parse(text: &str, default_namespace: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let (namespace, kind, name) = match parts[..] {
            [name] => (default_namespace, "deployment", name),
            [kind, name] => (default_namespace, kind, name),
            [namespace, kind, name] => (namespace, kind, name),
            _ => return Err(format!("'{text}' must be [namespace/]kind/name")),
        };
        let kind = match kind.to_ascii_lowercase().as_str() {
            "deployment" | "deploy" => Kind::Deployment,
            "statefulset" | "sts" => Kind::StatefulSet,
            "daemonset" | "ds" => Kind::DaemonSet,
            "pod" | "po" => Kind::Pod,
            "node" | "no" => Kind::Node,
            "persistentvolumeclaim" | "pvc" => Kind::Claim,
            other => {
                return Err(format!(
                    "'{text}' is of kind '{other}'; known are deployment, statefulset, daemonset, pod, node and pvc"
                ));
            }
        };
        // They become part of a path: nothing but what Kubernetes allows in a name (RFC 1123).
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 253
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if !is_name(name) || !is_name(namespace) {
            return Err(format!("'{text}' holds a name that Kubernetes does not allow"));
        }
        Ok(Self { namespace: namespace.to_owned(), kind, name: name.to_owned() })
    }

    pub(super) fn words(&self) -> Vec<ActionType> {
        use ActionType::{Custom, DrainPod, Rebalance, RestartService, ScaleDown, ScaleUp, Snapshot};
        match self.kind {
            Kind::Deployment | Kind::StatefulSet => vec![RestartService, ScaleUp, ScaleDown, Rebalance],
            Kind::DaemonSet => vec![RestartService],
            Kind::Pod => vec![DrainPod],
            Kind::Node => vec![DrainPod, Custom],
            Kind::Claim => vec![Snapshot],
        }
    }

    /// Where it is in the API.
    pub(super) fn path(&self) -> String {
        let Self { namespace, name, .. } = self;
        match self.kind {
            Kind::Deployment => format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"),
            Kind::StatefulSet => format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"),
            Kind::DaemonSet => format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"),
            Kind::Pod => format!("/api/v1/namespaces/{namespace}/pods/{name}"),
            Kind::Node => format!("/api/v1/nodes/{name}"),
            Kind::Claim => format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"),
        }
    }

    /// Its kind as the API writes it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
            Kind::Pod => "Pod",
            Kind::Node => "Node",
            Kind::Claim => "PersistentVolumeClaim",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_deployment_and_the_rest_has_defaults() {
        let path = |text| Object::parse(text, "shop").map(|object| object.path());
        assert_eq!(path("web").unwrap(), "/apis/apps/v1/namespaces/shop/deployments/web");
        assert_eq!(path("sts/db").unwrap(), "/apis/apps/v1/namespaces/shop/statefulsets/db");
        assert_eq!(path("prod/pvc/data").unwrap(), "/api/v1/namespaces/prod/persistentvolumeclaims/data");
        assert_eq!(path("node/n1.example").unwrap(), "/api/v1/nodes/n1.example");
    }

    #[test]
    fn what_is_no_name_never_becomes_part_of_a_path() {
        for text in ["", "a/b/c/d", "secret/x", "web/../../x", "deployment/../x", "deployment/Web", "a?b", "pod/%2e"] {
            assert!(Object::parse(text, "shop").is_err(), "{text}");
        }
    }
}
