/**
 * Admission: whose requests one shard applies. A stream takes the seat of its volume by a hello
 * (token, session); requests of the seated stream alone are handed to the store, and a newer hello
 * or a greater token retires it.
 *
 *   granted token T --hello (T, s)--> seated, waiting for older requests --settled--> welcome
 *        |  ^                              |  hello (T, s' > s): the seat passes on, s is retired
 *        |  |______________________________|
 *        |__ grant of a greater token: the seat falls empty, everything older is retired
 *
 * Invariants:
 * - `greatest` only grows, and was durable before it came here;
 * - a request begins only on the seated stream, after its hello was answered with welcome;
 * - a hello or an open is answered only when no request of an older token or session is in flight;
 * - whatever of a retired stream has not begun never begins.
 */
import { assert } from '../assert.ts'
import type { Token } from '../ids.ts'
import { compareTokens } from '../ids.ts'
import { MAX_WAITING_HELLOS, MAX_WAITING_OPENS } from '../limits.ts'

export interface Seat {
  readonly token: Token
  readonly session: number
  /** Which stream: a number that the driver never uses twice. */
  readonly stream: number
}

export interface Admission {
  /** The greatest token that the shard has granted, durably. */
  readonly greatest: Token
  /** Who may have requests applied. Stays when its stream is gone, so that no older session returns. */
  readonly seat: Seat | undefined
  /** The seat's first hello was answered. */
  readonly isWelcome: boolean
  /** Requests of the seat that were handed to the store and have not settled. */
  readonly inFlight: number
  /** The same of everyone who held the seat before. */
  readonly olderInFlight: number
  /** Hellos of the seated stream (request ids) that wait for the older requests. */
  readonly hellos: readonly number[]
  /** Opens under the greatest token (numbers of the driver) that wait for the older requests. */
  readonly opens: readonly number[]
}

export type AdmissionEvent =
  /** A token was made durable. Greater than the greatest, or identical to it. */
  | { readonly type: 'grant'; readonly token: Token }
  /** The caller of an open with this granted token wants its answer. */
  | { readonly type: 'open'; readonly open: number; readonly token: Token }
  | {
      readonly type: 'hello'
      readonly stream: number
      readonly token: Token
      readonly session: number
      readonly requestId: number
    }
  /** A queued request of this stream is about to be handed to the store, in the same step. */
  | { readonly type: 'begin'; readonly stream: number }
  /** The store has answered a request that had begun. */
  | { readonly type: 'settle'; readonly stream: number }
  /** The stream is closed; what it had not begun is gone with it. */
  | { readonly type: 'gone'; readonly stream: number }

/** stale: a greater token was granted. superseded: a newer session of the same token came. */
export type Retirement = 'stale' | 'superseded'

export type AdmissionEffect =
  | { readonly type: 'welcome'; readonly stream: number; readonly requestId: number }
  | {
      readonly type: 'refuse'
      readonly stream: number
      readonly requestId: number
      readonly why: Retirement
    }
  /** Discard everything queued of this stream; it never holds the seat again. */
  | { readonly type: 'retire'; readonly stream: number; readonly why: Retirement }
  /** The open may be answered: its token is the greatest, and nothing older is in flight. */
  | { readonly type: 'opened'; readonly open: number }
  /** The open is to be answered `stale`: a greater token was granted meanwhile. */
  | { readonly type: 'outdated'; readonly open: number }
  /** Hand the request to the store now. */
  | { readonly type: 'apply' }
  /** The request must never reach the store. */
  | { readonly type: 'discard' }

export interface AdmissionStep {
  readonly state: Admission
  readonly effects: readonly AdmissionEffect[]
}

const NONE: readonly AdmissionEffect[] = []
const APPLY: readonly AdmissionEffect[] = [{ type: 'apply' }]
const DISCARD: readonly AdmissionEffect[] = [{ type: 'discard' }]
const NO_IDS: readonly number[] = []

export function initialAdmission(greatest: Token): Admission {
  return {
    greatest,
    seat: undefined,
    isWelcome: false,
    inFlight: 0,
    olderInFlight: 0,
    hellos: NO_IDS,
    opens: NO_IDS
  }
}

export function step(state: Admission, event: AdmissionEvent): AdmissionStep {
  switch (event.type) {
    case 'begin':
      return begin(state, event.stream)
    case 'settle':
      return settle(state, event.stream)
    case 'hello':
      return hello(state, event)
    case 'grant':
      return grant(state, event.token)
    case 'open':
      return open(state, event.open, event.token)
    case 'gone': {
      if (state.seat?.stream !== event.stream) return stay(state)
      return stay({ ...state, hellos: NO_IDS })
    }
  }
}

