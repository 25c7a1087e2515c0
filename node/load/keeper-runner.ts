/**
 * Gives a keeper its turns: what is told at once, what is asked next, what must be caught up after
 * that, and training with what is left, within its part of one core.
 *
 * Invariants: one slice at a time, and whatever arrived meanwhile goes first; training stands still
 * for nineteen times as long as it ran.
 */
import { messageOf } from '../../protocols/fault.ts'
import { TRAINING_CORE_PART } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type { LoadKeeper } from './keeper.ts'
import type { KeeperAnswer } from './keeper-messages.ts'
import type { FromKeeper, ToKeeper } from './keeper-port.ts'

interface Asked {
  readonly id: number
  readonly work: Generator<void, KeeperAnswer>
}

export class KeeperRunner {
  readonly #keeper: LoadKeeper
  readonly #clock: Clock
  readonly #send: (message: FromKeeper) => void
  readonly #asked: Asked[] = []
  #isRunning = false
  #isStopped = false
  #rest: Timer | undefined

  constructor(keeper: LoadKeeper, clock: Clock, send: (message: FromKeeper) => void) {
    this.#keeper = keeper
    this.#clock = clock
    this.#send = send
  }

  receive(message: ToKeeper): void {
    if (this.#isStopped) return
    if ('tell' in message) this.#keeper.hear(message)
    else this.#asked.push({ id: message.id, work: this.#keeper.answer(message.question) })
    this.#run()
  }

  /** What was measured is on disk afterwards. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#rest?.cancel()
    this.#keeper.close()
  }

  #run(): void {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    this.#clock.soon(() => {
      this.#isRunning = false
      if (!this.#isStopped && this.#slice()) this.#run()
    })
  }

  /** Whether there is more to do at once. */
  #slice(): boolean {
    const asked = this.#asked[0]
    if (asked !== undefined) {
      if (this.#answer(asked)) this.#asked.shift()
      return true
    }
    if (this.#keeper.catchUp()) return true
    this.#train()
    return false
  }

  #answer({ id, work }: Asked): boolean {
    try {
      const next = work.next()
      if (next.done === true) this.#send({ id, answer: next.value })
      return next.done === true
    } catch (error) {
      this.#send({ id, failed: messageOf(error) })
      return true
    }
  }

  #train(): void {
    if (this.#rest !== undefined) return
    const startedMs = this.#clock.monotonicMs()
    if (!this.#keeper.train()) return
    const tookMs = this.#clock.monotonicMs() - startedMs
    this.#rest = this.#clock.after(tookMs * (1 / TRAINING_CORE_PART - 1), () => {
      this.#rest = undefined
      this.#run()
    })
  }
}
