/**
 * Drives one negotiation of this node, as its source: the machine of protocols/negotiate/offer.ts
 * over calls and timers of real time.
 *
 *   effects: send -> call -> answered | silent;  wake -> timer -> tick;  start -> the caller's move
 *
 * Invariants: events go in one after the other, none during another; nothing here rejects; after the
 * end, and after `stop`, nothing is sent and nobody is told anything.
 */
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { CALL_MS } from '../../protocols/negotiate/limits.ts'
import {
  NEGOTIATE_PROTOCOL,
  type NegotiateRequest,
  negotiateAnswerSchema,
  type Outcome
} from '../../protocols/negotiate/messages.ts'
import { step } from '../../protocols/negotiate/offer.ts'
import type {
  OfferEffect,
  OfferEnd,
  OfferEvent,
  OfferState,
  OfferStep,
  Rank
} from '../../protocols/negotiate/offer-types.ts'
import type { Clock, Log, Timer } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'

export type Started = Extract<OfferEffect, { type: 'start' }>

export interface NegotiationParts {
  readonly id: string
  readonly rpc: Rpc
  /** Of time itself, not of load. */
  readonly clock: Clock
  readonly log: Log
  readonly rank: Rank
  readonly note: (node: NodeId, is: 'answered' | 'silent' | 'broke') => void
  /** Somebody was awarded: the move may begin. Whoever rejects has begun none. */
  readonly start: (started: Started) => Promise<void>
  /** Once. */
  readonly onEnd: (end: OfferEnd) => void
}

export class Negotiation {
  readonly #parts: NegotiationParts
  #state: OfferState
  #timer: Timer | undefined
  #isStopped = false
  readonly #events: OfferEvent[] = []
  #isStepping = false

  /** `first`: what `begin` or `resume` gave. */
  constructor(parts: NegotiationParts, first: OfferStep) {
    this.#parts = parts
    this.#state = first.state
    this.#isStepping = true
    this.#apply(first.effects)
    this.#isStepping = false
    this.#run()
  }

  get at(): OfferState['at'] {
    return this.#state.at
  }

  /** Only before an award; afterwards the move is cancelled, and `moved` follows. */
  cancel(why: string): void {
    this.#take({ type: 'cancel', why })
  }

  moved(outcome: Outcome): void {
    this.#take({ type: 'moved', outcome })
  }

  /** The node goes down: bids expire by themselves, a move goes on with the next start. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #take(event: OfferEvent): void {
    if (this.#isStopped) return
    this.#events.push(event)
    this.#run()
  }

  #run(): void {
    if (this.#isStepping) return
    this.#isStepping = true
    const { clock, rank } = this.#parts
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      const next = step(this.#state, event, { nowMs: clock.monotonicMs(), rank })
      this.#state = next.state
      this.#apply(next.effects)
    }
    this.#isStepping = false
  }

  #apply(effects: readonly OfferEffect[]): void {
    const { note, onEnd } = this.#parts
    for (const effect of effects) {
      if (effect.type === 'send') void this.#send(effect.to, effect.serial, effect.request)
      else if (effect.type === 'wake') this.#wake(effect.atMs)
      else if (effect.type === 'note') note(effect.node, effect.is)
      else if (effect.type === 'start') void this.#start(effect)
      else {
        this.stop()
        onEnd(effect.end)
      }
    }
  }

  async #send(to: NodeId, serial: number, request: NegotiateRequest): Promise<void> {
    const { rpc } = this.#parts
    try {
      const options = { timeoutMs: CALL_MS }
      const answer = await rpc.call(to, NEGOTIATE_PROTOCOL, request, negotiateAnswerSchema, options)
      this.#take({ type: 'answered', from: to, serial, answer })
    } catch (error) {
      this.#parts.log.debug({ to, call: request.call, error: messageOf(error) }, 'no answer')
      this.#take({ type: 'silent', from: to, serial })
    }
  }

  async #start(started: Started): Promise<void> {
    const { id, log, start } = this.#parts
    try {
      await start(started)
    } catch (error) {
      log.info({ move: id, error: messageOf(error) }, 'what was awarded did not begin')
      this.moved('cancelled')
    }
  }

  #wake(atMs: number): void {
    const { clock } = this.#parts
    this.#timer?.cancel()
    this.#timer = clock.after(Math.max(1, atMs - clock.monotonicMs()), () => {
      this.#take({ type: 'tick' })
    })
  }
}
