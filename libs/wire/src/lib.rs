//! Code generated from the contracts under `proto/`, the descriptor set they compile to, and the
//! only way between the wire and [`haetae_core`]: `TryFrom` conversions that name every bad field.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the comments are in the contracts"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/hidden.rs"));

    pub mod haetae {
        pub mod log {
            pub mod v1 {
                tonic::include_proto!("haetae.log.v1");
            }
        }
        pub mod audit {
            pub mod v1 {
                tonic::include_proto!("haetae.audit.v1");
            }
        }
        pub mod exchange {
            pub mod v1 {
                tonic::include_proto!("haetae.exchange.v1");
            }
        }
        pub mod intake {
            pub mod v1 {
                tonic::include_proto!("haetae.intake.v1");
            }
        }
        pub mod tracking {
            pub mod v1 {
                tonic::include_proto!("haetae.tracking.v1");
            }
        }
        pub mod freeze {
            pub mod v1 {
                tonic::include_proto!("haetae.freeze.v1");
            }
        }
        pub mod connector {
            pub mod v1 {
                tonic::include_proto!("haetae.connector.v1");
            }
        }
        pub mod operations {
            pub mod v1 {
                tonic::include_proto!("haetae.operations.v1");
            }
        }
        pub mod sandbox {
            pub mod v1 {
                tonic::include_proto!("haetae.sandbox.v1");
            }
        }
    }
}

pub mod convert;
pub mod keys;
pub mod label;
pub mod read;
mod reasons;
pub mod registry;
pub mod signed;

pub use generated::haetae::{audit, connector, exchange, freeze, intake, log, operations, sandbox, tracking};

pub use reasons::{code, reasons_markdown};

/// Every contract as an encoded `google.protobuf.FileDescriptorSet`, custom options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/haetae.bin"));
