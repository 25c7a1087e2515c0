/**
 * The source of a negotiation: one offer, from the question to the end of the move. Pure;
 * node/balance drives it, with one instance per move.
 *
 *   offering --all answered, or time--> awarding --awarded--> moving --moved--> settling --> over
 *      |                                  |  ^_ refused, silent: the next best   (renews)
 *      |__ no bid, cancelled _____________|__ none left, cancelled ____________________________^
 *
 * Invariants:
 * - one peer at most is awarded at a time, and a move starts once at most, where it was awarded;
 * - whoever may have promised something and was not chosen is told, once;
 * - what is sent for one move never exceeds MAX_MESSAGES_PER_MOVE;
 * - answers that are late, doubled, or from somebody who was not asked change nothing;
 * - every state but `over` has an instant at which a tick leads on, but a move that was renewed as
 *   often as it may be.
 */
import { assert } from '../assert.ts'
import type { NodeId } from '../ids.ts'
import {
  AWARD_TRIES,
  BACK_OFF_MS,
  BIDS_MS,
  CALL_MS,
  CALM_BACK_OFF_MS,
  FIRST_KEEP_MS,
  KEEPS_PER_LEASE,
  MAX_CANDIDATES,
  MAX_MESSAGES_PER_MOVE
} from './limits.ts'
import type { Offer } from './messages.ts'
import { moving, settling } from './offer-move.ts'
import {
  after,
  end,
  type OfferContext,
  type OfferEffect,
  type OfferEvent,
  type OfferState,
  type OfferStep,
  stay,
  type Talk
} from './offer-types.ts'
import { alternativesOf, mayHavePromised, type Peer, put } from './peers.ts'

/** `candidates`: 1 to MAX_CANDIDATES, each once. */
export function begin(offer: Offer, candidates: readonly NodeId[], nowMs: number): OfferStep {
  const isFew = candidates.length > 0 && candidates.length <= MAX_CANDIDATES
  assert(isFew, 'an offer goes to one candidate at least, and to a few')
  assert(new Set(candidates).size === candidates.length, 'no candidate is asked twice')
  const peers = candidates.map((node): Peer => ({ node, is: 'asked' }))
  const untilMs = nowMs + BIDS_MS
  const sends = candidates.map(
    (to, i): OfferEffect => ({ type: 'send', to, serial: i + 1, request: offer })
  )
  return {
    state: { at: 'offering', talk: { offer, peers, sent: sends.length }, untilMs },
    effects: [...sends, { type: 'wake', atMs: untilMs }]
  }
}

/**
 * How long to leave alone what nobody took `failures` times (1 or more); `fraction`: 0 to 1. What
 * only goes home is not urgent: a bidder looks at its next day, which changes slowly.
 */
export function backOffMs(failures: number, fraction: number, isUrgent = true): number {
  assert(failures >= 1, 'a pause follows a failure')
  const { min, max } = isUrgent ? BACK_OFF_MS : CALM_BACK_OFF_MS
  return Math.min(max, min * 2 ** Math.min(failures - 1, 30)) * (0.5 + fraction / 2)
}

export function step(state: OfferState, event: OfferEvent, context: OfferContext): OfferStep {
  const next = turn(state, event, context)
  assert(sentOf(next.state) <= MAX_MESSAGES_PER_MOVE, 'messages of one move are bounded')
  return next
}

function turn(state: OfferState, event: OfferEvent, context: OfferContext): OfferStep {
  switch (state.at) {
    case 'offering':
      return offering(state, event, context)
    case 'awarding':
      return awarding(state, event, context)
    case 'moving':
      return moving(state, event, context.nowMs)
    case 'settling':
      return settling(state, event, context.nowMs)
    case 'over':
      return stay(state)
  }
}

type Offering = OfferState & { at: 'offering' }
type Awarding = OfferState & { at: 'awarding' }

function offering(state: Offering, event: OfferEvent, context: OfferContext): OfferStep {
  const { talk } = state
  if (event.type === 'cancel') return cancelled(talk, event.why)
  if (event.type === 'tick') {
    if (context.nowMs < state.untilMs) return stay(state)
    const quiet = talk.peers.filter(({ is }) => is === 'asked').map(({ node }) => node)
    const peers = quiet.reduce((known, node) => put(known, { node, is: 'silent' }), talk.peers)
    const notes = quiet.map((node): OfferEffect => ({ type: 'note', node, is: 'silent' }))
    return after(notes, choose({ ...talk, peers }, context))
  }
  if (event.type === 'moved') return stay(state)
  const asked = talk.peers.find(({ node }) => node === event.from)
  if (asked?.is !== 'asked') return stay(state)
  const heard = hear(asked.node, event, context.nowMs)
  const peers = put(talk.peers, heard)
  const is = heard.is === 'silent' ? 'silent' : 'answered'
  const note: OfferEffect = { type: 'note', node: asked.node, is }
  if (peers.some(peer => peer.is === 'asked')) {
    return { state: { ...state, talk: { ...talk, peers } }, effects: [note] }
  }
  return after([note], choose({ ...talk, peers }, context))
}

/** What an answer to an offer makes of the peer. */
function hear(
  node: NodeId,
  event: OfferEvent & { type: 'answered' | 'silent' },
  nowMs: number
): Peer {
  if (event.type === 'silent') return { node, is: 'silent' }
  const { answer } = event
  if (answer.is === 'refused') return { node, is: 'declined', why: answer.why }
  if (answer.is !== 'bid') return { node, is: 'silent' }
  const { figures, reservation, lastsMs } = answer
  return { node, is: 'bid', figures, reservation, untilMs: nowMs + lastsMs }
}

