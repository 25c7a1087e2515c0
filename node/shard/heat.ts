/**
 * How much each chunk is asked, decayed by half every five minutes. Decay goes forward (Cormode,
 * Shkapenyuk, Srivastava and Xu, 2009): a request counts for more the later it comes, so that
 * nothing that is kept has to be aged, and a request costs one look-up and two additions.
 *
 *   shard --map: number of a chunk--> slot --> values: reads, bytes read, writes, bytes written
 *
 * Invariants: the chunks remembered on this node stay below their bound, 32 bytes of counters and
 * one entry of a map each; of the coldest, as far as a sample tells, some go first; a slot belongs to
 * one chunk.
 */
import { assert } from '../../protocols/assert.ts'
import type { ChunkKey, VolumeSpec } from '../../protocols/ids.ts'
import type { HeatState } from '../../protocols/load/heat.ts'
import { BYTES_PER_UNIT, loadOf } from '../../protocols/load/record.ts'
import { HEAT_CHUNKS, HEAT_EVICTED_FRACTION } from '../limits.ts'
import { chunkNumber, numberedChunk } from './chunk-number.ts'
import { DayProfile } from './day-profile.ts'
import { HeatProfiles } from './heat-profiles.ts'
import { type ChunkShare, shareOf, sharesIn } from './heat-share.ts'
import { type HeatSpans, heatSpans } from './heat-spans.ts'

/** Per second. */
export interface HeatRates {
  readonly reads: number
  readonly writes: number
  readonly readBytes: number
  readonly writtenBytes: number
}

export interface ChunkHeat extends HeatRates {
  readonly chunk: ChunkKey
  /** Requests. */
  readonly perSecond: number
  /** Units per second (protocols/load/record.ts). */
  readonly load: number
}

/** Of one shard, by the number of the chunk. */
export class HeatMap {
  readonly slots = new Map<number, number>()
  readonly profiles = new Map<number, DayProfile>()
  /** Of the whole shard. */
  day: DayProfile | undefined
}

/** Sums begin anew before they leave the range of a double. */
const MAX_WEIGHT = 2 ** 500
/** Numbers of one slot, and slots that the first array has. */
const WIDTH = 4
const FIRST_SLOTS = 256
/** Of so many chunks one is looked at to know how cold the coldest are. */
const SAMPLE_STEP = 16
const READ = 0
const WRITE = 2

export class HeatMeter {
  readonly #maps = new Set<HeatMap>()
  readonly #spans: HeatSpans
  readonly #profiles: HeatProfiles
  readonly #startedAtMs: number
  #values = new Float64Array(FIRST_SLOTS * WIDTH)
  /** Slots that were used and are not; those from `#used` on never were. */
  readonly #free: number[] = []
  #used = 0
  /** When a request has the weight 1. */
  #originMs: number
  /** The weight of now and when it was found, side by side: every request reads both. */
  readonly #weighing = Float64Array.of(1, 0)

  /** `rate`: of the load clock. */
  constructor(nowMs: number, rate = 1) {
    this.#spans = heatSpans(rate)
    this.#startedAtMs = nowMs
    this.#originMs = nowMs
    this.#weighing[1] = nowMs
    this.#profiles = new HeatProfiles(this.#maps, slot => this.#unitsOf(slot), nowMs, this.#spans)
  }

  /** Chunks remembered. */
  get count(): number {
    return this.#used - this.#free.length
  }

  /** Chunks with a profile. */
  get profiles(): number {
    return this.#profiles.count
  }

  /** What a new shard's requests are counted in. */
  add(): HeatMap {
    const map = new HeatMap()
    this.#maps.add(map)
    return map
  }

