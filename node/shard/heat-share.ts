/**
 * Which part of its shard's load a chunk is: now by its decayed heat, and at each hour of the day by
 * the profiles. It says how much of the shard's history a handoff carries along.
 *
 * Invariant: over all chunks of a shard the parts of one hour, and those of now, sum to 1 at most.
 */
import { HOURS_PER_DAY } from '../../protocols/limits.ts'
import type { HeatMap } from './heat.ts'

export interface ChunkShare {
  /** 0 to 1; 0 as well if nothing is known of the shard. */
  readonly now: number
  /** By UTC hour of the day, 0 to 1; absent while no hour of the shard was seen whole. */
  readonly byHour: Float64Array | undefined
}

/** `unitsOf`: what the heat in that slot is, on any one scale. */
export function shareOf(
  map: HeatMap,
  number: number,
  unitsOf: (slot: number | undefined) => number
): ChunkShare {
  let all = 0
  for (const slot of map.slots.values()) all += unitsOf(slot)
  const own = unitsOf(map.slots.get(number))
  const now = all > 0 ? Math.min(1, own / all) : 0
  const { day } = map
  if (day === undefined || !day.days.some(days => days > 0)) return { now, byHour: undefined }
  const byHour = new Float64Array(HOURS_PER_DAY).fill(now)
  const profile = map.profiles.get(number)
  for (let hour = 0; hour < HOURS_PER_DAY; hour++) {
    let known = 0
    let unknownNow = all
    for (const [other, { days, loads }] of map.profiles) {
      if (days[hour] === 0) continue
      known += loads[hour] ?? 0
      unknownNow -= unitsOf(map.slots.get(other))
    }
    // The shard's own profile may be of more days, or have missed what was evicted.
    const total = Math.max(known, day.knows(hour) ? day.at(hour) : 0)
    if (total === 0) continue
    // Whoever has no past in this hour shares what the others leave of it, by present heat.
    byHour[hour] =
      profile?.knows(hour) === true
        ? profile.at(hour) / total
        : unknownNow > 0
          ? (1 - known / total) * Math.min(1, own / unknownNow)
          : 0
  }
  return { now, byHour }
}
