/** Counts bad updates by their sender, and names it in the log: at 1, 2, 4, 8 ... of them. */
import type { NodeId } from '../../protocols/ids.ts'
import { MAP_PEERS_REMEMBERED } from '../limits.ts'
import type { Log } from '../ports.ts'

export class Offenders {
  readonly counts = new Map<NodeId, number>()
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  count(from: NodeId, why: string): void {
    const known = this.counts.get(from)
    if (known === undefined && this.counts.size >= MAP_PEERS_REMEMBERED) return
    const count = (known ?? 0) + 1
    this.counts.set(from, count)
    // A peer that keeps sending nonsense must not fill the log.
    if (Number.isInteger(Math.log2(count))) {
      this.#log.warn({ from, why, count }, 'dropped a bad map update')
    }
  }
}
