//! The types of entities, as they come from the control plane: complete, with defaults filled in.
//!
//! A type is one line of the table below and one file with its spec. Everything else that reads, stores or compares
//! entities goes through the table.

mod acl;
mod basicauth_credential;
mod ca_certificate;
mod certificate;
mod consumer;
mod consumer_group;
mod consumer_group_member;
mod draft;
mod hmacauth_credential;
mod jwt_secret;
mod keyauth_credential;
mod plugin;
mod relation;
mod route;
mod service;
mod sni;
mod target;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::de::DeserializeOwned;

pub use acl::AclSpec;
pub use basicauth_credential::{BasicauthCredentialSpec, PasswordHash};
pub use ca_certificate::CaCertificateSpec;
pub use certificate::CertificateSpec;
pub use consumer::ConsumerSpec;
pub use consumer_group::ConsumerGroupSpec;
pub use consumer_group_member::ConsumerGroupMemberSpec;
pub use draft::{Draft, broken_references};
pub use hmacauth_credential::HmacauthCredentialSpec;
pub use jwt_secret::JwtSecretSpec;
pub use keyauth_credential::KeyauthCredentialSpec;
pub use plugin::PluginSpec;
pub use relation::Relation;
pub use service::ServiceSpec;
pub use sni::SniSpec;
pub use target::TargetSpec;
pub use upstream::{
    ActiveSpec, Algorithm, CheckKind, FailureSpec, HashOn, HealthchecksSpec, PassiveSpec, SuccessSpec, UpstreamSpec,
};

use crate::router::RouteSpec;

/// Id of an entity, shared by whatever knows it.
pub type Id = Arc<str>;

/// Entities of one type by id. Persistent: a clone costs nothing, and a change copies one path of the tree.
pub type Table<T> = OrdMap<Id, Arc<T>>;

/// What every type of entity tells about itself.
pub trait Entity: DeserializeOwned + PartialEq {
    /// Id.
    fn id(&self) -> &str;

    /// What users call it, for error messages.
    fn name(&self) -> Option<&str>;

    /// Names every entity that this one refers to: the field (dotted, as users see it), the type and the id. What is
    /// named here has to exist, and finds its referrers through [`EntitySet::referrers`].
    fn references(&self, visit: &mut dyn FnMut(&str, Kind, &str));
}

/// One entity before and after an update.
#[derive(Debug)]
pub struct Change<T> {
    /// As it was; `None` if it is new.
    pub before: Option<Arc<T>>,
    /// As it is now; `None` if it is gone.
    pub after: Option<Arc<T>>,
}

/// The entities of one type that an update makes different, by id.
pub type Changed<T> = BTreeMap<Id, Change<T>>;

/// Declares the types: `plural, Kind, "singular": Spec;`.
macro_rules! entity_types {
    ($($plural:ident, $kind:ident, $singular:literal: $spec:ty;)+) => {
        /// A type of entities.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Kind {
            $($kind,)+
        }

        impl Kind {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// As a member of `entities` in an update.
            #[must_use]
            pub fn plural(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($plural),)+
                }
            }

            /// As in error messages.
            #[must_use]
            pub fn singular(self) -> &'static str {
                match self {
                    $(Self::$kind => $singular,)+
                }
            }
        }

        /// All entities of a tenant. Persistent like its tables.
        #[derive(Debug, Clone, Default)]
        #[allow(missing_docs, reason = "the names say it")]
        pub struct EntitySet {
            $(pub $plural: Table<$spec>,)+
            /// Who refers to whom.
            pub referrers: Relation,
        }

        /// What an update makes different. An entity that was put as it was before is not in here.
        #[derive(Debug, Default)]
        #[allow(missing_docs, reason = "the names say it")]
        pub struct Changes {
            $(pub $plural: Changed<$spec>,)+
        }

        impl EntitySet {
            /// Whether there is such an entity.
            #[must_use]
            pub fn contains(&self, kind: Kind, id: &str) -> bool {
                match kind {
                    $(Kind::$kind => self.$plural.contains_key(id),)+
                }
            }

            /// The ids of a type, in order.
            #[must_use]
            pub fn ids(&self, kind: Kind) -> Vec<Id> {
                match kind {
                    $(Kind::$kind => self.$plural.keys().cloned().collect(),)+
                }
            }

            /// Names the references of an entity, if there is such an entity, with the name that users gave it.
            pub(super) fn visit(&self, kind: Kind, id: &str, visit: &mut dyn FnMut(Option<&str>, &str, Kind, &str)) {
                match kind {
                    $(Kind::$kind => {
                        if let Some(spec) = self.$plural.get(id) {
                            spec.references(&mut |field, kind, id| visit(spec.name(), field, kind, id));
                        }
                    })+
                }
            }
        }

        impl Changes {
            /// Type, id, and whether it is there now, of everything that is different.
            pub fn iter(&self) -> impl Iterator<Item = (Kind, &Id, bool)> {
                let all = std::iter::empty();
                $(let all = all.chain(self.$plural.iter().map(|(id, change)| (Kind::$kind, id, change.after.is_some())));)+
                all
            }
        }

        impl Draft {
            fn put_document(&mut self, kind: Kind, id: &Id, document: &str) -> Result<(), String> {
                match kind {
                    $(Kind::$kind => {
                        let spec: $spec = draft::parse(id, document)?;
                        let slot = (&mut self.entities.$plural, &mut self.changes.$plural);
                        draft::replace(Kind::$kind, slot, &mut self.entities.referrers, id, Some(spec));
                    })+
                }
                Ok(())
            }

            fn delete_entity(&mut self, kind: Kind, id: &Id) {
                match kind {
                    $(Kind::$kind => {
                        let slot = (&mut self.entities.$plural, &mut self.changes.$plural);
                        draft::replace(Kind::$kind, slot, &mut self.entities.referrers, id, None);
                    })+
                }
            }

            fn drop_what_is_the_same(&mut self) {
                $(self.changes.$plural.retain(|_, change| change.before != change.after);)+
            }
        }
    };
}

entity_types! {
    services, Service, "service": ServiceSpec;
    routes, Route, "route": RouteSpec;
    plugins, Plugin, "plugin": PluginSpec;
    consumers, Consumer, "consumer": ConsumerSpec;
    consumer_groups, ConsumerGroup, "consumer_group": ConsumerGroupSpec;
    consumer_group_members, ConsumerGroupMember, "consumer_group_member": ConsumerGroupMemberSpec;
    keyauth_credentials, KeyauthCredential, "key-auth": KeyauthCredentialSpec;
    basicauth_credentials, BasicauthCredential, "basic-auth": BasicauthCredentialSpec;
    acls, Acl, "acl": AclSpec;
    jwt_secrets, JwtSecret, "jwt": JwtSecretSpec;
    hmacauth_credentials, HmacauthCredential, "hmac-auth": HmacauthCredentialSpec;
    certificates, Certificate, "certificate": CertificateSpec;
    snis, Sni, "sni": SniSpec;
    ca_certificates, CaCertificate, "ca_certificate": CaCertificateSpec;
    upstreams, Upstream, "upstream": UpstreamSpec;
    targets, Target, "target": TargetSpec;
}
