/** The journal of a daemon, wired: what it reads of the load here, and what moves tell it. */
import { MAX_LISTED_ENDED } from '../../protocols/moves/limits.ts'
import type { Load } from '../load/load.ts'
import type { Moves } from '../moves/types.ts'
import type { Clock, Disk, Log, Network } from '../ports.ts'
import type { ShardServer } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { BalanceAsker } from './ask.ts'
import { type Journal, type JournalParts, openJournal } from './journal.ts'
import { type Measured, measuredOf } from './measured.ts'

export interface NodeJournalParts extends BalanceAsker, Pick<JournalParts, 'onJudged'> {
  readonly network: Pick<Network, 'self'>
  /** The data directory. */
  readonly disk: Disk
  readonly log: Log
  /** The load clock. */
  readonly clock: Clock
  readonly load: Load
  readonly store: ChunkStore
  readonly shards: ShardServer
  readonly moves: Moves
  /** Of this node, above which it counts as overloaded; undefined: none is known. */
  readonly threshold: () => number | undefined
}

/** Follows the moves of this node from now on. Never rejects. */
export async function openNodeJournal(
  parts: NodeJournalParts
): Promise<{ readonly journal: Journal; readonly measured: Measured }> {
  const { moves, shards, network } = parts
  const measured = measuredOf({
    ...parts,
    sharesIn: (volume, hour) => shards.replicas.sharesIn(volume, hour)
  })
  const journal = await openJournal({ ...parts, self: network.self, measured })
  const { receipts } = journal
  const listed = moves.list(MAX_LISTED_ENDED).moves
  // What ended in the last moment of the start before may not be in the receipts yet.
  for (const move of listed) {
    const isOpen = receipts.book.get(move.id)?.receipt.state === 'open'
    if (isOpen && move.endedAt !== undefined) receipts.ended(move)
  }
  receipts.reconcile(new Set(listed.map(move => move.id)))
  moves.watch(receipts)
  return { journal, measured }
}
