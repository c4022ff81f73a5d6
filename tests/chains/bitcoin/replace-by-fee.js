'use strict';

// BIP 125 for bcoin, whose mempool refuses every second transaction for the same coin. A plugin of the node: everything else
// about a transaction is the mempool's own judgement.

exports.id = 'replace-by-fee';

exports.init = ({mempool}) => {
  const judge = mempool.insertTX.bind(mempool);

  mempool.insertTX = async (tx, peer) => {
    const rivals = new Set();
    for (const {prevout} of tx.inputs) {
      const rival = mempool.getSpent(prevout.hash, prevout.index);
      if (rival && rival.tx.hash('hex') !== tx.hash('hex'))
        rivals.add(rival);
    }

    if (rivals.size > 0 && await paysMore(mempool, tx, rivals)) {
      for (const rival of rivals) {
        // One may have gone with another that it spends from.
        if (mempool.getEntry(rival.tx.hash('hex')))
          mempool.evictEntry(rival);
      }
    }

    return judge(tx, peer);
  };

  return {};
};

// Rules 1, 3 and 4: each of them signals, and together with all that spends from them they leave the miner less, by what the
// new one's own size costs. (The transaction's own `isRBF` says no to every version 2.)
async function paysMore(mempool, tx, rivals) {
  let left = 0;
  for (const rival of rivals) {
    if (rival.tx.inputs.every(input => input.sequence >= 0xfffffffe))
      return false;
    left += rival.descFee;
  }
  const fee = tx.getFee(await mempool.getCoinView(tx));
  return fee >= left + tx.getVirtualSize();
}
