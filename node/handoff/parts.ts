/** What the drivers of handoffs are made of; handoffs.ts builds it once for all of them. */

import { assert } from '../../protocols/assert.ts'
import type { ObserveStep } from '../../protocols/handoff/steps.ts'
import type { ChunkKey, HandoffId, NodeId, Nonce } from '../../protocols/ids.ts'
import { isHandoffId, isNonce } from '../../protocols/ids.ts'
import type { ShardMap } from '../map/types.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { ShardServer } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { MoverTurns } from './mover-turns.ts'
import type { Pace } from './types.ts'

export interface HandoffParts {
  readonly self: { readonly id: NodeId; readonly host: string }
  readonly store: ChunkStore
  readonly shards: ShardServer
  readonly network: Network
  readonly rpc: Rpc
  readonly map: Pick<ShardMap, 'mesh' | 'volume' | 'fetchVolume' | 'announceClaims' | 'flush'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly pace: Pace
  readonly observe: ObserveStep
  readonly holderTimeoutMs: number
  readonly movers: MoverTurns
  /** The chunk is held by `to`, and its release here is durably confirmed. */
  readonly passed: (chunk: ChunkKey, to: NodeId) => void
  /** A partial copy that nobody goes on with is dropped after so long. */
  readonly partialKeepMs: number
}

export function newHandoffId(random: Random): HandoffId {
  const id = Buffer.from(random.bytes(8)).toString('hex')
  assert(isHandoffId(id), '8 bytes are an id')
  return id
}

export function newNonce(random: Random): Nonce {
  const nonce = Buffer.from(random.bytes(8)).toString('hex')
  assert(isNonce(nonce), '8 bytes are a nonce')
  return nonce
}

/** Resolves after a pause of about `ms`, half of it to one and a half. */
export function pause(parts: Pick<HandoffParts, 'clock' | 'random'>, ms: number): Promise<void> {
  const jitteredMs = ms * (0.5 + parts.random.fraction())
  return new Promise(resolve => {
    parts.clock.after(jitteredMs, resolve)
  })
}
