//! Labels that others published.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum LabelsCommand {
    /// Import TagPacks. One that broke off goes on; one that is here already changes nothing; a newer version takes the
    /// place of the older one. For label curators and operators.
    Import {
        /// YAML files, as GraphSense publishes them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What tells newer versions of this pack from other packs; its URI, or its title and creator, unless given.
        #[arg(long, value_name = "NAME")]
        series: Option<String>,
    },
    /// Read TagPacks and say what is wrong with them, without any network.
    Check {
        /// YAML files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// All that is said of an address, and where that is from.
    Show {
        /// In CAIP-10 form (eip155:1:0x…), or as the chain writes it, then on every chain.
        address: String,
    },
    /// The packs, and whether they count.
    List,
    /// Write packs as TagPacks again.
    Export {
        /// A pack, by its id or the first digits of it; may be given several times. All that count unless given.
        #[arg(long = "pack", value_name = "ID")]
        packs: Vec<String>,
        /// The file; or where several packs are written, the folder.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}
