/**
 * The source of a handoff: how one replica leaves this node. Pure; node/handoff/source.ts drives it.
 *
 *   greeting --have--> copying --little left--> verifying --verified--> asking --approved--> resting
 *      |                  |                         |                     |  ^_denied, again     |
 *      |__________________|_________________________|_____________________|__________ rested     |
 *      |   refused, lost, cancelled, expired, void                         |                     v
 *      v                                                                   |  committing <- preparing
 *   aborted <______________________________________________________________|______|______________/
 *                                                                                 | committed
 *      done <--confirmed-- confirming <--held-- releasing <-----------------------/
 *                                                |    ^ (after a crash of the source: begins here)
 *                       back <--reclaimed-- reclaiming   target gone, holder granted
 *
 * Invariants:
 * - from `resting` until the outcome, changes of the chunk are refused (freeze before, thaw after);
 * - a commit is asked for only with an approval, and only after the target said `prepared`;
 * - once a commit was asked for, only its own result decides; nothing aborts a committed handoff;
 * - bytes are freed only after the target held and that was recorded;
 * - every cutover that was asked for is settled with the holder, whatever its end.
 */
import { assert } from '../assert.ts'
import type { PlacementEpoch, Token } from '../ids.ts'
import { MAX_ROUNDS, PACED_ROUNDS, SMALL_REST_BYTES } from './limits.ts'
import type { Refusal } from './messages.ts'

export interface Approval {
  readonly token: Token
  readonly epoch: PlacementEpoch
}

export type SourceState =
  | { readonly at: 'greeting' }
  | { readonly at: 'copying'; readonly round: number }
  | { readonly at: 'verifying' }
  | { readonly at: 'asking' }
  | { readonly at: 'resting'; readonly approval: Approval }
  | { readonly at: 'preparing'; readonly approval: Approval }
  | { readonly at: 'committing'; readonly approval: Approval }
  | { readonly at: 'releasing' }
  | { readonly at: 'reclaiming' }
  | { readonly at: 'confirming' }
  | { readonly at: 'done' }
  | { readonly at: 'back' }
  | { readonly at: 'aborted' }

export type SourceEvent =
  | { readonly type: 'have' }
  /** A round is over; so much was changed meanwhile. */
  | { readonly type: 'copied'; readonly restBytes: number }
  | { readonly type: 'verified' }
  | { readonly type: 'approved'; readonly approval: Approval }
  | { readonly type: 'denied'; readonly why: string }
  /** Frozen, and the rest is stored at the target. */
  | { readonly type: 'rested'; readonly digest: string }
  | { readonly type: 'prepared' }
  /** The release is durable, and in force. */
  | { readonly type: 'committed' }
  /** The release was not written, and never will be. */
  | { readonly type: 'void'; readonly why: string }
  | { readonly type: 'held' }
  | { readonly type: 'confirmed' }
  /** The target is revoked, or has durably dropped what was released to it. */
  | { readonly type: 'target gone' }
  | { readonly type: 'reclaimed' }
  | { readonly type: 'refused'; readonly refusal: Refusal }
  /** The stream is gone, or a block cannot be read. */
  | { readonly type: 'failed'; readonly why: string; readonly mayRetry: boolean }
  | { readonly type: 'cancel'; readonly why: string }
  | { readonly type: 'expired' }

export type SourceEffect =
  | { readonly type: 'greet' }
  /** Sends what was changed and not sent since, at a rate that yields unless it is urgent. */
  | { readonly type: 'copy'; readonly isUrgent: boolean }
  | { readonly type: 'verify' }
  | { readonly type: 'ask' }
  /** Refuses changes of the chunk, then sends the rest at once. */
  | { readonly type: 'rest' }
  | { readonly type: 'prepare'; readonly approval: Approval; readonly digest: string }
  | { readonly type: 'commit'; readonly approval: Approval }
  /** Brings `released` to the target, until it confirms or is gone. */
  | { readonly type: 'release' }
  | { readonly type: 'reclaim' }
  | { readonly type: 'confirm' }
  /** Tells the holder, and lets go of a mover's token. */
  | { readonly type: 'settle'; readonly outcome: 'released' | 'aborted' }
  | { readonly type: 'thaw' }
  | { readonly type: 'free' }
  /** Tells the target that this handoff will never be committed. */
  | { readonly type: 'abandon' }
  | { readonly type: 'end'; readonly end: SourceEnd }

export type SourceEnd =
  | { readonly is: 'passed' }
  | { readonly is: 'failed'; readonly why: string; readonly mayRetry: boolean }

export interface SourceStep {
  readonly state: SourceState
  readonly effects: readonly SourceEffect[]
}

export function begin(): SourceStep {
  return { state: { at: 'greeting' }, effects: [{ type: 'greet' }] }
}

/** A release that an earlier start of this node committed. */
export function resume(): SourceStep {
  return { state: { at: 'releasing' }, effects: [{ type: 'release' }] }
}

