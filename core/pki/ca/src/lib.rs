//! The local CA: its certificates and configuration, the one decision to issue, and what is checked before and after a
//! signature.

mod config;
pub mod hierarchy;
mod leaf;
pub mod policy;
mod ports;
mod record;
mod root;
mod rules;
mod validity;
mod verify;

pub use config::{CaFiles, LOCAL_CA_KIND, LocalCaConfig, StatusUrls};
pub use leaf::leaf_template;
pub use policy::{
    ApprovalFacts, AuthorizedLeaf, CertificateFacts, IssuanceAuthorization, IssuingFacts, PolicyInput, ProfileFacts,
    authorize, refusals,
};
pub use ports::{CaStore, CaTransaction, Lend};
pub use record::{CaKey, CaKind, CaRecord, CaState, IssuerSettings, Orphan};
pub use root::{NewCa, RootError, intermediate, key_context, make_root, operator_ca};
pub(crate) use rules::Rules;
pub use verify::verify_leaf;
