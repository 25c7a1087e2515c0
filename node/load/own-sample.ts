/** What this node tells the others of itself, unasked. */
import type { Published } from '../../protocols/forecast/subject.ts'
import { loadOf } from '../../protocols/load/record.ts'
import type { Band, OwnLoad, ShardLoad } from '../../protocols/load-gossip/messages.ts'
import { NODE_KEY } from './keeper-messages.ts'
import type { Load } from './load.ts'

const NEAR_MINUTES = 15
const FAR_MINUTES = 60

export function ownSample(load: Load): OwnLoad {
  const { capacity, store } = load.options
  const forecast = load.forecast(NODE_KEY)
  const bands = forecast && bandsOf(forecast)
  const shards = (store?.shards() ?? []).filter(head => head.runs.length > 0)
  return {
    capacity: capacity() ?? 0,
    freeBytes: Math.max(0, store?.space().availableBytes ?? 0),
    load: loadOf(load.recent(NODE_KEY)),
    ...(forecast === undefined || bands === undefined
      ? {}
      : { forecast: { ...bands, skill: forecast.skill, chance: forecast.chance ?? 0 } }),
    ...(forecast?.threshold === undefined ? {} : { threshold: forecast.threshold }),
    shards: shards.map(({ spec }): ShardLoad => {
      const own = load.forecast(spec.id)
      const ahead = own && bandsOf(own)
      return {
        volume: spec.id,
        load: loadOf(load.recent(spec.id)),
        ...(ahead === undefined ? {} : { forecast: { ...ahead, chance: own?.chance ?? 0 } })
      }
    })
  }
}

function bandsOf({ bands }: Published): { in15: Band; in60: Band } | undefined {
  const in15 = bands.find(({ minutes }) => minutes === NEAR_MINUTES)
  const in60 = bands.find(({ minutes }) => minutes === FAR_MINUTES)
  return in15 === undefined || in60 === undefined ? undefined : { in15, in60 }
}
