/**
 * The order of the rows of one volume in a CSV: ascending by time, and at one time a row for each
 * node, as an export of a volume with several shards has them. Those belong together: the load of
 * the volume then is their sum.
 */
import type { LoadCsvRow } from './csv.ts'

export class CsvOrder {
  #timeMs = Number.NEGATIVE_INFINITY
  readonly #nodes = new Set<string | undefined>()

  /** `later`: a time of its own. `beside`: of the time of the row before. Undefined: out of order. */
  place({ timeMs, node }: LoadCsvRow): 'later' | 'beside' | undefined {
    if (timeMs < this.#timeMs) return undefined
    if (timeMs === this.#timeMs) {
      // A row without a node is of all of them.
      const isAnother = node !== undefined && !this.#nodes.has(undefined) && !this.#nodes.has(node)
      if (!isAnother) return undefined
      this.#nodes.add(node)
      return 'beside'
    }
    this.#timeMs = timeMs
    this.#nodes.clear()
    this.#nodes.add(node)
    return 'later'
  }
}

export const OUT_OF_ORDER =
  'it is not later than the line of its volume before: sort the file by time'
