/**
 * Negotiations over a simulated network: the shipped machines and messages; calls that are lost,
 * doubled, late and overtaken. What a node answers is whatever was connected for it.
 */
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { CALL_MS } from '../../protocols/negotiate/limits.ts'
import {
  type NegotiateAnswer,
  type NegotiateRequest,
  negotiateAnswerSchema,
  negotiateRequestSchema,
  type Offer,
  type Outcome
} from '../../protocols/negotiate/messages.ts'
import { begin, step } from '../../protocols/negotiate/offer.ts'
import type {
  OfferEffect,
  OfferEnd,
  OfferEvent,
  OfferState,
  OfferStep,
  Rank
} from '../../protocols/negotiate/offer-types.ts'
import type { EventClock, HeapEvent } from '../sim/event-heap.ts'
import type { SeededRandom } from './process-random.ts'

export interface Weather {
  /** Part of messages, each way. */
  readonly lost: number
  readonly doubled: number
  readonly fromMs: number
  readonly toMs: number
}

export type Answerer = (from: NodeId, request: NegotiateRequest) => NegotiateAnswer | undefined

export class NegotiateWire {
  /** By who asked. */
  readonly sent = new Map<NodeId, number>()
  readonly #nodes = new Map<NodeId, Answerer>()
  readonly clock: EventClock
  readonly #random: SeededRandom
  readonly #weather: Weather
  readonly #isCoded: boolean

  /** `isCoded`: every message is encoded, decoded and checked, as on a real wire. */
  constructor(clock: EventClock, random: SeededRandom, weather: Weather, isCoded = true) {
    this.clock = clock
    this.#random = random
    this.#weather = weather
    this.#isCoded = isCoded
  }

  connect(node: NodeId, answer: Answerer): void {
    this.#nodes.set(node, answer)
  }

  call(
    from: NodeId,
    to: NodeId,
    request: NegotiateRequest,
    heard: (answer: NegotiateAnswer | undefined) => void
  ): void {
    this.sent.set(from, (this.sent.get(from) ?? 0) + 1)
    this.clock.after(CALL_MS, () => heard(undefined))
    const asked = this.#isCoded ? coded(negotiateRequestSchema, request) : request
    this.#pass(() => {
      const answer = this.#nodes.get(to)?.(from, asked)
      if (answer === undefined) return
      this.#pass(() => heard(this.#isCoded ? coded(negotiateAnswerSchema, answer) : answer))
    })
  }

  #pass(arrive: () => void): void {
    const { lost, doubled, fromMs, toMs } = this.#weather
    const times = this.#random.fraction() < doubled ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (this.#random.fraction() < lost) continue
      this.clock.after(fromMs + this.#random.fraction() * (toMs - fromMs), arrive)
    }
  }
}

function coded<T>(schema: { parse: (value: unknown) => T }, message: T): T {
  return schema.parse(decodeCbor(encodeCbor(message))?.value)
}

export interface NegotiatorOptions {
  readonly self: NodeId
  readonly wire: NegotiateWire
  readonly started: (effect: OfferEffect & { type: 'start' }) => void
  readonly ended: (id: string, end: OfferEnd) => void
  readonly noted: (effect: OfferEffect & { type: 'note' }) => void
}

interface Talking {
  state: OfferState
  readonly rank: Rank
  wake: HeapEvent | undefined
}

/** Drives the machines of one source, as node/balance does. */
export class Negotiator {
  readonly #options: NegotiatorOptions
  readonly #talks = new Map<string, Talking>()

  constructor(options: NegotiatorOptions) {
    this.#options = options
  }

  get open(): number {
    return this.#talks.size
  }

  begin(offer: Offer, candidates: readonly NodeId[], rank: Rank): void {
    const first = begin(offer, candidates, this.#options.wire.clock.nowMs)
    this.#talks.set(offer.id, { state: first.state, rank, wake: undefined })
    this.#take(offer.id, first)
  }

  state(id: string): OfferState | undefined {
    return this.#talks.get(id)?.state
  }

  tell(id: string, event: OfferEvent): void {
    const talk = this.#talks.get(id)
    if (talk === undefined) return
    const { nowMs } = this.#options.wire.clock
    this.#take(id, step(talk.state, event, { nowMs, rank: talk.rank }))
  }

  moved(id: string, outcome: Outcome): void {
    this.tell(id, { type: 'moved', outcome })
  }

  #take(id: string, { state, effects }: OfferStep): void {
    const talk = this.#talks.get(id)
    if (talk === undefined) return
    talk.state = state
    for (const effect of effects) this.#do(id, talk, effect)
  }

  #do(id: string, talk: { wake: HeapEvent | undefined }, effect: OfferEffect): void {
    const { self, wire, started, ended, noted } = this.#options
    switch (effect.type) {
      case 'send': {
        const { to, serial } = effect
        wire.call(self, to, effect.request, answer =>
          this.tell(
            id,
            answer === undefined
              ? { type: 'silent', from: to, serial }
              : { type: 'answered', from: to, serial, answer }
          )
        )
        return
      }
      case 'wake':
        if (talk.wake !== undefined) wire.clock.cancel(talk.wake)
        talk.wake = wire.clock.after(effect.atMs - wire.clock.nowMs, () =>
          this.tell(id, { type: 'tick' })
        )
        return
      case 'note':
        noted(effect)
        return
      case 'start':
        started(effect)
        return
      case 'end':
        if (talk.wake !== undefined) wire.clock.cancel(talk.wake)
        this.#talks.delete(id)
        ended(id, effect.end)
    }
  }
}
