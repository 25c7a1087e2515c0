/**
 * Gossip of changes: what one tick changed here leaves as one message, and what others changed is
 * taken up, or asked for where it cannot be.
 *
 * Gossip may be lost, doubled or out of order; sync makes up for all of it.
 */
import { joinUpdates } from '../../crdt/claim-set.ts'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Change, DocumentName } from '../../protocols/map-sync/messages.ts'
import {
  gossipSchema,
  MAP_TOPIC,
  MAX_GOSSIP_CHANGE_BYTES,
  MAX_GOSSIP_CHANGES,
  MAX_MAP_GOSSIP_BYTES
} from '../../protocols/map-sync/messages.ts'
import type { Clock, Log, Network } from '../ports.ts'
import type { ReplicaChange } from './replica.ts'

export interface GossipOptions {
  readonly network: Network
  readonly clock: Clock
  readonly log: Log
  readonly onChange: (from: NodeId, change: Change) => void
  /** A message that is none of ours. */
  readonly onBad: (from: NodeId, why: string) => void
}

export class Gossip {
  readonly #options: GossipOptions
  #pending = new Map<DocumentName, ReplicaChange[]>()
  #isClosed = false

  constructor(options: GossipOptions) {
    this.#options = options
    options.network.subscribe(MAP_TOPIC, (from, bytes) => this.#receive(from, bytes))
  }

  /** Takes a local change; it leaves with all others of this tick. */
  add(change: ReplicaChange): void {
    if (this.#pending.size === 0) this.#options.clock.soon(() => this.#publish())
    const changes = this.#pending.get(change.document) ?? []
    changes.push(change)
    this.#pending.set(change.document, changes)
  }

  close(): void {
    this.#isClosed = true
  }

  #publish(): void {
    const pending = this.#pending
    this.#pending = new Map()
    if (this.#isClosed) return
    let batch: Change[] = []
    let bytes = 0
    for (const changes of pending.values()) {
      const change = joinChanges(changes)
      if (change === undefined) continue
      const length = change.update?.length ?? 0
      const isFull = batch.length >= MAX_GOSSIP_CHANGES || bytes + length > MAX_MAP_GOSSIP_BYTES / 2
      if (isFull) {
        this.#send(batch)
        batch = []
        bytes = 0
      }
      batch.push(change)
      bytes += length
    }
    if (batch.length > 0) this.#send(batch)
  }

  #send(changes: readonly Change[]): void {
    const { network, log } = this.#options
    network.publish(MAP_TOPIC, encodeCbor({ changes })).catch((error: unknown) => {
      log.debug({ error: messageOf(error) }, 'a change of the map was not gossiped; sync follows')
    })
  }

  #receive(from: NodeId, bytes: Uint8Array): void {
    const { network, onBad, onChange } = this.#options
    if (this.#isClosed || from === network.self) return
    const changes = readChanges(bytes)
    if (changes === undefined) onBad(from, 'not a gossip message')
    else for (const change of changes) onChange(from, change)
  }
}

/** What a gossip message says; undefined if it is none. Total. */
function readChanges(bytes: Uint8Array): readonly Change[] | undefined {
  if (bytes.length > MAX_MAP_GOSSIP_BYTES) return undefined
  const parsed = gossipSchema.safeParse(decodeCbor(bytes)?.value)
  return parsed.success ? parsed.data.changes : undefined
}

/** All changes of one document as one; without update where it would be too large. */
function joinChanges(changes: readonly ReplicaChange[]): Change | undefined {
  const last = changes.at(-1)
  if (last === undefined) return undefined
  const { document, generation } = last
  const bytes = changes.reduce((sum, change) => sum + change.update.length, 0)
  const isWhole = changes.some(change => change.begins)
  if (isWhole || bytes > MAX_GOSSIP_CHANGE_BYTES) return { document, generation }
  return { document, generation, update: joinUpdates(changes.map(change => change.update)) }
}
