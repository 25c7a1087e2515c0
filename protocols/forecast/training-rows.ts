/**
 * What a node's trees learn from: features of quiet moments of all its subjects, and what came
 * within the hour.
 *
 *   add(row) -> ticket ... an hour later ... settle(ticket, label)
 *
 * A ring: the newest rows win. A row that is never settled, because its subject began anew or a gap
 * came, is never learned from.
 *
 * Invariants: bounded memory, which grows only as rows come; a ticket whose row was overwritten
 * settles nothing.
 */
import { MAX_KEPT_ROWS } from './limits.ts'

const FIRST_ROWS = 1024
const OPEN = 2

/** Settled rows as plain arrays: what a worker is given. */
export interface RowParts {
  readonly width: number
  /** Row after row. */
  readonly values: Float32Array
  /** 1: an overload came within the hour. */
  readonly labels: Uint8Array
  /** When, in steps; not in order. */
  readonly steps: Uint32Array
  readonly subjects: Uint16Array
}

export class TrainingRows {
  readonly width: number
  readonly #limit: number
  #values: Float32Array
  #labels: Uint8Array
  #steps: Uint32Array
  #subjects: Uint16Array
  #next = 0
  /** Settled rows, by label; and those that are open. */
  readonly #counts = [0, 0, 0]

  constructor(width: number, limit = MAX_KEPT_ROWS) {
    this.width = width
    this.#limit = limit
    const size = Math.min(limit, FIRST_ROWS)
    this.#values = new Float32Array(size * width)
    this.#labels = new Uint8Array(size)
    this.#steps = new Uint32Array(size)
    this.#subjects = new Uint16Array(size)
  }

  /** Settled rows. */
  get count(): number {
    return (this.#counts[0] ?? 0) + (this.#counts[1] ?? 0)
  }

  /** Those of them that an overload followed. */
  get positives(): number {
    return this.#counts[1] ?? 0
  }

  add(row: Float64Array, step: number, subject: number): number {
    const ticket = this.#next++
    if (ticket === this.#labels.length && ticket < this.#limit) this.#grow()
    const at = ticket % this.#labels.length
    if (ticket >= this.#labels.length) this.#tally(at, -1)
    this.#values.set(row, at * this.width)
    this.#labels[at] = OPEN
    this.#steps[at] = step
    this.#subjects[at] = subject
    this.#tally(at, 1)
    return ticket
  }

  settle(ticket: number, label: boolean): void {
    if (ticket < this.#next - this.#labels.length) return
    const at = ticket % this.#labels.length
    this.#tally(at, -1)
    this.#labels[at] = label ? 1 : 0
    this.#tally(at, 1)
  }

  /** A copy of the settled rows. */
  parts(): RowParts {
    const { width, count } = this
    const values = new Float32Array(count * width)
    const labels = new Uint8Array(count)
    const steps = new Uint32Array(count)
    const subjects = new Uint16Array(count)
    let to = 0
    for (let at = 0; to < count; at++) {
      if (this.#labels[at] === OPEN) continue
      values.set(this.#values.subarray(at * width, (at + 1) * width), to * width)
      labels[to] = this.#labels[at] ?? 0
      steps[to] = this.#steps[at] ?? 0
      subjects[to] = this.#subjects[at] ?? 0
      to++
    }
    return { width, values, labels, steps, subjects }
  }

  #tally(at: number, change: number): void {
    const label = this.#labels[at] ?? OPEN
    this.#counts[label] = (this.#counts[label] ?? 0) + change
  }

  #grow(): void {
    const size = Math.min(this.#limit, 2 * this.#labels.length)
    const values = new Float32Array(size * this.width)
    const labels = new Uint8Array(size)
    const steps = new Uint32Array(size)
    const subjects = new Uint16Array(size)
    values.set(this.#values)
    labels.set(this.#labels)
    steps.set(this.#steps)
    subjects.set(this.#subjects)
    this.#values = values
    this.#labels = labels
    this.#steps = steps
    this.#subjects = subjects
  }
}
