/**
 * The second half of offer.ts: while the move lasts its promise is renewed, ever more seldom; then
 * the target is told how it ended, until it answers or was told often enough.
 */
import type { NodeId } from '../ids.ts'
import {
  CALL_MS,
  FIRST_KEEP_MS,
  KEEPS_PER_LEASE,
  LONGEST_KEEP_MS,
  MAX_KEEPS,
  SETTLE_TRIES
} from './limits.ts'
import type { NegotiateAnswer, NegotiateRequest } from './messages.ts'
import {
  end,
  type MovePromise,
  type OfferEvent,
  type OfferState,
  type OfferStep,
  stay
} from './offer-types.ts'

type Moving = OfferState & { at: 'moving' }
type Settling = OfferState & { at: 'settling' }

/** A move that an earlier start of this node was awarded: what is left is to renew, and to settle. */
export function resume(to: NodeId, promise: MovePromise, nowMs: number): OfferStep {
  return {
    state: {
      at: 'moving',
      to,
      promise,
      keeps: 0,
      pauseMs: FIRST_KEEP_MS,
      keepAtMs: nowMs,
      sent: 0
    },
    effects: [{ type: 'wake', atMs: nowMs }]
  }
}

export function moving(state: Moving, event: OfferEvent, nowMs: number): OfferStep {
  switch (event.type) {
    case 'moved': {
      const { to, promise, sent } = state
      return settle({ id: promise.id, to, outcome: event.outcome, tries: 0, sent }, nowMs)
    }
    case 'silent':
      if (event.from !== state.to) return stay(state)
      return { state, effects: [{ type: 'note', node: state.to, is: 'silent' }] }
    case 'answered':
      return event.from === state.to && event.serial === state.keepSerial
        ? renewed(state, event.answer)
        : stay(state)
    case 'tick':
      return nowMs < state.keepAtMs || state.keeps >= MAX_KEEPS ? stay(state) : keep(state, nowMs)
    case 'cancel':
      return stay(state)
  }
}

function keep(state: Moving, nowMs: number): OfferStep {
  const sent = state.sent + 1
  const leaseMs = KEEPS_PER_LEASE * longer(state.pauseMs)
  const keepAtMs = nowMs + state.pauseMs
  const request: NegotiateRequest = { call: 'keep', ...state.promise, leaseMs }
  return {
    state: { ...state, keeps: state.keeps + 1, keepSerial: sent, keepAtMs, sent },
    effects: [
      { type: 'send', to: state.to, serial: sent, request },
      { type: 'wake', atMs: keepAtMs }
    ]
  }
}

/** Only what was answered makes the next pause longer. */
function renewed(state: Moving, answer: NegotiateAnswer): OfferStep {
  if (answer.is === 'refused') {
    return stay({ ...state, keepSerial: undefined, keepAtMs: Number.POSITIVE_INFINITY })
  }
  if (answer.is !== 'kept') return stay(state)
  const pauseMs = longer(state.pauseMs)
  const keepAtMs = state.keepAtMs + pauseMs - state.pauseMs
  return {
    state: { ...state, keepSerial: undefined, pauseMs, keepAtMs },
    effects: [{ type: 'wake', atMs: keepAtMs }]
  }
}

function longer(pauseMs: number): number {
  return Math.min(LONGEST_KEEP_MS, 2 * pauseMs)
}

function settle(what: Omit<Settling, 'at' | 'untilMs'>, nowMs: number): OfferStep {
  const { id, to, outcome } = what
  const sent = what.sent + 1
  const untilMs = nowMs + CALL_MS
  return {
    state: { at: 'settling', ...what, tries: what.tries + 1, sent, untilMs },
    effects: [
      { type: 'send', to, serial: sent, request: { call: 'settle', id, outcome } },
      { type: 'wake', atMs: untilMs }
    ]
  }
}

export function settling(state: Settling, event: OfferEvent, nowMs: number): OfferStep {
  const { to, outcome, sent } = state
  const isOurs = 'from' in event && event.from === to && event.serial === sent
  const isHeard = event.type === 'answered' && isOurs
  const isLate = event.type === 'tick' ? nowMs >= state.untilMs : event.type === 'silent' && isOurs
  if (isLate && state.tries < SETTLE_TRIES) return settle(state, nowMs)
  if (!isHeard && !isLate) return stay(state)
  return end(sent, { is: 'settled', to, outcome })
}