function choose(talk: Talk, context: OfferContext): OfferStep {
  const bids = talk.peers.flatMap(peer =>
    peer.is === 'bid' ? [{ node: peer.node, figures: peer.figures }] : []
  )
  const ranked = bids.length === 0 ? [] : context.rank(bids)
  let peers = talk.peers
  const queue: NodeId[] = []
  for (const { node, score, why, isFit } of ranked) {
    const peer = peers.find(known => known.node === node)
    assert(peer?.is === 'bid', 'only those who bid are ranked')
    assert(!queue.includes(node), 'nobody is ranked twice')
    peers = put(peers, { ...peer, ranked: { score, why, isFit } })
    if (isFit) queue.push(node)
  }
  return award({ ...talk, peers }, queue, context.nowMs)
}

/** Awards to the first whose bid still binds it. */
function award(talk: Talk, queue: readonly NodeId[], nowMs: number, tries = 1): OfferStep {
  const [to, ...others] = queue
  if (to === undefined) return nobody(talk)
  const peer = talk.peers.find(({ node }) => node === to)
  assert(peer?.is === 'bid', 'only those who bid are awarded')
  if (nowMs >= peer.untilMs) return award(talk, others, nowMs)
  const serial = talk.sent + 1
  const untilMs = nowMs + CALL_MS
  const { reservation } = peer
  const leaseMs = KEEPS_PER_LEASE * FIRST_KEEP_MS
  return {
    state: { at: 'awarding', talk: { ...talk, sent: serial }, queue, tries, untilMs },
    effects: [
      {
        type: 'send',
        to,
        serial,
        request: { call: 'award', id: talk.offer.id, reservation, leaseMs }
      },
      { type: 'wake', atMs: untilMs }
    ]
  }
}

function awarding(state: Awarding, event: OfferEvent, { nowMs }: OfferContext): OfferStep {
  const { talk, queue } = state
  const [to, ...others] = queue
  assert(to !== undefined, 'somebody is being awarded')
  switch (event.type) {
    case 'cancel':
      return cancelled(talk, event.why)
    case 'moved':
      return stay(state)
    case 'tick':
      return nowMs < state.untilMs ? stay(state) : unheard(state, nowMs)
    case 'silent':
      return event.from === to && event.serial === talk.sent ? unheard(state, nowMs) : stay(state)
    case 'answered': {
      const { answer } = event
      if (event.from !== to || event.serial <= talk.sent - state.tries) return stay(state)
      if (answer.is === 'awarded') return start(talk, to, nowMs)
      if (answer.is !== 'refused') return stay(state)
      const peers = put(talk.peers, { node: to, is: 'declined', why: answer.why })
      const note: OfferEffect = { type: 'note', node: to, is: 'broke' }
      return after([note], award({ ...talk, peers }, others, nowMs))
    }
  }
}

function unheard({ talk, queue, tries }: Awarding, nowMs: number): OfferStep {
  const [to, ...others] = queue
  assert(to !== undefined, 'somebody is being awarded')
  if (tries < AWARD_TRIES) return award(talk, queue, nowMs, tries + 1)
  const peers = put(talk.peers, { node: to, is: 'silent' })
  const note: OfferEffect = { type: 'note', node: to, is: 'silent' }
  return after([note], award({ ...talk, peers }, others, nowMs))
}

function start(talk: Talk, to: NodeId, nowMs: number): OfferStep {
  const chosen = talk.peers.find(({ node }) => node === to)
  assert(chosen?.is === 'bid', 'who is chosen has bid')
  const { figures, reservation } = chosen
  const promise = { id: talk.offer.id, reservation }
  const withdrawals = withdraw(talk, to)
  const keepAtMs = nowMs + FIRST_KEEP_MS
  const sent = talk.sent + withdrawals.length
  return {
    state: { at: 'moving', to, promise, keeps: 0, pauseMs: FIRST_KEEP_MS, keepAtMs, sent },
    effects: [
      { type: 'note', node: to, is: 'answered' },
      { type: 'start', to, promise, figures, alternatives: alternativesOf(talk.peers, to) },
      ...withdrawals,
      { type: 'wake', atMs: keepAtMs }
    ]
  }
}

function nobody(talk: Talk): OfferStep {
  const alternatives = alternativesOf(talk.peers)
  const [first] = alternatives
  const why = alternatives.length === 1 && first !== undefined ? first.why : 'nobody takes it'
  const withdrawals = withdraw(talk)
  const over = end(talk.sent + withdrawals.length, { is: 'nobody', why, alternatives })
  return after(withdrawals, over)
}

function cancelled(talk: Talk, why: string): OfferStep {
  const withdrawals = withdraw(talk)
  return after(withdrawals, end(talk.sent + withdrawals.length, { is: 'cancelled', why }))
}

/** To everyone who may have promised something, but `chosen`. */
function withdraw({ offer, peers, sent }: Talk, chosen?: NodeId): OfferEffect[] {
  return peers
    .filter(peer => peer.node !== chosen && mayHavePromised(peer))
    .map(({ node }, i) => ({
      type: 'send',
      to: node,
      serial: sent + i + 1,
      request: { call: 'withdraw', id: offer.id }
    }))
}

function sentOf(state: OfferState): number {
  return 'talk' in state ? state.talk.sent : state.sent
}
