/**
 * The way to the load keeper: in production a thread of its own (keeper-thread.ts), in tests and in
 * the simulator the same keeper beside the caller. What was asked is answered once, or fails.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { KEEPER_ASK_TIMEOUT_MS, KEEPER_SILENT_MS, MAX_KEEPER_ASKS } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type {
  KeeperAnswer,
  KeeperAnswers,
  KeeperAsk,
  KeeperAskOf,
  KeeperNews,
  KeeperTell
} from './keeper-messages.ts'

export type ToKeeper = KeeperTell | { readonly id: number; readonly question: KeeperAsk }
export type FromKeeper =
  | KeeperNews
  | { readonly id: number; readonly answer: KeeperAnswer }
  | { readonly id: number; readonly failed: string }

/** Carries messages both ways, in order. */
export interface KeeperWire {
  send: (message: ToKeeper) => void
  close: () => Promise<void>
}

export class KeeperPort {
  readonly #clock: Clock
  readonly #onNews: (news: KeeperNews) => void
  readonly #waiting = new Map<number, Waiting>()
  #wire: KeeperWire | undefined
  #next = 1
  /** A keeper says something every minute. */
  #heardMs = 0

  constructor(clock: Clock, onNews: (news: KeeperNews) => void) {
    this.#clock = clock
    this.#onNews = onNews
  }

  connect(wire: KeeperWire): void {
    this.#wire = wire
    this.#heardMs = this.#clock.monotonicMs()
  }

  /**
   * Seconds are not piled up before a keeper that stands still: they are a gap. Minutes go on, few
   * and small: it answers the first that it gets to.
   */
  tell(message: KeeperTell): void {
    const silentMs = this.#clock.monotonicMs() - this.#heardMs
    const isSecond = message.tell === 'tick' && message.minute === undefined
    if (isSecond && silentMs > KEEPER_SILENT_MS) return
    this.#wire?.send(message)
  }

  /** Throws LIMIT, TIMEOUT, CLOSED, or BAD_INPUT with the keeper's words. */
  ask<Q extends KeeperAsk['ask']>(question: KeeperAskOf<Q>): Promise<KeeperAnswers[Q]> {
    const wire = this.#wire
    if (wire === undefined) return Promise.reject(closed())
    if (this.#waiting.size >= MAX_KEEPER_ASKS) {
      return Promise.reject(
        new ShoalError({ code: 'LIMIT', limit: 'MAX_KEEPER_ASKS' }, 'too many questions about load')
      )
    }
    const id = this.#next++
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(KEEPER_ASK_TIMEOUT_MS, () => {
        this.#waiting.delete(id)
        const fault = { code: 'TIMEOUT', afterMs: KEEPER_ASK_TIMEOUT_MS } as const
        reject(new ShoalError(fault, 'the load keeper of this node did not answer in time'))
      })
      // The keeper answers each kind of question with its own kind of answer.
      const answered = resolve as (answer: KeeperAnswer) => void
      this.#waiting.set(id, { answered, failed: reject, timer })
      wire.send({ id, question: question as KeeperAsk })
    })
  }

  receive(message: FromKeeper): void {
    this.#heardMs = this.#clock.monotonicMs()
    if ('news' in message) {
      this.#onNews(message)
      return
    }
    const waiting = this.#waiting.get(message.id)
    if (waiting === undefined) return
    this.#waiting.delete(message.id)
    waiting.timer.cancel()
    if ('answer' in message) waiting.answered(message.answer)
    else waiting.failed(new ShoalError({ code: 'BAD_INPUT' }, message.failed))
  }

  /** The wire broke: nobody answers what is asked. */
  lost(): void {
    this.#wire = undefined
    for (const { failed, timer } of this.#waiting.values()) {
      timer.cancel()
      failed(closed())
    }
    this.#waiting.clear()
  }

  async close(): Promise<void> {
    const wire = this.#wire
    this.lost()
    await wire?.close()
  }
}

interface Waiting {
  readonly answered: (answer: KeeperAnswer) => void
  readonly failed: (error: Error) => void
  readonly timer: Timer
}

function closed(): ShoalError {
  return new ShoalError({ code: 'CLOSED' }, 'the load keeper of this node is not running')
}