export function step(state: SourceState, event: SourceEvent): SourceStep {
  switch (state.at) {
    case 'greeting':
      if (event.type === 'have') return copy(1)
      return beforeCutover(state, event)
    case 'copying':
      return event.type === 'copied' ? copied(state, event.restBytes) : beforeCutover(state, event)
    case 'verifying':
      if (event.type === 'verified') return move({ at: 'asking' }, { type: 'ask' })
      return beforeCutover(state, event)
    case 'asking':
      return asking(state, event)
    case 'resting':
    case 'preparing':
      return inCutover(state, event)
    case 'committing':
      return committing(state, event)
    default:
      return afterCommit(state, event)
  }
}

function copied(state: SourceState & { at: 'copying' }, restBytes: number): SourceStep {
  const isSmall = restBytes <= SMALL_REST_BYTES
  if (isSmall || state.round >= MAX_ROUNDS) return move({ at: 'verifying' }, { type: 'verify' })
  return copy(state.round + 1)
}

function copy(round: number): SourceStep {
  return move({ at: 'copying', round }, { type: 'copy', isUrgent: round > PACED_ROUNDS })
}

function beforeCutover(state: SourceState, event: SourceEvent): SourceStep {
  const end = endOf(event)
  if (end === undefined) return stay(state)
  return { state: { at: 'aborted' }, effects: [{ type: 'abandon' }, { type: 'end', end }] }
}

/** The holder may have stopped its changes already: whatever ends this is told to it. */
function asking(state: SourceState, event: SourceEvent): SourceStep {
  if (event.type === 'approved') {
    return move({ at: 'resting', approval: event.approval }, { type: 'rest' })
  }
  const end = endOf(event)
  return end === undefined ? stay(state) : aborted(end, false)
}

function inCutover(
  state: SourceState & { at: 'resting' | 'preparing' },
  event: SourceEvent
): SourceStep {
  const { approval } = state
  if (state.at === 'resting' && event.type === 'rested') {
    const { digest } = event
    return move({ at: 'preparing', approval }, { type: 'prepare', approval, digest })
  }
  if (state.at === 'preparing' && event.type === 'prepared') {
    return move({ at: 'committing', approval }, { type: 'commit', approval })
  }
  const end = endOf(event)
  return end === undefined ? stay(state) : aborted(end, true)
}

function committing(state: SourceState, event: SourceEvent): SourceStep {
  if (event.type === 'committed') {
    return {
      state: { at: 'releasing' },
      effects: [{ type: 'thaw' }, { type: 'release' }]
    }
  }
  if (event.type !== 'void') return stay(state)
  return aborted({ is: 'failed', why: event.why, mayRetry: true }, true)
}

function afterCommit(state: SourceState, event: SourceEvent): SourceStep {
  if (state.at === 'releasing' && event.type === 'held') {
    return {
      state: { at: 'confirming' },
      effects: [{ type: 'settle', outcome: 'released' }, { type: 'confirm' }]
    }
  }
  if (state.at === 'releasing' && event.type === 'target gone') {
    return move({ at: 'reclaiming' }, { type: 'reclaim' })
  }
  if (state.at === 'reclaiming' && event.type === 'reclaimed') {
    const why = 'the target is gone: the chunk is held here again'
    return move({ at: 'back' }, { type: 'end', end: { is: 'failed', why, mayRetry: true } })
  }
  if (state.at === 'confirming' && event.type === 'confirmed') {
    return {
      state: { at: 'done' },
      effects: [{ type: 'free' }, { type: 'end', end: { is: 'passed' } }]
    }
  }
  return stay(state)
}

/** How the attempt ends, if this event ends one that is not committed. */
function endOf(event: SourceEvent): SourceEnd | undefined {
  switch (event.type) {
    case 'refused':
      return { is: 'failed', why: event.refusal.why, mayRetry: isPassing(event.refusal) }
    case 'failed':
      return { is: 'failed', why: event.why, mayRetry: event.mayRetry }
    case 'denied':
      return { is: 'failed', why: event.why, mayRetry: true }
    case 'cancel':
      return { is: 'failed', why: event.why, mayRetry: false }
    case 'expired':
      return { is: 'failed', why: 'the cutover was not committed in time', mayRetry: true }
    default:
      return undefined
  }
}

function isPassing({ code }: Refusal): boolean {
  return code === 'busy' || code === 'stale' || code === 'digest' || code === 'failed'
}

function aborted(end: SourceEnd, isFrozen: boolean): SourceStep {
  assert(end.is === 'failed', 'only a failure aborts')
  const thaw: readonly SourceEffect[] = isFrozen ? [{ type: 'thaw' }] : []
  return {
    state: { at: 'aborted' },
    effects: [
      ...thaw,
      { type: 'abandon' },
      { type: 'settle', outcome: 'aborted' },
      { type: 'end', end }
    ]
  }
}

function move(state: SourceState, effect: SourceEffect): SourceStep {
  return { state, effects: [effect] }
}

function stay(state: SourceState): SourceStep {
  return { state, effects: [] }
}
