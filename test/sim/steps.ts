/**
 * Protocol steps as observing ports report them, counted; and crashes exactly there.
 *
 * A step is a name like `sync journal`: the instant after the disk did it and before the process
 * hears of it. An armed crash strikes at the next step of its name, on its node or on any: nothing
 * of that process runs after that instant.
 */
import { HANDOFF_STEPS } from '../../protocols/handoff/steps.ts'

export interface StepCount {
  reached: number
  crashed: number
}

interface Armed {
  readonly step: string
  readonly node: string | undefined
  readonly untilMs: number
  readonly crash: (node: string) => void
}

/** Steps that every run of many seeds must have crashed at. Protocols add theirs here. */
export const REQUIRED_STEPS: readonly string[] = [
  ...HANDOFF_STEPS,
  'write journal',
  'sync journal',
  'rename journal',
  'remove journal',
  'write chunk',
  'punch chunk',
  'sync chunk',
  'write table',
  'sync table',
  'rename table',
  'write manifest',
  'sync manifest',
  'rename manifest',
  'write root',
  'sync root',
  'rename root',
  'write incarnation',
  'sync incarnation',
  'sync directory',
  'write map log',
  'sync map log'
]

export class Steps {
  readonly counts = new Map<string, StepCount>()
  #isOver = false
  #armed: Armed[] = []

  /** `node` has reached `step`, now. */
  observe(node: string, step: string, nowMs: number): void {
    if (this.#isOver) return
    const count = this.counts.get(step) ?? { reached: 0, crashed: 0 }
    this.counts.set(step, count)
    count.reached++
    const struck = this.#armed.find(
      armed => armed.step === step && (armed.node === undefined || armed.node === node)
    )
    if (this.#armed.length > 0) {
      this.#armed = this.#armed.filter(armed => armed !== struck && armed.untilMs > nowMs)
    }
    if (struck === undefined || struck.untilMs <= nowMs) return
    count.crashed++
    struck.crash(node)
  }

  arm(armed: Armed): void {
    this.#armed.push(armed)
  }

  /** Nothing crashes any more, so nothing is counted any more. */
  end(): void {
    this.#armed = []
    this.#isOver = true
  }

  reached(step: string): number {
    return this.counts.get(step)?.reached ?? 0
  }

  names(): string[] {
    return [...this.counts.keys()].sort()
  }
}
