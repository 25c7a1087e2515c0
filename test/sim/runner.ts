/**
 * Many seeds over a few processes. A seed that does not count (too little happened) is replaced by
 * another; a seed that fails is kept with the end of its trace.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { addTo, emptySum, type SeedResult, type Sum, shortfall } from './totals.ts'

/** So many seeds may turn out not to count, for each that does. */
const MAX_REPLACED_SHARE = 0.5
/** A simulation that hangs without an event is our bug; real time, generous. */
const SEED_TIMEOUT_MS = 120_000
/** Most of what a seed allocates is garbage at once: the collector need not copy it. */
const GARBAGE_OPTIONS = [
  '--min-semi-space-size=64',
  '--max-semi-space-size=64',
  '--single-threaded-gc'
]

export interface RunPlan {
  readonly from: number
  /** Seeds that must count; absent: as many as fit before the deadline. */
  readonly seeds: number | undefined
  /** Milliseconds of real time from now. */
  readonly withinMs: number | undefined
  readonly workers: number
  readonly stopAtFailure: boolean
}

export interface RunOutcome {
  readonly sum: Sum
  readonly failed: SeedResult[]
  /** Seeds that do not count, and why. */
  readonly replaced: Array<{ seed: number; why: string }>
  /** Why the run as a whole is worth nothing, though no seed failed. */
  readonly problem: string | undefined
}

export async function runSeeds(plan: RunPlan): Promise<RunOutcome> {
  const run = new Run(plan)
  await Promise.all(Array.from({ length: plan.workers }, () => run.work()))
  return run.outcome()
}

class Run {
  readonly #plan: RunPlan
  readonly #deadlineMs: number
  readonly #sum = emptySum()
  readonly #failed: SeedResult[] = []
  readonly #replaced: Array<{ seed: number; why: string }> = []
  #next: number
  #underWay = 0

  constructor(plan: RunPlan) {
    this.#plan = plan
    this.#next = plan.from
    this.#deadlineMs =
      plan.withinMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + plan.withinMs
  }

  async work(): Promise<void> {
    const execArgv = [...process.execArgv, ...GARBAGE_OPTIONS]
    const worker = fork(fileURLToPath(new URL('worker.js', import.meta.url)), { execArgv })
    try {
      while (this.#wantsMore()) {
        const seed = this.#next++
        this.#underWay++
        const result = await ask(worker, seed)
        this.#underWay--
        this.#take(result)
      }
    } finally {
      worker.kill()
    }
  }

  outcome(): RunOutcome {
    const { seeds } = this.#plan
    const sum = this.#sum
    const isShort = seeds !== undefined && sum.seeds < seeds && this.#failed.length === 0
    const problem = isShort ? `only ${sum.seeds} seeds counted; too many were replaced` : undefined
    return { sum, failed: this.#failed, replaced: this.#replaced, problem }
  }

  #wantsMore(): boolean {
    const { seeds, stopAtFailure } = this.#plan
    if (stopAtFailure && this.#failed.length > 0) return false
    if (performance.now() > this.#deadlineMs) return false
    if (seeds === undefined) return true
    if (this.#replaced.length > Math.max(10, seeds * MAX_REPLACED_SHARE)) return false
    return this.#sum.seeds + this.#failed.length + this.#underWay < seeds
  }

  #take(result: SeedResult): void {
    const why = shortfall(result)
    if (result.failures.length > 0) this.#failed.push(result)
    else if (why !== undefined) this.#replaced.push({ seed: result.seed, why })
    else addTo(this.#sum, result)
  }
}

function ask(worker: ChildProcess, seed: number): Promise<SeedResult> {
  return new Promise((resolve, reject) => {
    const giveUp = (why: string) => {
      clearTimeout(timer)
      reject(new Error(`seed ${seed}: ${why}; replay: ${replayLine(seed)}`))
    }
    const timer = setTimeout(() => giveUp('the simulation hangs'), SEED_TIMEOUT_MS)
    const onExit = (code: number | null) => giveUp(`the worker ended with ${code}`)
    worker.once('exit', onExit)
    worker.once('message', (result: SeedResult) => {
      clearTimeout(timer)
      worker.off('exit', onExit)
      resolve(result)
    })
    worker.send(seed)
  })
}

export function replayLine(seed: number): string {
  return `node dist/test/sim/main.js --seed ${seed} --trace`
}
