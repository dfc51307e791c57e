//! Routes; their spec belongs to the router.

use super::{Entity, Kind};
use crate::router::RouteSpec;

impl Entity for RouteSpec {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str)) {
        if let Some(service) = &self.service {
            visit("service.id", Kind::Service, &service.id);
        }
    }
}
