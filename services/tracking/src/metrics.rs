//! What operators watch: counts and seconds, never whom.

use std::sync::LazyLock;

use haetae_core::ChainId;
use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, global};

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Taken from the global meter provider on first use, which is after telemetry was set up.
pub(crate) struct Metrics {
    pub(crate) hops: Counter<u64>,
    pub(crate) arrivals: Counter<u64>,
    reorganisations: Counter<u64>,
    /// Statements that were not acted on: not signed by the exchange, or about what was never asked.
    pub(crate) disregarded: Counter<u64>,
    /// Questions that could not be asked, each time: no key is pinned that signed their authorisation.
    pub(crate) unaskable: Counter<u64>,
    pub(crate) open_questions: Gauge<u64>,
    blocks_behind: Gauge<u64>,
    last_block: Gauge<f64>,
    block_times: Gauge<f64>,
    nodes_answering: Gauge<u64>,
    blocks_untraced: Counter<u64>,
    halted: Gauge<u64>,
    catching_up: Gauge<u64>,
    catch_up_blocks: Gauge<u64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("haetae-tracking");
        Self {
            hops: meter
                .u64_counter("haetae.tracking.hops")
                .with_unit("{hop}")
                .with_description("Steps of stolen money that watches have found")
                .build(),
            arrivals: meter
                .u64_counter("haetae.tracking.arrivals")
                .with_unit("{arrival}")
                .with_description("Arrivals at exchanges that are settled, which is what freezes them")
                .build(),
            reorganisations: meter
                .u64_counter("haetae.chain.reorganisations")
                .with_unit("{reorganisation}")
                .with_description("Times that blocks which had been read left the chain")
                .build(),
            disregarded: meter
                .u64_counter("haetae.tracking.statements_disregarded")
                .with_unit("{statement}")
                .with_description("Statements that were not acted on")
                .build(),
            unaskable: meter
                .u64_counter("haetae.tracking.questions_unaskable")
                .with_unit("{question}")
                .with_description("Attempts to ask under an authorisation that no pinned key has signed")
                .build(),
            open_questions: meter
                .u64_gauge("haetae.tracking.questions_open")
                .with_unit("{question}")
                .with_description("Questions to exchanges that have no answer that counts")
                .build(),
            blocks_behind: meter
                .u64_gauge("haetae.chain.blocks_behind")
                .with_unit("{block}")
                .with_description("The node's newest block less the last that was read")
                .build(),
            last_block: meter
                .f64_gauge("haetae.chain.last_block")
                .with_unit("s")
                .with_description("Time since the last block was read")
                .build(),
            block_times: meter
                .f64_gauge("haetae.chain.silence")
                .with_unit("{block time}")
                .with_description("Time since the last block was read, in usual times between blocks")
                .build(),
            nodes_answering: meter
                .u64_gauge("haetae.chain.nodes_answering")
                .with_unit("{node}")
                .with_description("Nodes that answer and are of the chain")
                .build(),
            blocks_untraced: meter
                .u64_counter("haetae.chain.blocks_untraced")
                .with_unit("{block}")
                .with_description("Blocks read without what calls moved in them, though nodes offer that")
                .build(),
            halted: meter
                .u64_gauge("haetae.chain.halted")
                .with_unit("{chain}")
                .with_description(
                    "1 while more blocks have left the chain than may be taken back, so that nothing is read",
                )
                .build(),
            catching_up: meter
                .u64_gauge("haetae.tracking.watches_catching_up")
                .with_unit("{watch}")
                .with_description("Watches that began in the past and are not at the chain's head yet")
                .build(),
            catch_up_blocks: meter
                .u64_gauge("haetae.tracking.catch_up_blocks")
                .with_unit("{block}")
                .with_description("Blocks that the last of them has to go")
                .build(),
        }
    }

    pub(crate) fn reorganised(&self, chain: &str) {
        self.reorganisations.add(1, &[KeyValue::new("chain", chain.to_owned())]);
    }

    pub(crate) fn nodes(&self, chain: &ChainId, answering: u32) {
        self.nodes_answering.record(answering.into(), &[KeyValue::new("chain", chain.to_string())]);
    }

    pub(crate) fn untraced(&self, chain: &ChainId) {
        self.blocks_untraced.add(1, &[KeyValue::new("chain", chain.to_string())]);
    }

    pub(crate) fn catching_up(&self, chain: &str, watches: u64, blocks: u64) {
        let of = [KeyValue::new("chain", chain.to_owned())];
        self.catching_up.record(watches, &of);
        self.catch_up_blocks.record(blocks, &of);
    }

    pub(crate) fn chain(&self, chain: &str, behind: u64, since_last_block: f64, block_time: f64, halted: bool) {
        let of = [KeyValue::new("chain", chain.to_owned())];
        self.halted.record(halted.into(), &of);
        self.blocks_behind.record(behind, &of);
        self.last_block.record(since_last_block, &of);
        self.block_times.record(since_last_block / block_time, &of);
    }
}