  remove(map: HeatMap): void {
    if (!this.#maps.delete(map)) return
    for (const slot of map.slots.values()) this.#free.push(slot)
    map.slots.clear()
    this.#profiles.removeAll(map)
  }

  /** `nowMs` may be a little old. */
  touch(map: HeatMap, number: number, isWrite: boolean, bytes: number, nowMs: number): void {
    if (nowMs - (this.#weighing[1] ?? 0) > this.#spans.weightMs) this.#weigh(nowMs)
    const weight = this.#weight
    const slot = map.slots.get(number) ?? this.#insert(map, number)
    if (slot === undefined) return
    const values = this.#values
    const at = slot * WIDTH + (isWrite ? WRITE : READ)
    values[at] = (values[at] ?? 0) + weight
    values[at + 1] = (values[at + 1] ?? 0) + bytes * weight
  }

  /** The most often asked first. A young server knows rates only since its start. */
  hottest(
    map: HeatMap,
    spec: VolumeSpec,
    isHeld: (chunk: ChunkKey) => boolean,
    limit: number,
    nowMs: number
  ): ChunkHeat[] {
    this.#weigh(nowMs)
    const perSum = 1 / this.#perRate(nowMs)
    const requests = (slot: number) => this.#at(slot, READ) + this.#at(slot, WRITE)
    const hottest: ChunkHeat[] = []
    for (const [number, slot] of [...map.slots].sort(([, a], [, b]) => requests(b) - requests(a))) {
      if (hottest.length >= limit) break
      const chunk = numberedChunk(spec, number)
      if (!isHeld(chunk)) continue
      const rates = this.#rates(slot, perSum)
      hottest.push({ chunk, perSecond: rates.reads + rates.writes, load: loadOf(rates), ...rates })
    }
    return hottest
  }

  /** A minute of the wall clock (counted since 1970) is over: the profiles of the day learn of it. */
  minute(minute: number, nowMs: number): void {
    this.#weigh(nowMs)
    this.#profiles.minute(minute, nowMs)
  }

  profileOf(map: HeatMap, chunk: ChunkKey): HeatState['profile'] {
    return map.profiles.get(chunkNumber(chunk))?.state()
  }

  /** Ask before the chunk is taken: it is its part of what the shard still has. */
  shareOf(map: HeatMap, chunk: ChunkKey, nowMs: number): ChunkShare {
    this.#weigh(nowMs)
    return shareOf(map, chunkNumber(chunk), slot => this.#unitsOf(slot))
  }

  /** The part of each known chunk in an hour of the day, the greatest first. */
  shares(
    map: HeatMap,
    spec: VolumeSpec,
    hour: number,
    nowMs: number
  ): Array<{ readonly chunk: ChunkKey; readonly share: number }> {
    this.#weigh(nowMs)
    return [...sharesIn(map, hour, slot => this.#unitsOf(slot))]
      .sort(([, a], [, b]) => b - a)
      .map(([number, share]) => ({ chunk: numberedChunk(spec, number), share }))
  }

  /** What is known of the chunk, and from now on is not; undefined if nothing is. */
  take(map: HeatMap, chunk: ChunkKey, nowMs: number): HeatState | undefined {
    const number = chunkNumber(chunk)
    const slot = map.slots.get(number)
    const profile = map.profiles.get(number)
    if (slot === undefined && profile === undefined) return undefined
    this.#weigh(nowMs)
    map.day?.part(this.shareOf(map, chunk, nowMs))
    const state = {
      ...this.#rates(slot, 1 / this.#perRate(nowMs)),
      ...(profile === undefined ? {} : { profile: profile.state() })
    }
    this.#profiles.remove(map, number)
    map.slots.delete(number)
    if (slot !== undefined) this.#free.push(slot)
    return state
  }

  /** Takes over what `heatStateSchema` has parsed, in place of what was known of the chunk. */
  give(map: HeatMap, chunk: ChunkKey, state: HeatState, nowMs: number): void {
    if (!this.#maps.has(map)) return
    this.take(map, chunk, nowMs)
    const number = chunkNumber(chunk)
    this.#weigh(nowMs)
    const slot = this.#insert(map, number)
    assert(slot !== undefined, 'a shard that is known remembers its chunks')
    const scale = this.#perRate(nowMs)
    const { reads, readBytes, writes, writtenBytes } = state
    this.#values.set(
      [reads, readBytes, writes, writtenBytes].map(rate => rate * scale),
      slot * WIDTH
    )
    const units = this.#unitsOf(slot)
    const profile = state.profile && DayProfile.from(state.profile, units)
    if (profile !== undefined) this.#profiles.give(map, number, profile)
    map.day ??= new DayProfile(0)
    map.day.join(profile, units)
  }

  #insert(map: HeatMap, number: number): number | undefined {
    if (!this.#maps.has(map)) return undefined
    if (this.count >= HEAT_CHUNKS) this.#evict()
    const slot = this.#free.pop() ?? this.#used++
    if ((slot + 1) * WIDTH > this.#values.length) {
      const values = new Float64Array(Math.min(2 * this.#values.length, HEAT_CHUNKS * WIDTH))
      values.set(this.#values)
      this.#values = values
    }
    this.#values.fill(0, slot * WIDTH, (slot + 1) * WIDTH)
    map.slots.set(number, slot)
    return slot
  }

  /** Many at once: finding the coldest looks at all of them. How cold that is, a sample says. */
  #evict(): void {
    const sample = new Float64Array(Math.ceil(this.count / SAMPLE_STEP))
    let at = 0
    for (const map of this.#maps) {
      for (const slot of map.slots.values()) {
        if (at % SAMPLE_STEP === 0) sample[at / SAMPLE_STEP] = this.#unitsOf(slot)
        at += 1
      }
    }
    assert(at === this.count, 'every slot in use is of a chunk')
    sample.sort()
    let excess = Math.ceil(at * HEAT_EVICTED_FRACTION)
    const limit = sample[Math.floor(sample.length * HEAT_EVICTED_FRACTION)] ?? 0
    for (const map of this.#maps) {
      for (const [number, slot] of map.slots) {
        if (excess === 0) return
        if (this.#unitsOf(slot) > limit) continue
        map.slots.delete(number)
        this.#free.push(slot)
        excess -= 1
      }
    }
  }

  get #weight(): number {
    return this.#weighing[0] ?? 1
  }

  #weigh(nowMs: number): void {
    this.#weighing[0] = 2 ** ((nowMs - this.#originMs) / this.#spans.halfLifeMs)
    this.#weighing[1] = nowMs
    if (this.#weight < MAX_WEIGHT) return
    const values = this.#values
    for (let at = 0; at < values.length; at++) values[at] = (values[at] ?? 0) / this.#weight
    this.#originMs = nowMs
    this.#weighing[0] = 1
  }

  #at(slot: number, which: number): number {
    return this.#values[slot * WIDTH + which] ?? 0
  }

  /** Units, decayed to the last weighing. */
  #unitsOf(slot: number | undefined): number {
    if (slot === undefined) return 0
    const requests = this.#at(slot, READ) + this.#at(slot, WRITE)
    const bytes = this.#at(slot, READ + 1) + this.#at(slot, WRITE + 1)
    return (requests + bytes / BYTES_PER_UNIT) / this.#weight
  }

  /** What a value is that has always grown by one per second, as far as this server knows. */
  #perRate(nowMs: number): number {
    const { lifeMs, weightMs } = this.#spans
    const ageMs = Math.max(weightMs, nowMs - this.#startedAtMs)
    return (this.#weight * lifeMs * (1 - Math.exp(-ageMs / lifeMs))) / 1000
  }

  #rates(slot: number | undefined, perSum: number): HeatRates {
    const rate = (which: number) => (slot === undefined ? 0 : this.#at(slot, which) * perSum)
    return {
      reads: rate(READ),
      writes: rate(WRITE),
      readBytes: rate(READ + 1),
      writtenBytes: rate(WRITE + 1)
    }
  }
}
