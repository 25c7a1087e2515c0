/** What a run of the simulated mesh comes to: loads by step, moves by day. */
import { CAPACITY, DAY_MS, STEP_MS, STEPS_PER_DAY } from './settings.ts'

export interface BalanceFigures {
  /** Part of node-time over capacity. */
  readonly overloaded: number
  /** Load above capacity, in capacities of a node and hours, per node and day. */
  readonly volume: number
  /** Greatest load of a node over the median one, on average. */
  readonly maxToMedian: number
  /** By day, from the first on. */
  readonly movesByDay: readonly number[]
  /** In the days that are judged. */
  readonly moves: number
  readonly bytes: number
  readonly messages: number
  readonly days: number
  /** Part of nodes over capacity, by step of the days that are judged. */
  readonly course: readonly number[]
}

export class Tally {
  readonly #fromStep: number
  readonly #days: number
  readonly #nodes: number
  readonly #movesByDay: number[]
  readonly #course: number[] = []
  #over = 0
  #volume = 0
  #ratios = 0
  #moves = 0
  #bytes = 0
  #messages = 0

  constructor(nodes: number, days: number, judgedFrom: number) {
    this.#nodes = nodes
    this.#days = days - judgedFrom
    this.#fromStep = judgedFrom * STEPS_PER_DAY
    this.#movesByDay = new Array<number>(days).fill(0)
  }

  step(step: number, loads: Float64Array): void {
    if (step < this.#fromStep) return
    let over = 0
    for (const load of loads) {
      if (load > CAPACITY) over++
      this.#volume += Math.max(0, load - CAPACITY)
    }
    this.#over += over
    this.#course.push(over / this.#nodes)
    const sorted = Float64Array.from(loads).sort()
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0
    this.#ratios += (sorted.at(-1) ?? 0) / Math.max(1, median)
  }

  move(atMs: number, bytes: number): void {
    const day = Math.floor(atMs / DAY_MS)
    this.#movesByDay[day] = (this.#movesByDay[day] ?? 0) + 1
    if (atMs < this.#fromStep * STEP_MS) return
    this.#moves++
    this.#bytes += bytes
  }

  messages(count: number): void {
    this.#messages = count
  }

  figures(): BalanceFigures {
    const steps = Math.max(1, this.#course.length)
    const nodeDays = this.#nodes * this.#days
    return {
      overloaded: this.#over / (steps * this.#nodes),
      volume: (this.#volume * (STEP_MS / 3_600_000)) / CAPACITY / nodeDays,
      maxToMedian: this.#ratios / steps,
      movesByDay: this.#movesByDay,
      moves: this.#moves,
      bytes: this.#bytes,
      messages: this.#messages,
      days: this.#days,
      course: this.#course
    }
  }
}
