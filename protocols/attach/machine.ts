/**
 * How a gateway comes to hold a volume. Pure; node/gateway/attach.ts drives it.
 *
 *   asking --every shard answered, all chunks held--> opening --every shard granted--> flushing
 *     |  ^_ retry: a shard is missing, or a chunk       |  ^_ retry, same token          |  ^_ retry
 *     |  ^______________ a mover was there meanwhile ___|                                |
 *     |__ held elsewhere, removed, time-out             |__ stale (raced), time-out      |__ stale
 *     v                                                 v                                v
 *   refused                                          refused               flushed -> serving
 *
 * Invariants:
 * - nothing is raised (no open leaves) while a shard that must answer has not, or a chunk of
 *   [0, size) is held by none that answered, or another gateway is alive and not to be overtaken;
 * - a store that is not the one last known of its node, or a later start of it, ends the attempt;
 * - an open is repeated only with the same token, and a shard that knows a greater one of a gateway
 *   ends the attempt; one of a mover alone sends it back to asking, for a greater token;
 * - serving begins only with every chunk held by a shard that granted this token, and flushed.
 */
import { assert } from '../assert.ts'
import type { Fault } from '../fault.ts'
import type { Incarnation, NodeId, Nonce, Token, VolumeId } from '../ids.ts'
import { compareTokens } from '../ids.ts'
import { MAX_COUNTER } from '../limits.ts'
import type { ControlAnswer, Holder, ShardState } from '../shard-control/messages.ts'
import { type Description, describe } from './describe.ts'
import {
  allAre,
  ask,
  type Carried,
  carriedTo,
  greatestWriter,
  missed,
  namedBy,
  put,
  type Shard,
  type Shards,
  statesOf,
  withoutForgotten
} from './shards.ts'
import { startProblem } from './starts.ts'

const HOLDS_NOTHING = 'holds nothing of this volume'
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
  /**
   * The token of an attachment that goes on under a new one: only movers may have come between. A
   * shard that granted a greater one to a gateway ends the attempt, whatever `takeOver` says.
   */
  readonly after?: Token | undefined
  /** The greatest start of each node's store that is known, as the map tells it. */
  readonly starts: ReadonlyMap<NodeId, Incarnation>
}

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
      /** The greatest token of a gateway when the shards were asked. */
      readonly writer: Token
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
  /** The map was fetched again: these hold the chunks as it says now. */
  | { readonly type: 'named'; readonly nodes: readonly NodeId[] }
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
  /** Bring the source's release to this node, then send `again` for it. */
  | { readonly type: 'carry'; readonly node: NodeId; readonly released: Carried }
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
    case 'named':
      return state.at === 'flushing' ? stay(state) : named(state, event.nodes)
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
  if (answer.is === 'absent') return advance({ ...state, shards: emptied(state, node) }, [])
  if (answer.is !== 'state') return missing(state, node, refusalOf(answer))
  const doubt = startProblem(node, state.attempt.starts.get(node), answer.state.incarnation)
  if (doubt !== undefined) return refuse({ code: 'QUARANTINED', why: doubt }, doubt)
  if (isPassedOn(state.attempt, answer.state.writer)) return raced(answer.state.holder)
  const held = heldElsewhere(state.attempt, answer.state)
  if (held !== undefined) return refuseHeld(held)
  const known = put(state.shards, node, { is: 'known', state: answer.state })
  const { shards, fresh } = ask(known, namedBy(answer.state))
  return advance({ ...met(state, node, answer.state), shards }, fresh)
}

/** Goes on if nobody is waited for; else asks those who were not asked yet. */
function advance(state: Asking | Opening, fresh: readonly NodeId[]): AttachStep {
  if (state.at === 'asking') {
    if (allAre(state.shards, 'known')) return decide(state)
    return { state, effects: fresh.map(node => ({ type: 'query', node })) }
  }
  if (allAre(state.shards, 'granted')) return verify(state)
  const { token } = state
  return { state, effects: fresh.map(node => ({ type: 'open', node, token })) }
}

/** Every shard answered: raise the token, or wait for whoever must hold the rest. */
function decide(state: Asking): AttachStep {
  const states = statesOf(state.shards, 'known')
  if (states.size === 0) return lookAgain(state, states)
  const described = describe(state.attempt.volume, states)
  if (typeof described === 'string') return refuse({ code: 'CONFLICT', what: 'volume' }, described)
  if (described.placement.gaps.length > 0) return lookAgain(state, states)
  let greatest = 0
  for (const [, shard] of states) greatest = Math.max(greatest, shard.token.counter)
  if (greatest >= MAX_COUNTER)
    return refuse({ code: 'LIMIT', limit: 'MAX_COUNTER' }, 'no token is left')
  const { attempt, shards } = state
  const token: Token = { counter: greatest + 1, attach: attempt.attach }
  return {
    state: { at: 'opening', attempt, token, writer: greatestWriter(states.values()), shards },
    effects: [...shards.keys()].map(node => ({ type: 'open', node, token }))
  }
}

/**
 * A chunk that no shard accounts for is under way between two of them: look again, and carry what
 * its source has released, so that nobody waits for the source to do it.
 */
