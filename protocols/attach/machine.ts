/**
 * How a gateway comes to hold a volume. Pure; node/gateway/attach.ts drives it.
 *
 *   asking --every shard answered, all chunks held--> opening --every shard granted--> flushing
 *     |  ^_ retry: a shard is missing                   |  ^_ retry, same token          |  ^_ retry
 *     |__ held elsewhere, removed, time-out             |__ stale (raced), time-out      |__ stale
 *     v                                                 v                                v
 *   refused                                          refused               flushed -> serving
 *
 * Invariants:
 * - nothing is raised (no open leaves) while a shard that must answer has not, or a chunk of
 *   [0, size) is held by none that answered, or another gateway is alive and not to be overtaken;
 * - a store that is not the one last known of its node, or a later start of it, ends the attempt;
 * - one attempt has one token: an open is repeated only with the same one, and a shard that knows a
 *   greater one ends the attempt;
 * - serving begins only with every chunk held by a shard that granted this token, and flushed.
 */
import { assert } from '../assert.ts'
import type { Fault } from '../fault.ts'
import type { Incarnation, NodeId, Nonce, Token, VolumeId } from '../ids.ts'
import { compareTokens } from '../ids.ts'
import { MAX_ATTACH_NODES, MAX_COUNTER } from '../limits.ts'
import type { ControlAnswer, Holder, ShardState } from '../shard-control/messages.ts'
import { type Description, describe } from './describe.ts'
import { startProblem } from './starts.ts'

/** The last moment that a Date can name (ECMA-262, time values). */
const MAX_TIME_MS = 8.64e15

export interface Attempt {
  readonly volume: VolumeId
  /** Fresh random id: half of the token, so that no two attempts ever share one. */
  readonly attach: Nonce
  readonly self: NodeId
  readonly takeOver: boolean
  /** A holder that was heard more recently than this is alive. */
  readonly holderTimeoutMs: number
  /** The greatest start of each node's store that is known, as the map tells it. */
  readonly starts: ReadonlyMap<NodeId, Incarnation>
}

/** What is known of one shard. */
export type Shard =
  | { readonly is: 'unasked' }
  | { readonly is: 'missing'; readonly why: string }
  | { readonly is: 'known'; readonly state: ShardState }
  | { readonly is: 'granted'; readonly state: ShardState }

export type Shards = ReadonlyMap<NodeId, Shard>

/** A volume as the shards describe it once they all granted. */
export interface Granted extends Description {
  readonly token: Token
  /** The start in which each shard granted. */
  readonly starts: ReadonlyMap<NodeId, Incarnation>
}

export type AttachState =
  | { readonly at: 'asking'; readonly attempt: Attempt; readonly shards: Shards }
  | {
      readonly at: 'opening'
      readonly attempt: Attempt
      readonly token: Token
      readonly shards: Shards
    }
  | {
      readonly at: 'flushing'
      readonly attempt: Attempt
      readonly granted: Granted
      readonly waiting: ReadonlySet<NodeId>
      readonly missing: ReadonlyMap<NodeId, string>
    }
  | { readonly at: 'serving'; readonly granted: Granted }
  | { readonly at: 'refused'; readonly fault: Fault; readonly why: string }

export type AttachEvent =
  | { readonly type: 'answer'; readonly node: NodeId; readonly answer: ControlAnswer }
  /** No answer came, or the node cannot be reached. */
  | { readonly type: 'missing'; readonly node: NodeId; readonly why: string }
  /** The pause after `retry` is over. */
  | { readonly type: 'again'; readonly node: NodeId }
  | { readonly type: 'flushed'; readonly node: NodeId }
  /** The data path met a greater token. */
  | { readonly type: 'stale' }
  /** The data path cannot serve the volume. */
  | { readonly type: 'failed'; readonly fault: Fault; readonly why: string }
  | { readonly type: 'timeout'; readonly afterMs: number }

export type AttachEffect =
  | { readonly type: 'query'; readonly node: NodeId }
  | { readonly type: 'open'; readonly node: NodeId; readonly token: Token }
  | { readonly type: 'flush'; readonly node: NodeId; readonly granted: Granted }
  /** Send `again` for this node after a jittered pause. */
  | { readonly type: 'retry'; readonly node: NodeId }
  | { readonly type: 'serve'; readonly granted: Granted }
  | { readonly type: 'refuse'; readonly fault: Fault; readonly why: string }

export interface AttachStep {
  readonly state: AttachState
  readonly effects: readonly AttachEffect[]
}

/** Begins with the shards that the map names. */
export function start(attempt: Attempt, nodes: readonly NodeId[]): AttachStep {
  if (nodes.length === 0)
    return refuse({ code: 'NO_CHUNK' }, 'the map names no shard of the volume')
  const shards = new Map<NodeId, Shard>()
  for (const node of nodes) shards.set(node, { is: 'unasked' })
  return {
    state: { at: 'asking', attempt, shards },
    effects: [...shards.keys()].map(node => ({ type: 'query', node }))
  }
}

