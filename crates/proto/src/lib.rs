//! The messages that Pyroscope and Phlare servers speak: prost types without logic.
//!
//! One set of them speaks with every release since Phlare 0.1: no field number was ever used for anything else. They are
//! generated from the `.proto` files of this repository by `cargo xtask codegen`, and checked in. The feature `json`
//! gives them protobuf's JSON mapping by way of serde; what it does not know it passes over, as servers do.
//!
//! ```
//! use flamesql_proto::querier::v1::SelectMergeStacktracesRequest;
//! use prost::Message as _;
//!
//! let request = SelectMergeStacktracesRequest {
//!     profile_type_id: "process_cpu:cpu:nanoseconds:cpu:nanoseconds".to_owned(),
//!     label_selector: "{}".to_owned(),
//!     max_nodes: Some(1),
//!     ..Default::default()
//! };
//! let bytes = request.encode_to_vec();
//! assert_eq!(SelectMergeStacktracesRequest::decode(bytes.as_slice())?, request);
//! # Ok::<(), prost::DecodeError>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]
#![expect(missing_docs, reason = "names say what fields are")]
#![cfg_attr(
    feature = "json",
    expect(
        clippy::allow_attributes,
        clippy::use_self,
        unused_qualifications,
        reason = "generated code is not edited"
    )
)]

/// What a server says that it can do.
pub mod capabilities {
    pub mod v1;
}
/// pprof's own format.
pub mod google {
    pub mod v1;
}
/// How profiles are sent to a server.
pub mod push {
    pub mod v1;
}
/// How profiles are asked for.
pub mod querier {
    pub mod v1;
}
/// What the other packages have in common.
pub mod types {
    pub mod v1;
}
/// Which version of the API a server speaks.
pub mod version {
    pub mod v1;
}