function lookAgain(state: Asking | Opening, states: ReadonlyMap<NodeId, ShardState>): AttachStep {
  const shards = new Map<NodeId, Shard>()
  const effects: AttachEffect[] = []
  for (const [node, shard] of state.shards) {
    const holds =
      shard.is === 'empty' ? HOLDS_NOTHING : 'holds less of the volume than the map says'
    shards.set(node, missed(shard, holds))
    const carried = carriedTo(node, states)
    for (const released of carried) effects.push({ type: 'carry', node, released })
    if (carried.length === 0) effects.push({ type: 'retry', node })
  }
  return { state: { ...state, shards }, effects }
}

function opened(state: Opening, { node, answer }: Answered): AttachStep {
  if (answer.is === 'removed') return gone()
  if (answer.is === 'absent') return advance({ ...state, shards: emptied(state, node) }, [])
  if (answer.is === 'stale') return overtaken(state, answer.writer, answer.holder)
  if (answer.is !== 'state') return missing(state, node, refusalOf(answer))
  const doubt = startProblem(node, state.attempt.starts.get(node), answer.state.incarnation)
  if (doubt !== undefined) return refuse({ code: 'QUARANTINED', why: doubt }, doubt)
  const order = compareTokens(answer.state.token, state.token)
  if (order > 0) return overtaken(state, answer.state.writer, answer.state.holder)
  if (order < 0) return missing(state, node, 'did not grant the token')
  const granted = put(state.shards, node, { is: 'granted', state: answer.state })
  const { shards, fresh } = ask(granted, namedBy(answer.state))
  return advance({ ...met(state, node, answer.state), shards }, fresh)
}

/**
 * A shard knows a greater token. A mover's is no other gateway's: all are asked again, for a token
 * that is greater still. A gateway's ends the attempt: raising would only go on with the race.
 */
function overtaken(state: Opening, writer: Token, holder: Holder | undefined): AttachStep {
  const isOurs = writer.attach === state.attempt.attach
  if (!isOurs && compareTokens(writer, state.writer) > 0) return raced(holder)
  const shards = new Map<NodeId, Shard>()
  for (const [node, shard] of state.shards) {
    shards.set(node, missed(shard, 'a chunk was being moved from or to it'))
  }
  return {
    state: { at: 'asking', attempt: state.attempt, shards },
    effects: [...shards.keys()].map(node => ({ type: 'retry', node }))
  }
}

/** The map may have learnt meanwhile who holds what: whom to ask, and for whom not to wait. */
function named(state: Asking | Opening, nodes: readonly NodeId[]): AttachStep {
  if (nodes.length === 0) return stay(state)
  const { shards, fresh } = ask(withoutForgotten(state.shards, nodes), nodes)
  return advance({ ...state, shards }, fresh)
}

/** Every shard granted: the chunks must all be among what they hold now. */
function verify(state: Opening): AttachStep {
  const states = statesOf(state.shards, 'granted')
  if (states.size === 0) return lookAgain(state, states)
  const described = describe(state.attempt.volume, states)
  if (typeof described === 'string') return refuse({ code: 'CONFLICT', what: 'volume' }, described)
  if (described.placement.gaps.length > 0) return lookAgain(state, states)
  const { starts } = state.attempt
  const granted: Granted = { token: state.token, starts, ...described }
  const waiting = new Set(states.keys())
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
  if (!state.shards.has(node)) return stay(state)
  const shards = put(state.shards, node, missed(state.shards.get(node), why))
  return { state: { ...state, shards }, effects }
}

function again(state: Asking | Opening | Flushing, node: NodeId): AttachStep {
  if (state.at !== 'flushing' && !state.shards.has(node)) return stay(state)
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
  for (const [node, shard] of inOrderOfBlame(state.shards)) {
    if (shard.is === wanted || shard.is === 'empty') continue
    const why = shard.is === 'missing' ? shard.why : 'does not answer'
    return refuse({ code: 'UNREACHABLE', peer: node }, `the shard on ${node}: ${why}`)
  }
  return refuse({ code: 'TIMEOUT', afterMs }, 'some chunks of the volume are held by no shard')
}

/** First those that never described a shard: what the others lack is there, or nowhere. */
function inOrderOfBlame(shards: Shards): Array<[NodeId, Shard]> {
  const hasNothing = ([, shard]: [NodeId, Shard]): boolean =>
    shard.is === 'missing' && shard.last === undefined
  const all = [...shards]
  return [...all.filter(hasNothing), ...all.filter(one => !hasNothing(one))]
}

function emptied(state: Asking | Opening, node: NodeId): Shards {
  return state.shards.has(node) ? put(state.shards, node, { is: 'empty' }) : state.shards
}

/** From now on this start of the node's store, or a later one, is expected. */
function met<S extends Asking | Opening>(state: S, node: NodeId, shard: ShardState): S {
  const starts = new Map(state.attempt.starts).set(node, shard.incarnation)
  return { ...state, attempt: { ...state.attempt, starts } }
}

/** Another gateway came after the attachment that is to go on. */
function isPassedOn({ after, attach }: Attempt, writer: Token): boolean {
  if (after === undefined || writer.attach === attach) return false
  return compareTokens(writer, after) > 0
}

/** The other gateway that still renews its hold on this shard. */
function heldElsewhere(attempt: Attempt, state: ShardState): Holder | undefined {
  if (attempt.takeOver || state.holder === undefined) return undefined
  if (state.holder.node === attempt.self) return undefined
  const silentMs = state.holderSilentMs ?? 0
  return silentMs < attempt.holderTimeoutMs ? state.holder : undefined
}

function refusalOf(answer: ControlAnswer): string {
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

function stay(state: AttachState): AttachStep {
  return { state, effects: [] }
}
