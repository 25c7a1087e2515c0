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

/** Rows that are kept, and copied, as one. */
export const BLOCK_ROWS = 2048
const OPEN = 2

/** Settled rows as plain arrays: what a worker is given. */
export interface RowParts {
  readonly width: number
  /** Row after row, BLOCK_ROWS in each block. */
  readonly blocks: readonly Float32Array[]
  /** 1: an overload came within the hour. */
  readonly labels: Uint8Array
  /** When, in steps; not in order. */
  readonly steps: Uint32Array
  readonly subjects: Uint16Array
}

export class TrainingRows {
  readonly width: number
  readonly #limit: number
  readonly #blocks: Float32Array[] = []
  readonly #labels: Uint8Array
  readonly #steps: Uint32Array
  readonly #subjects: Uint16Array
  #next = 0
  /** Rows by label; those not settled last. */
  readonly #counts = [0, 0, 0]

  constructor(width: number, limit = MAX_KEPT_ROWS) {
    this.width = width
    this.#limit = limit
    this.#labels = new Uint8Array(limit).fill(OPEN)
    this.#steps = new Uint32Array(limit)
    this.#subjects = new Uint16Array(limit)
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
    const at = ticket % this.#limit
    if (ticket >= this.#limit) this.#tally(at, -1)
    putRow(this.#blocks, this.width, at, row)
    this.#labels[at] = OPEN
    this.#steps[at] = step
    this.#subjects[at] = subject
    this.#tally(at, 1)
    return ticket
  }

  settle(ticket: number, label: boolean): void {
    if (ticket < this.#next - this.#limit) return
    const at = ticket % this.#limit
    this.#tally(at, -1)
    this.#labels[at] = label ? 1 : 0
    this.#tally(at, 1)
  }

  /** A copy of the settled rows, a block at a time. */
  *parts(): Generator<void, RowParts> {
    const { width } = this
    const blocks: Float32Array[] = []
    const labels = new Uint8Array(this.#limit)
    const steps = new Uint32Array(this.#limit)
    const subjects = new Uint16Array(this.#limit)
    let to = 0
    for (let at = 0; at < Math.min(this.#next, this.#limit); at++) {
      if (at % BLOCK_ROWS === 0) yield
      if (this.#labels[at] === OPEN) continue
      putRow(blocks, width, to, rowAt(this.#blocks, width, at))
      labels[to] = this.#labels[at] ?? 0
      steps[to] = this.#steps[at] ?? 0
      subjects[to] = this.#subjects[at] ?? 0
      to++
    }
    return {
      width,
      blocks,
      labels: labels.slice(0, to),
      steps: steps.slice(0, to),
      subjects: subjects.slice(0, to)
    }
  }

  #tally(at: number, change: number): void {
    const label = this.#labels[at] ?? OPEN
    this.#counts[label] = (this.#counts[label] ?? 0) + change
  }
}

/** A view of one row. */
export function rowAt(blocks: readonly Float32Array[], width: number, row: number): Float32Array {
  const from = (row % BLOCK_ROWS) * width
  return blocks[Math.floor(row / BLOCK_ROWS)]?.subarray(from, from + width) ?? new Float32Array(0)
}

function putRow(
  blocks: Float32Array[],
  width: number,
  at: number,
  row: Float64Array | Float32Array
): void {
  const block = Math.floor(at / BLOCK_ROWS)
  if (block === blocks.length) blocks.push(new Float32Array(BLOCK_ROWS * width))
  blocks[block]?.set(row, (at % BLOCK_ROWS) * width)
}
