/**
 * Which chunks of a node have a profile of their day: the hottest, by what they are now or by what
 * their day was in the mean, whichever is more. Looked at once a minute.
 *
 * Invariants: at most HEAT_PROFILE_CHUNKS of all shards have one; a chunk takes another one's place
 * only by being hotter with a margin, so that two alike do not take turns.
 */
import { HOURS_PER_DAY } from '../../protocols/limits.ts'
import {
  HEAT_PROFILE_CHUNKS,
  HEAT_PROFILE_MARGIN,
  HEAT_PROFILE_MIN_LOAD,
  HEAT_PROFILES_PER_MINUTE
} from '../limits.ts'
import { DayProfile } from './day-profile.ts'
import type { HeatMap } from './heat.ts'
import type { HeatSpans } from './heat-spans.ts'

/** Of a slot, units that were counted and decayed since; a slot that is not there has none. */
type UnitsOf = (slot: number | undefined) => number

interface Candidate {
  readonly map: HeatMap
  readonly number: number
  /** Units per second. */
  readonly load: number
}

export class HeatProfiles {
  readonly #maps: ReadonlySet<HeatMap>
  readonly #unitsOf: UnitsOf
  readonly #spans: HeatSpans
  readonly #lifeSeconds: number
  #count = 0
  #hour: number | undefined
  #sampledAtMs: number

  constructor(maps: ReadonlySet<HeatMap>, unitsOf: UnitsOf, nowMs: number, spans: HeatSpans) {
    this.#maps = maps
    this.#unitsOf = unitsOf
    this.#spans = spans
    this.#lifeSeconds = spans.lifeMs / 1000
    this.#sampledAtMs = nowMs
  }

  get count(): number {
    return this.#count
  }

  /** A minute (of the wall clock, since 1970) is over. */
  minute(minute: number, nowMs: number): void {
    const elapsedMs = nowMs - this.#sampledAtMs
    if (elapsedMs <= 0) return
    this.#sampledAtMs = nowMs
    const hour = Math.floor(minute / 60)
    if (this.#hour !== undefined && hour !== this.#hour) this.#fold(hourOfDay(this.#hour))
    this.#hour = hour
    const weakest = this.#weakestFirst()
    const room = HEAT_PROFILE_CHUNKS - this.#count
    const least = room > 0 ? 0 : (weakest[0]?.load ?? 0) * HEAT_PROFILE_MARGIN
    const candidates = this.#sample(elapsedMs, Math.max(HEAT_PROFILE_MIN_LOAD, least))
    for (const { map, number, load } of candidates) {
      if (this.#count >= HEAT_PROFILE_CHUNKS) {
        const other = weakest.shift()
        if (other === undefined || load < other.load * HEAT_PROFILE_MARGIN) break
        this.remove(other.map, other.number)
      }
      this.#set(map, number, new DayProfile(this.#unitsOf(map.slots.get(number))))
    }
  }

  remove(map: HeatMap, number: number): void {
    if (map.profiles.delete(number)) this.#count -= 1
  }

  /** The whole shard goes. */
  removeAll(map: HeatMap): void {
    this.#count -= map.profiles.size
    map.profiles.clear()
  }

  /** A chunk brings its profile along; it is kept if there is room, or a colder one. */
  give(map: HeatMap, number: number, profile: DayProfile): void {
    this.remove(map, number)
    if (this.#count >= HEAT_PROFILE_CHUNKS) {
      const [weakest] = this.#weakestFirst()
      if (weakest === undefined || weakest.load >= profile.mean) return
      this.remove(weakest.map, weakest.number)
    }
    this.#set(map, number, profile)
  }

  #set(map: HeatMap, number: number, profile: DayProfile): void {
    map.profiles.set(number, profile)
    this.#count += 1
  }

  /** Feeds every profile; the hottest chunks without one that are at least so hot, hottest first. */
  #sample(elapsedMs: number, leastLoad: number): Candidate[] {
    const kept = 2 ** (-elapsedMs / this.#spans.halfLifeMs)
    const perUnit = this.#lifeSeconds * (1 - kept)
    const isGap = elapsedMs > this.#spans.sampleMaxMs
    const feed = (profile: DayProfile, sum: number) => {
      if (isGap) profile.rebase(sum)
      else profile.sample(sum, elapsedMs, kept, perUnit)
    }
    const hottest = new Hottest(leastLoad)
    for (const map of this.#maps) {
      if (map.slots.size === 0 && map.day === undefined) continue
      let total = 0
      for (const [number, slot] of map.slots) {
        const units = this.#unitsOf(slot)
        total += units
        hottest.look(map, number, units / this.#lifeSeconds)
      }
      map.day ??= new DayProfile(0)
      feed(map.day, total)
      for (const [number, profile] of map.profiles) {
        feed(profile, this.#unitsOf(map.slots.get(number)))
      }
    }
    return hottest.found
  }

  #fold(hour: number): void {
    const { hourMinMs } = this.#spans
    for (const map of this.#maps) {
      map.day?.fold(hour, hourMinMs)
      for (const profile of map.profiles.values()) profile.fold(hour, hourMinMs)
    }
  }

  #weakestFirst(): Candidate[] {
    const all: Candidate[] = []
    for (const map of this.#maps) {
      for (const [number, profile] of map.profiles) {
        const now = this.#unitsOf(map.slots.get(number)) / this.#lifeSeconds
        all.push({ map, number, load: Math.max(now, profile.mean) })
      }
    }
    return all.sort((a, b) => a.load - b.load)
  }
}

/** The few hottest without a profile, in order. */
class Hottest {
  readonly found: Candidate[] = []
  #least: number

  constructor(leastLoad: number) {
    this.#least = leastLoad
  }

  look(map: HeatMap, number: number, load: number): void {
    if (load < this.#least || map.profiles.has(number)) return
    const { found } = this
    const at = found.findIndex(other => other.load < load)
    found.splice(at === -1 ? found.length : at, 0, { map, number, load })
    if (found.length <= HEAT_PROFILES_PER_MINUTE) return
    found.pop()
    this.#least = found.at(-1)?.load ?? load
  }
}

/** Also right for times before 1970: a clock may say anything. */
function hourOfDay(hour: number): number {
  return ((hour % HOURS_PER_DAY) + HOURS_PER_DAY) % HOURS_PER_DAY
}