export function step(state: AttachState, event: AttachEvent): AttachStep {
  if (state.at === 'serving' || state.at === 'refused') return stay(state)
  switch (event.type) {
    case 'answer':
      if (state.at === 'flushing') return stay(state)
      return state.at === 'asking' ? asked(state, event) : opened(state, event)
    case 'missing':
      return missing(state, event.node, event.why)
    case 'again':
      return again(state, event.node)
    case 'flushed':
      return state.at === 'flushing' ? flushed(state, event.node) : stay(state)
    case 'stale':
      return raced(undefined)
    case 'failed':
      return refuse(event.fault, event.why)
    case 'timeout':
      return timedOut(state, event.afterMs)
  }
}

type Asking = AttachState & { at: 'asking' }
type Opening = AttachState & { at: 'opening' }
type Flushing = AttachState & { at: 'flushing' }
type Answered = AttachEvent & { type: 'answer' }

function asked(state: Asking, { node, answer }: Answered): AttachStep {
  if (answer.is === 'removed') return gone()
  if (answer.is !== 'state') return missing(state, node, refusalOf(answer))
  const doubt = startProblem(node, state.attempt.starts.get(node), answer.state.incarnation)
  if (doubt !== undefined) return refuse({ code: 'QUARANTINED', why: doubt }, doubt)
  const held = heldElsewhere(state.attempt, answer.state)
  if (held !== undefined) return refuseHeld(held)
  const followed = follow(
    put(state.shards, node, { is: 'known', state: answer.state }),
    answer.state
  )
  const effects = followed.fresh.map(fresh => ({ type: 'query', node: fresh }) as const)
  const next: Asking = { ...met(state, node, answer.state), shards: followed.shards }
  return allAre(next.shards, 'known') ? decide(next) : { state: next, effects }
}

/** Every shard answered: raise the token, or wait for whoever must hold the rest. */
function decide(state: Asking): AttachStep {
  const states = statesOf(state.shards, 'known')
  const described = describe(state.attempt.volume, states)
  if (typeof described === 'string') return refuse({ code: 'CONFLICT', what: 'volume' }, described)
  if (described.placement.gaps.length > 0) return lookAgain(state)
  let greatest = 0
  for (const [, shard] of states) greatest = Math.max(greatest, shard.token.counter)
  if (greatest >= MAX_COUNTER)
    return refuse({ code: 'LIMIT', limit: 'MAX_COUNTER' }, 'no token is left')
  const token: Token = { counter: greatest + 1, attach: state.attempt.attach }
  return {
    state: { at: 'opening', attempt: state.attempt, token, shards: state.shards },
    effects: [...state.shards.keys()].map(node => ({ type: 'open', node, token }))
  }
}

/** A chunk that no shard accounts for may be under way between two of them: look again. */
function lookAgain(state: Asking | Opening): AttachStep {
  const shards = new Map<NodeId, Shard>()
  for (const node of state.shards.keys()) {
    shards.set(node, { is: 'missing', why: 'holds less of the volume than the map says' })
  }
  return {
    state: { ...state, shards },
    effects: [...shards.keys()].map(node => ({ type: 'retry', node }))
  }
}

function opened(state: Opening, { node, answer }: Answered): AttachStep {
  if (answer.is === 'removed') return gone()
  if (answer.is === 'stale') return raced(answer.holder)
  if (answer.is !== 'state') return missing(state, node, refusalOf(answer))
  const doubt = startProblem(node, state.attempt.starts.get(node), answer.state.incarnation)
  if (doubt !== undefined) return refuse({ code: 'QUARANTINED', why: doubt }, doubt)
  const order = compareTokens(answer.state.token, state.token)
  if (order > 0) return raced(answer.state.holder)
  if (order < 0) return missing(state, node, 'did not grant the token')
  const granted = put(state.shards, node, { is: 'granted', state: answer.state })
  const followed = follow(granted, answer.state)
  const { token } = state
  const effects = followed.fresh.map(fresh => ({ type: 'open', node: fresh, token }) as const)
  const next: Opening = { ...met(state, node, answer.state), shards: followed.shards }
  return allAre(next.shards, 'granted') ? verify(next) : { state: next, effects }
}

/** Every shard granted: the chunks must all be among what they hold now. */
function verify(state: Opening): AttachStep {
  const described = describe(state.attempt.volume, statesOf(state.shards, 'granted'))
  if (typeof described === 'string') return refuse({ code: 'CONFLICT', what: 'volume' }, described)
  if (described.placement.gaps.length > 0) return lookAgain(state)
  const { starts } = state.attempt
  const granted: Granted = { token: state.token, starts, ...described }
  const waiting = new Set(state.shards.keys())
  return {
    state: { at: 'flushing', attempt: state.attempt, granted, waiting, missing: new Map() },
    effects: [...waiting].map(node => ({ type: 'flush', node, granted }))
  }
}

