//! Code generated from the contracts under `proto/`, the descriptor set they compile to, and the
//! only way between the wire and [`haetae_core`]: `TryFrom` conversions that name every bad field.

#[expect(missing_docs, unreachable_pub, clippy::all, reason = "generated from commented contracts")]
mod generated {
    pub mod haetae {
        pub mod mesh {
            pub mod v1 {
                tonic::include_proto!("haetae.mesh.v1");
            }
        }
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
    }
}

pub use generated::haetae::{audit, log};

/// Every contract as an encoded `google.protobuf.FileDescriptorSet`, custom options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/haetae.bin"));
