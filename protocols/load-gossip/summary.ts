/**
 * What one of a group tells all others of it: the nodes that it has heard itself, those with the most
 * predicted headroom first where not all fit.
 */
import { shortName } from './groups.ts'
import type { SummaryEntry } from './messages.ts'
import type { KnownLoad } from './table.ts'

/** Of `heard`, `most` at most. */
export function summarise(heard: readonly KnownLoad[], most: number): SummaryEntry[] {
  return [...heard]
    .sort((a, b) => headroom(b) - headroom(a) || order(a.node, b.node))
    .slice(0, most)
    .map(({ node, ageMs, load, capacity, freeBytes, forecast }) => ({
      name: shortName(node),
      ageMs,
      load,
      capacity,
      freeBytes,
      ...(forecast === undefined ? {} : { forecast })
    }))
}

/** Units per second left an hour ahead, at the high quantile; of an uncalibrated node none. */
function headroom({ capacity, load, forecast }: KnownLoad): number {
  return capacity - Math.max(load, forecast?.q95 ?? 0)
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The busiest `most` of `shards`, now or within the hour. */
export function busiest<S extends ShardBusy>(shards: readonly S[], most: number): S[] {
  return [...shards].sort((a, b) => busy(b) - busy(a)).slice(0, most)
}

interface ShardBusy {
  readonly load: number
  readonly forecast?: {
    readonly in15: { readonly q95: number }
    readonly in60: { readonly q95: number }
  }
}

function busy({ load, forecast }: ShardBusy): number {
  return Math.max(load, forecast?.in15.q95 ?? 0, forecast?.in60.q95 ?? 0)
}
