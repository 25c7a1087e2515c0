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

/** Of a slot, what its heat is on any one scale; of no slot, nothing. */
type UnitsOf = (slot: number | undefined) => number

export function shareOf(map: HeatMap, number: number, unitsOf: UnitsOf): ChunkShare {
  const all = unitsOfAll(map, unitsOf)
  const now = all > 0 ? Math.min(1, unitsOf(map.slots.get(number)) / all) : 0
  if (!knowsDay(map)) return { now, byHour: undefined }
  const byHour = Float64Array.from({ length: HOURS_PER_DAY }, (_, hour) => {
    return partIn(map, hour, unitsOf, all)?.(number) ?? now
  })
  return { now, byHour }
}

/** Of every chunk that is known, its part in that hour; of now, if nothing is known of the hour. */
export function sharesIn(map: HeatMap, hour: number, unitsOf: UnitsOf): Map<number, number> {
  const all = unitsOfAll(map, unitsOf)
  const part = knowsDay(map) ? partIn(map, hour, unitsOf, all) : undefined
  const shares = new Map<number, number>()
  for (const [number, slot] of map.slots) {
    const now = all > 0 ? Math.min(1, unitsOf(slot) / all) : 0
    shares.set(number, part?.(number) ?? now)
  }
  if (part !== undefined) for (const number of map.profiles.keys()) shares.set(number, part(number))
  return shares
}

function unitsOfAll(map: HeatMap, unitsOf: UnitsOf): number {
  let all = 0
  for (const slot of map.slots.values()) all += unitsOf(slot)
  return all
}

function knowsDay({ day }: HeatMap): boolean {
  return day?.days.some(days => days > 0) === true
}

/** What gives a chunk's part in that hour; undefined: nothing is known of it. */
function partIn(
  map: HeatMap,
  hour: number,
  unitsOf: UnitsOf,
  all: number
): ((number: number) => number) | undefined {
  let known = 0
  let unknownNow = all
  for (const [other, { days, loads }] of map.profiles) {
    if (days[hour] === 0) continue
    known += loads[hour] ?? 0
    unknownNow -= unitsOf(map.slots.get(other))
  }
  // The shard's own profile may be of more days, or have missed what was evicted.
  const total = Math.max(known, map.day?.knows(hour) ? map.day.at(hour) : 0)
  if (total === 0) return undefined
  return number => {
    const profile = map.profiles.get(number)
    if (profile?.knows(hour) === true) return profile.at(hour) / total
    // Whoever has no past in this hour shares what the others leave of it, by present heat.
    if (unknownNow <= 0) return 0
    return (1 - known / total) * Math.min(1, unitsOf(map.slots.get(number)) / unknownNow)
  }
}