function flushed(state: Flushing, node: NodeId): AttachStep {
  const waiting = new Set(state.waiting)
  waiting.delete(node)
  if (waiting.size > 0) return stay({ ...state, waiting })
  const { granted } = state
  assert(granted.placement.gaps.length === 0, 'serving begins with every chunk accounted for')
  return { state: { at: 'serving', granted }, effects: [{ type: 'serve', granted }] }
}

function missing(state: Asking | Opening | Flushing, node: NodeId, why: string): AttachStep {
  const effects = [{ type: 'retry', node } as const]
  if (state.at === 'flushing') {
    return { state: { ...state, missing: new Map(state.missing).set(node, why) }, effects }
  }
  const shards = put(state.shards, node, { is: 'missing', why })
  return { state: { ...state, shards }, effects }
}

function again(state: Asking | Opening | Flushing, node: NodeId): AttachStep {
  switch (state.at) {
    case 'asking':
      return { state, effects: [{ type: 'query', node }] }
    case 'opening':
      return { state, effects: [{ type: 'open', node, token: state.token }] }
    case 'flushing':
      if (!state.waiting.has(node)) return stay(state)
      return { state, effects: [{ type: 'flush', node, granted: state.granted }] }
  }
}

function timedOut(state: Asking | Opening | Flushing, afterMs: number): AttachStep {
  if (state.at === 'flushing') {
    const [node = 'unknown'] = state.waiting
    const why = state.missing.get(node as NodeId) ?? 'its flush did not end'
    return refuse({ code: 'UNREACHABLE', peer: node }, `the shard on ${node}: ${why}`)
  }
  const wanted = state.at === 'asking' ? 'known' : 'granted'
  for (const [node, shard] of state.shards) {
    if (shard.is === wanted) continue
    const why = shard.is === 'missing' ? shard.why : 'does not answer'
    return refuse({ code: 'UNREACHABLE', peer: node }, `the shard on ${node}: ${why}`)
  }
  return refuse({ code: 'TIMEOUT', afterMs }, 'some chunks of the volume are held by no shard')
}

/** Adds the nodes to whom, or from whom, this shard says chunks are passing. */
function follow(shards: Shards, state: ShardState): { shards: Shards; fresh: NodeId[] } {
  const next = new Map(shards)
  const fresh: NodeId[] = []
  const named = [
    ...state.released.map(passed => passed.to),
    ...state.receiving.map(passed => passed.from)
  ]
  for (const node of named) {
    if (next.has(node) || next.size >= MAX_ATTACH_NODES) continue
    next.set(node, { is: 'unasked' })
    fresh.push(node)
  }
  return { shards: next, fresh }
}

/** From now on this start of the node's store, or a later one, is expected. */
function met<S extends Asking | Opening>(state: S, node: NodeId, shard: ShardState): S {
  const starts = new Map(state.attempt.starts).set(node, shard.incarnation)
  return { ...state, attempt: { ...state.attempt, starts } }
}

/** The other gateway that still renews its hold on this shard. */
function heldElsewhere(attempt: Attempt, state: ShardState): Holder | undefined {
  if (attempt.takeOver || state.holder === undefined) return undefined
  if (state.holder.node === attempt.self) return undefined
  const silentMs = state.holderSilentMs ?? 0
  return silentMs < attempt.holderTimeoutMs ? state.holder : undefined
}

function refusalOf(answer: ControlAnswer): string {
  if (answer.is === 'absent') return 'holds nothing of this volume'
  if (answer.is === 'failed') return answer.why
  return `answered ${answer.is}`
}

function refuseHeld(holder: Holder): AttachStep {
  return refuse(
    { code: 'VOLUME_ATTACHED', host: holder.host, since: holder.since },
    `the volume is attached at ${describeHolder(holder)}; --take-over takes it from there`
  )
}

/** The holder's host and since when, for people. The time is the word of a peer: any number. */
export function describeHolder({ host, since }: Holder): string {
  const isTime = Math.abs(since) <= MAX_TIME_MS
  return isTime ? `${host} since ${new Date(since).toISOString()}` : host
}

function raced(holder: Holder | undefined): AttachStep {
  if (holder !== undefined) return refuseHeld(holder)
  return refuse({ code: 'FENCED', by: 'another gateway' }, 'another gateway took the volume')
}

function gone(): AttachStep {
  return refuse({ code: 'NOT_FOUND', what: 'volume' }, 'the volume was deleted')
}

function refuse(fault: Fault, why: string): AttachStep {
  return { state: { at: 'refused', fault, why }, effects: [{ type: 'refuse', fault, why }] }
}

function put(shards: Shards, node: NodeId, shard: Shard): Shards {
  return new Map(shards).set(node, shard)
}

function allAre(shards: Shards, is: 'known' | 'granted'): boolean {
  for (const shard of shards.values()) if (shard.is !== is) return false
  return true
}

function statesOf(shards: Shards, is: 'known' | 'granted'): Map<NodeId, ShardState> {
  const states = new Map<NodeId, ShardState>()
  for (const [node, shard] of shards) if (shard.is === is) states.set(node, shard.state)
  return states
}

function stay(state: AttachState): AttachStep {
  return { state, effects: [] }
}
