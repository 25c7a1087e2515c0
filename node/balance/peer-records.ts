/**
 * What this node has seen of peers (protocols/negotiate/trust.ts), kept in DIR/balance-peers.json
 * (docs/format-balance.md), so that whoever lied or was silent is not taken for new after a restart.
 *
 * Invariants: written when negotiations end and moves are judged, never while one waits for it; a
 * crash loses at most what came since; what was kept fades while the node is down, too.
 */
import { z } from 'zod'
import { MAX_COUNTER } from '../../protocols/limits.ts'
import { nodeIdSchema } from '../../protocols/moves/messages.ts'
import { MAX_RECORDS, MAX_SILENCES, MOST_COUNTED } from '../../protocols/negotiate/limits.ts'
import { Trust } from '../../protocols/negotiate/trust.ts'
import { JsonFile, loadJson } from '../json-file.ts'
import { MAX_BALANCE_FILE_BYTES } from '../limits.ts'
import type { Clock, Disk, Log } from '../ports.ts'

export const BALANCE_PEERS_FILE = 'balance-peers.json'

const counted = z.number().min(0).max(MOST_COUNTED)
const tally = z.strictObject({ good: counted, bad: counted })

const fileSchema = z.strictObject({
  version: z.literal(1),
  /** Wall ms of time. */
  atMs: z.number().min(0).max(MAX_COUNTER),
  peers: z
    .array(
      z.strictObject({
        node: nodeIdSchema,
        answers: tally,
        bids: tally,
        words: tally,
        silences: z.number().int().min(0).max(MAX_SILENCES),
        silentMs: z.number().min(0).max(MAX_COUNTER)
      })
    )
    .max(MAX_RECORDS)
})

export class PeerRecords {
  readonly trust = new Trust()
  readonly problem: string | undefined
  readonly #file: JsonFile

  /** `clock`: of time. */
  constructor(disk: Disk, log: Log, clock: Clock, problem?: string) {
    this.problem = problem
    this.#file = new JsonFile(BALANCE_PEERS_FILE, disk, log, (): z.infer<typeof fileSchema> => {
      return { version: 1, atMs: clock.now(), peers: this.trust.saved(clock.monotonicMs()) }
    })
  }

  saveSoon(): void {
    this.#file.saveSoon()
  }

  /** Durable when it resolves. */
  save(): Promise<void> {
    return this.#file.save()
  }
}

/** `clock`: of time. Rejects as the disk does. */
export async function openPeerRecords(disk: Disk, log: Log, clock: Clock): Promise<PeerRecords> {
  const place = { disk, log, name: BALANCE_PEERS_FILE }
  const found = await loadJson(place, fileSchema, MAX_BALANCE_FILE_BYTES)
  const problem =
    found.is === 'damaged'
      ? `${BALANCE_PEERS_FILE} could not be read (kept as ${found.keptAs}): what this node has seen ` +
        'of its peers is forgotten, and none is taken for unreliable'
      : undefined
  const records = new PeerRecords(disk, log, clock, problem)
  if (found.is === 'read') {
    // A clock that was set back tells nothing of how long it was.
    const agoMs = Math.max(0, clock.now() - found.value.atMs)
    records.trust.restore(found.value.peers, agoMs, clock.monotonicMs())
  }
  return records
}
