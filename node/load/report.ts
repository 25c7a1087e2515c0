/** What this node says of its load: to `shoal top` on any node, and through gossip to all. */
import type { Published } from '../../protocols/forecast/subject.ts'
import { MAX_REPORT_SHARDS } from '../../protocols/load/limits.ts'
import type { LoadReport } from '../../protocols/load/messages.ts'
import { type LoadRecord, loadOf } from '../../protocols/load/record.ts'
import { NODE_KEY } from './keeper-messages.ts'
import type { Load } from './load.ts'

export function reportOf(load: Load): LoadReport {
  const { loadClock, store, capacity, shareOf } = load.options
  const own = load.recent(NODE_KEY)
  const shards = (store?.shards() ?? [])
    .filter(head => head.runs.length > 0)
    .map(head => ({ volume: head.spec.id, record: load.recent(head.spec.id) }))
    .sort((a, b) => loadOf(b.record) - loadOf(a.record))
    .slice(0, MAX_REPORT_SHARDS)
    .map(({ volume, record }) => ({
      volume,
      ...optional('share', shareOf(record)),
      measured: measuredOf(record, load.forecast(volume))
    }))
  const warming = load.state()?.warming
  return {
    at: loadClock.now(),
    node: measuredOf(own, load.forecast(NODE_KEY)),
    ...optional('capacity', capacity()),
    ...optional('share', shareOf(own)),
    shards,
    ...(warming === undefined || warming.left === 0 ? {} : { warming })
  }
}

function measuredOf(record: LoadRecord, forecast: Published | undefined): LoadReport['node'] {
  return {
    ...record,
    sequential: Math.min(1, record.sequential),
    load: loadOf(record),
    ...(forecast === undefined
      ? {}
      : {
          ahead: [...forecast.bands],
          ...optional('chance', forecast.chance),
          ...optional('threshold', forecast.threshold)
        })
  }
}

function optional<K extends string, V>(
  name: K,
  value: V | undefined
): { readonly [name in K]?: V } {
  // The one name is K: TypeScript widens a computed name to string.
  return value === undefined ? {} : ({ [name]: value } as { readonly [name in K]?: V })
}