function begin(state: Admission, stream: number): AdmissionStep {
  if (state.seat?.stream !== stream) return { state, effects: DISCARD }
  assert(state.isWelcome, 'no request begins before the hello of its stream was answered')
  assert(state.olderInFlight === 0, 'no request begins while older ones are in flight')
  assert(compareTokens(state.seat.token, state.greatest) === 0, 'the seat is under the greatest')
  return { state: counted(state, state.inFlight + 1, 0), effects: APPLY }
}

function settle(state: Admission, stream: number): AdmissionStep {
  if (state.seat?.stream === stream) {
    assert(state.inFlight > 0, 'what settles had begun')
    return stay(counted(state, state.inFlight - 1, state.olderInFlight))
  }
  assert(state.olderInFlight > 0, 'what settles had begun')
  return release(counted(state, state.inFlight, state.olderInFlight - 1))
}

function hello(state: Admission, event: AdmissionEvent & { type: 'hello' }): AdmissionStep {
  const { stream, requestId } = event
  const refuse = (why: Retirement): AdmissionStep => ({
    state,
    effects: [{ type: 'refuse', stream, requestId, why }]
  })
  if (compareTokens(event.token, state.greatest) !== 0) return refuse('stale')
  const { seat } = state
  if (seat?.stream === stream) {
    if (event.session !== seat.session) return refuse('superseded')
    assert(state.hellos.length < MAX_WAITING_HELLOS, 'the driver bounds the waiting hellos')
    return release({ ...state, hellos: [...state.hellos, requestId] })
  }
  if (seat !== undefined && event.session <= seat.session) return refuse('superseded')
  const empty = vacate(state, 'superseded')
  const next = release({
    ...empty.state,
    seat: { token: event.token, session: event.session, stream },
    hellos: [requestId]
  })
  return { state: next.state, effects: [...empty.effects, ...next.effects] }
}

function grant(state: Admission, token: Token): AdmissionStep {
  const order = compareTokens(token, state.greatest)
  assert(order >= 0, 'tokens only grow')
  if (order === 0) return stay(state)
  const empty = vacate(state, 'stale')
  const outdated = state.opens.map(open => ({ type: 'outdated', open }) as const)
  return {
    state: { ...empty.state, greatest: token, opens: NO_IDS },
    effects: [...empty.effects, ...outdated]
  }
}

function open(state: Admission, number: number, token: Token): AdmissionStep {
  const order = compareTokens(token, state.greatest)
  assert(order <= 0, 'an open waits only for a granted token')
  if (order < 0) return { state, effects: [{ type: 'outdated', open: number }] }
  assert(state.opens.length < MAX_WAITING_OPENS, 'the driver bounds the waiting opens')
  return release({ ...state, opens: [...state.opens, number] })
}

/** Takes the seat from whoever has it; what it had begun is older from now on. */
function vacate(state: Admission, why: Retirement): AdmissionStep {
  const { seat } = state
  if (seat === undefined) return stay(state)
  const refused = state.hellos.map(
    requestId => ({ type: 'refuse', stream: seat.stream, requestId, why }) as const
  )
  return {
    state: {
      ...state,
      seat: undefined,
      isWelcome: false,
      inFlight: 0,
      olderInFlight: state.olderInFlight + state.inFlight,
      hellos: NO_IDS
    },
    effects: [...refused, { type: 'retire', stream: seat.stream, why }]
  }
}

/** Answers whoever waited for the older requests, once none is left. */
function release(state: Admission): AdmissionStep {
  if (state.olderInFlight > 0) return stay(state)
  const { seat, hellos, opens } = state
  if (hellos.length === 0 && opens.length === 0) return stay(state)
  const effects: AdmissionEffect[] = []
  for (const number of opens) effects.push({ type: 'opened', open: number })
  if (hellos.length > 0) assert(seat !== undefined, 'only the seated stream has waiting hellos')
  const stream = seat?.stream ?? -1
  for (const requestId of hellos) effects.push({ type: 'welcome', stream, requestId })
  return {
    state: {
      ...state,
      isWelcome: state.isWelcome || hellos.length > 0,
      hellos: NO_IDS,
      opens: NO_IDS
    },
    effects
  }
}

/** Spelled out: this runs twice for every request, and a spread costs several times as much. */
function counted(state: Admission, inFlight: number, olderInFlight: number): Admission {
  return {
    greatest: state.greatest,
    seat: state.seat,
    isWelcome: state.isWelcome,
    inFlight,
    olderInFlight,
    hellos: state.hellos,
    opens: state.opens
  }
}

function stay(state: Admission): AdmissionStep {
  return { state, effects: NONE }
}
