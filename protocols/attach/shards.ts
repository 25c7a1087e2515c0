/**
 * What an attach knows of the shards that it asks, and what follows from it: whom to ask besides,
 * who need not be waited for, and which passing of a chunk only wants to be carried.
 *
 *   unasked --> known | empty --> granted | empty
 *      \__ missing (with what it said last) __/
 *
 * Invariant: a node that described its shard in this attempt is never dropped from it.
 */
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch, Token } from '../ids.ts'
import { compareEpochs, compareTokens, NO_TOKEN } from '../ids.ts'
import { MAX_ATTACH_NODES } from '../limits.ts'
import type { ShardState } from '../shard-control/messages.ts'

/** What is known of one shard. */
export type Shard =
  | { readonly is: 'unasked' }
  /** `last`: what it said before it went missing, or before it was to be asked again. */
  | { readonly is: 'missing'; readonly why: string; readonly last?: ShardState | undefined }
  /** It answered, and holds nothing of the volume. */
  | { readonly is: 'empty' }
  | { readonly is: 'known'; readonly state: ShardState }
  | { readonly is: 'granted'; readonly state: ShardState }

export type Shards = ReadonlyMap<NodeId, Shard>

/** A chunk that its source has released to a target which does not know it yet. */
export interface Carried {
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly from: NodeId
  readonly epoch: PlacementEpoch
}

export function put(shards: Shards, node: NodeId, shard: Shard): Shards {
  return new Map(shards).set(node, shard)
}

/** It did not answer, or must be asked again; what it said before is kept. */
export function missed(shard: Shard | undefined, why: string): Shard {
  return { is: 'missing', why, last: shard === undefined ? undefined : stateOf(shard) }
}

/** Nobody is waited for: all answered in the way that is wanted, or hold nothing. */
export function allAre(shards: Shards, wanted: 'known' | 'granted'): boolean {
  for (const { is } of shards.values()) if (is !== wanted && is !== 'empty') return false
  return true
}

export function statesOf(shards: Shards, is: 'known' | 'granted'): Map<NodeId, ShardState> {
  const states = new Map<NodeId, ShardState>()
  for (const [node, shard] of shards) if (shard.is === is) states.set(node, shard.state)
  return states
}

/** Adds nodes; `fresh` are those that were not there. */
export function ask(
  shards: Shards,
  nodes: Iterable<NodeId>
): { readonly shards: Shards; readonly fresh: readonly NodeId[] } {
  const next = new Map(shards)
  const fresh: NodeId[] = []
  for (const node of nodes) {
    if (next.has(node) || next.size >= MAX_ATTACH_NODES) continue
    next.set(node, { is: 'unasked' })
    fresh.push(node)
  }
  return { shards: next, fresh }
}

/** Nodes to whom, or from whom, this shard says chunks are passing. */
export function namedBy(state: ShardState): NodeId[] {
  return [...state.released.map(({ to }) => to), ...state.receiving.map(({ from }) => from)]
}

/** Without those that neither the map nor a shard names, and that never described a shard. */
export function withoutForgotten(shards: Shards, named: readonly NodeId[]): Shards {
  const wanted = new Set(named)
  for (const shard of shards.values()) {
    const state = stateOf(shard)
    if (state !== undefined) for (const node of namedBy(state)) wanted.add(node)
  }
  return new Map([...shards].filter(([node, shard]) => wanted.has(node) || stateOf(shard)))
}

/** What is prepared at `node` and released to it by a source that answered, at that very epoch. */
export function carriedTo(node: NodeId, states: ReadonlyMap<NodeId, ShardState>): Carried[] {
  const target = states.get(node)
  if (target === undefined) return []
  return target.receiving.flatMap(({ handoff, from, isPrepared, run }) => {
    const { epoch, from: extent, generation, column, replica } = run
    const isReleased = states
      .get(from)
      ?.released.some(
        one =>
          one.handoff === handoff && one.to === node && compareEpochs(one.run.epoch, epoch) === 0
      )
    if (!isPrepared || isReleased !== true) return []
    const chunk = { volume: target.spec.id, extent, generation, column, replica }
    return [{ handoff, chunk, from, epoch }]
  })
}

/** The greatest token that any of them granted to a gateway. */
export function greatestWriter(states: Iterable<ShardState>): Token {
  let greatest = NO_TOKEN
  for (const { writer } of states) if (compareTokens(writer, greatest) > 0) greatest = writer
  return greatest
}

function stateOf(shard: Shard): ShardState | undefined {
  if (shard.is === 'missing') return shard.last
  return shard.is === 'known' || shard.is === 'granted' ? shard.state : undefined
}
