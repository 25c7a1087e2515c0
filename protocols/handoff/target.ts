/**
 * The target of a handoff, one stream of it: how a replica arrives. Pure; node/handoff/target.ts
 * drives it. What is durable is in the shard's head (records.ts); this is only the order of things.
 *
 *   new --hello--> reserving --reserved--> copying --prepare--> preparing --prepared--> prepared
 *    \                 \                     | ^ blocks, holes, verifying \                 | released
 *     \_________________\____________________|_____ refusal, lost, abort __\                v
 *                                            v                              \--> over    holding --> held
 *
 * Invariants:
 * - nothing is stored before space was durably reserved;
 * - `prepared` is said only after it is durable, and that only after everything stored was read
 *   back, its digest equals the source's, and all of it was flushed;
 * - the replica is held only by the source's word `released`, at the epoch that was prepared;
 * - a frame out of order ends the stream; a stream that ends takes nothing back.
 */
import type { PlacementEpoch } from '../ids.ts'
import { compareEpochs } from '../ids.ts'
import type { Frame, Hello, Prepare, Refusal } from './messages.ts'

export type TargetState =
  | { readonly at: 'new' }
  | { readonly at: 'reserving' }
  | { readonly at: 'copying' }
  /** Reading back: nothing else is taken until that is said. */
  | { readonly at: 'verifying' }
  | { readonly at: 'preparing'; readonly epoch: PlacementEpoch }
  | { readonly at: 'prepared'; readonly epoch: PlacementEpoch }
  | { readonly at: 'holding' }
  | { readonly at: 'held' }
  | { readonly at: 'over' }

export type TargetEvent =
  | { readonly type: 'frame'; readonly frame: Frame }
  | { readonly type: 'reserved' }
  | { readonly type: 'verified' }
  /** Durable. */
  | { readonly type: 'prepared' }
  /** Durable. */
  | { readonly type: 'held' }
  | { readonly type: 'refused'; readonly refusal: Refusal }
  | { readonly type: 'lost' }

export type TargetEffect =
  | { readonly type: 'reserve'; readonly hello: Hello }
  | { readonly type: 'say have' }
  | { readonly type: 'store'; readonly frame: Frame & { type: 'blocks' | 'holes' } }
  | { readonly type: 'verify' }
  | { readonly type: 'say verified' }
  /** Read back what is new, compare digests, flush, record. */
  | { readonly type: 'prepare'; readonly wish: Prepare }
  | { readonly type: 'say prepared' }
  | { readonly type: 'hold'; readonly epoch: PlacementEpoch }
  | { readonly type: 'say held' }
  /** The handoff will never be committed. What was stored stays for the next attempt. */
  | { readonly type: 'demote' }
  | { readonly type: 'say refused'; readonly refusal: Refusal }
  /** The source broke the protocol: close the stream. */
  | { readonly type: 'reject'; readonly why: string }

export interface TargetStep {
  readonly state: TargetState
  readonly effects: readonly TargetEffect[]
}

export const newTarget: TargetState = { at: 'new' }

export function step(state: TargetState, event: TargetEvent): TargetStep {
  if (state.at === 'over' || state.at === 'held') return stay(state)
  switch (event.type) {
    case 'frame':
      return received(state, event.frame)
    case 'reserved':
      return state.at === 'reserving' ? move({ at: 'copying' }, { type: 'say have' }) : stay(state)
    case 'verified':
      if (state.at !== 'verifying') return stay(state)
      return move({ at: 'copying' }, { type: 'say verified' })
    case 'prepared':
      if (state.at !== 'preparing') return stay(state)
      return move({ at: 'prepared', epoch: state.epoch }, { type: 'say prepared' })
    case 'held':
      return state.at === 'holding' ? move({ at: 'held' }, { type: 'say held' }) : stay(state)
    case 'refused':
      return move({ at: 'over' }, { type: 'say refused', refusal: event.refusal })
    case 'lost':
      return stay({ at: 'over' })
  }
}

function received(state: TargetState, frame: Frame): TargetStep {
  switch (frame.type) {
    case 'hello':
      if (state.at !== 'new') break
      return move({ at: 'reserving' }, { type: 'reserve', hello: frame.body })
    case 'blocks':
    case 'holes':
      if (state.at !== 'copying') break
      return move(state, { type: 'store', frame })
    case 'verify':
      if (state.at !== 'copying') break
      return move({ at: 'verifying' }, { type: 'verify' })
    case 'prepare':
      if (state.at !== 'copying') break
      return move(
        { at: 'preparing', epoch: frame.body.epoch },
        { type: 'prepare', wish: frame.body }
      )
    case 'released':
      if (state.at !== 'prepared') break
      if (compareEpochs(state.epoch, frame.body.epoch) !== 0) break
      return move({ at: 'holding' }, { type: 'hold', epoch: state.epoch })
    case 'abort':
      if (state.at === 'new' || state.at === 'holding') break
      return move({ at: 'over' }, { type: 'demote' })
    default:
      break
  }
  const why = `a ${frame.type} frame while ${state.at}`
  return move({ at: 'over' }, { type: 'reject', why })
}

function move(state: TargetState, effect: TargetEffect): TargetStep {
  return { state, effects: [effect] }
}

function stay(state: TargetState): TargetStep {
  return { state, effects: [] }
}
