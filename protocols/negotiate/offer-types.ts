/** What the source's machine of a negotiation (offer.ts) is told, does and is. */
import type { Alternative } from '../balance/receipt.ts'
import type { BidFigures } from '../balance/types.ts'
import type { NodeId, Nonce } from '../ids.ts'
import type { NegotiateAnswer, NegotiateRequest, Offer, Outcome } from './messages.ts'
import type { Peer } from './peers.ts'

export interface Bidder {
  readonly node: NodeId
  readonly figures: BidFigures
}

export interface Ranked {
  readonly node: NodeId
  /** Less is better. */
  readonly score: number
  readonly why: string
  /** False: it is not awarded, whoever else refuses. */
  readonly isFit: boolean
}

/** The best first; who is left out is not awarded. */
export type Rank = (bids: readonly Bidder[]) => readonly Ranked[]

/** Until somebody is awarded. */
export interface Talk {
  readonly offer: Offer
  readonly peers: readonly Peer[]
  readonly sent: number
}

export type OfferState =
  | { readonly at: 'offering'; readonly talk: Talk; readonly untilMs: number }
  | {
      readonly at: 'awarding'
      readonly talk: Talk
      /** The best first: that one was sent the award. */
      readonly queue: readonly NodeId[]
      readonly tries: number
      readonly untilMs: number
    }
  | {
      readonly at: 'moving'
      readonly to: NodeId
      readonly promise: MovePromise
      readonly keeps: number
      /** From one renewal to the next, and when that is; Infinity: the target knows of no promise. */
      readonly pauseMs: number
      readonly keepAtMs: number
      /** Of the renewal that was not answered yet. */
      readonly keepSerial?: number | undefined
      readonly sent: number
    }
  | {
      readonly at: 'settling'
      readonly id: string
      readonly to: NodeId
      readonly outcome: Outcome
      readonly tries: number
      readonly untilMs: number
      readonly sent: number
    }
  | { readonly at: 'over'; readonly sent: number }

export interface MovePromise {
  readonly id: string
  readonly reservation: Nonce
}

export type OfferEvent =
  /** `serial`: of the message that it answers. */
  | {
      readonly type: 'answered'
      readonly from: NodeId
      readonly serial: number
      readonly answer: NegotiateAnswer
    }
  /** The call came to nothing. */
  | { readonly type: 'silent'; readonly from: NodeId; readonly serial: number }
  | { readonly type: 'tick' }
  /** Not wanted any more. After the award it comes too late: cancel the move. */
  | { readonly type: 'cancel'; readonly why: string }
  /** What was started has ended. */
  | { readonly type: 'moved'; readonly outcome: Outcome }

export type OfferEffect =
  | {
      readonly type: 'send'
      readonly to: NodeId
      /** Counts the messages of this negotiation, from 1; its answer or silence names it. */
      readonly serial: number
      readonly request: NegotiateRequest
    }
  /** A tick is wanted then; replaces the one wanted before. */
  | { readonly type: 'wake'; readonly atMs: number }
  /** For the record of peers (trust.ts). */
  | { readonly type: 'note'; readonly node: NodeId; readonly is: 'answered' | 'silent' | 'broke' }
  /** The move may begin. */
  | {
      readonly type: 'start'
      readonly to: NodeId
      readonly promise: MovePromise
      readonly figures: BidFigures
      readonly alternatives: readonly Alternative[]
    }
  | { readonly type: 'end'; readonly end: OfferEnd }

export type OfferEnd =
  | { readonly is: 'settled'; readonly to: NodeId; readonly outcome: Outcome }
  /** Nobody takes it now: see `backOffMs`. */
  | {
      readonly is: 'nobody'
      readonly why: string
      readonly alternatives: readonly Alternative[]
    }
  | { readonly is: 'cancelled'; readonly why: string }

export interface OfferStep {
  readonly state: OfferState
  readonly effects: readonly OfferEffect[]
}

/** Monotonic ms, and how bids are compared. */
export interface OfferContext {
  readonly nowMs: number
  readonly rank: Rank
}

export function after(effects: readonly OfferEffect[], next: OfferStep): OfferStep {
  return { state: next.state, effects: [...effects, ...next.effects] }
}

export function end(sent: number, how: OfferEnd): OfferStep {
  return { state: { at: 'over', sent }, effects: [{ type: 'end', end: how }] }
}

export function stay(state: OfferState): OfferStep {
  return { state, effects: [] }
}
