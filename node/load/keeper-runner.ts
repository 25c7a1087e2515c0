/**
 * Gives a keeper its turns: what it was told and asked first, in that order, then what must be
 * caught up, and training with what is left, within its part of one core.
 *
 * Invariants: one slice at a time; nothing that was said overtakes what was said before it; training
 * stands still for nineteen times as long as it ran.
 */
import { messageOf } from '../../protocols/fault.ts'
import { TRAINING_CORE_PART } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type { LoadKeeper } from './keeper.ts'
import type { KeeperAnswer, KeeperTell } from './keeper-messages.ts'
import type { FromKeeper, ToKeeper } from './keeper-port.ts'

interface Asked {
  readonly id: number
  /** History that leaves: what is told after it may forget the rest. */
  readonly isTake: boolean
  readonly work: Generator<void, KeeperAnswer>
}

type Waiting = KeeperTell | Asked

export class KeeperRunner {
  readonly #keeper: LoadKeeper
  readonly #clock: Clock
  readonly #send: (message: FromKeeper) => void
  readonly #waiting: Waiting[] = []
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
    if ('tell' in message) this.#waiting.push(message)
    else {
      const { id, question } = message
      const isTake = question.ask === 'take'
      this.#waiting.push({ id, isTake, work: this.#keeper.answer(question) })
    }
    this.#run()
  }

  /** What was measured is on disk afterwards. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#rest?.cancel()
    for (const waiting of this.#waiting) {
      if ('tell' in waiting) this.#keeper.hear(waiting)
      else if (waiting.isTake) this.#answer(waiting)
    }
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
    const next = this.#waiting[0]
    if (next !== undefined) {
      if (this.#isDone(next)) this.#waiting.shift()
      return true
    }
    if (this.#keeper.catchUp()) return true
    this.#train()
    return false
  }

  #isDone(waiting: Waiting): boolean {
    if (!('tell' in waiting)) return this.#answer(waiting)
    this.#keeper.hear(waiting)
    return true
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
