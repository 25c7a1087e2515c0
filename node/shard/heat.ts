/**
 * How often each chunk is asked, decayed by half every five minutes. Decay goes forward (Cormode,
 * Shkapenyuk, Srivastava and Xu, 2009): a request counts for more the later it comes, so that
 * nothing that is kept has to be aged, and a request costs one look-up and one addition.
 *
 * Invariants: the chunks remembered on this node stay below their bound; the coldest go first.
 */
import { assert } from '../../protocols/assert.ts'
import type { ChunkKey, VolumeSpec } from '../../protocols/ids.ts'
import { HEAT_CHUNKS, HEAT_EVICTED_FRACTION, HEAT_HALF_LIFE_MS } from '../limits.ts'
import { chunkNumber, numberedChunk } from './chunk-number.ts'

export interface ChunkHeat {
  readonly chunk: ChunkKey
  readonly perSecond: number
}

interface Entry {
  value: number
}

/** Of one shard. */
export type HeatMap = Map<number, Entry>

/** A weight is used for so long: off by less than a quarter of a percent. */
const WEIGHT_MS = 1_000
/** Sums begin anew before they leave the range of a double. */
const MAX_WEIGHT = 2 ** 500

export class HeatMeter {
  readonly #maps = new Set<HeatMap>()
  readonly #startedAtMs: number
  #count = 0
  /** When a request has the weight 1. */
  #originMs: number
  #weighedAtMs: number
  #weight = 1

  constructor(nowMs: number) {
    this.#startedAtMs = nowMs
    this.#originMs = nowMs
    this.#weighedAtMs = nowMs
  }

  get count(): number {
    return this.#count
  }

  /** What a new shard's requests are counted in. */
  add(): HeatMap {
    const map: HeatMap = new Map()
    this.#maps.add(map)
    return map
  }

  remove(map: HeatMap): void {
    if (this.#maps.delete(map)) this.#count -= map.size
  }

  /** `nowMs` may be a little old. */
  touch(map: HeatMap, chunk: ChunkKey, nowMs: number): void {
    if (nowMs - this.#weighedAtMs > WEIGHT_MS) this.#weigh(nowMs)
    const number = chunkNumber(chunk)
    const entry = map.get(number)
    if (entry === undefined) this.#insert(map, number)
    else entry.value += this.#weight
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
    const lifeMs = HEAT_HALF_LIFE_MS / Math.LN2
    const ageMs = Math.max(WEIGHT_MS, nowMs - this.#startedAtMs)
    const coveredMs = lifeMs * (1 - Math.exp(-ageMs / lifeMs))
    const scale = 1000 / (this.#weight * coveredMs)
    const hottest: ChunkHeat[] = []
    for (const [number, { value }] of [...map].sort(([, a], [, b]) => b.value - a.value)) {
      if (hottest.length >= limit) break
      const chunk = numberedChunk(spec, number)
      if (isHeld(chunk)) hottest.push({ chunk, perSecond: value * scale })
    }
    return hottest
  }

  #insert(map: HeatMap, number: number): void {
    if (!this.#maps.has(map)) return
    if (this.#count >= HEAT_CHUNKS) this.#evict()
    map.set(number, { value: this.#weight })
    this.#count += 1
  }

  /** Many at once: finding the coldest looks at all of them. */
  #evict(): void {
    const values = new Float64Array(this.#count)
    let at = 0
    for (const map of this.#maps) for (const { value } of map.values()) values[at++] = value
    assert(at === this.#count, 'the count of chunks is right')
    values.sort()
    let excess = Math.ceil(at * HEAT_EVICTED_FRACTION)
    const limit = values[excess - 1] ?? 0
    for (const map of this.#maps) {
      for (const [number, { value }] of map) {
        if (excess === 0) return
        if (value > limit) continue
        map.delete(number)
        this.#count -= 1
        excess -= 1
      }
    }
  }

  #weigh(nowMs: number): void {
    this.#weighedAtMs = nowMs
    this.#weight = 2 ** ((nowMs - this.#originMs) / HEAT_HALF_LIFE_MS)
    if (this.#weight < MAX_WEIGHT) return
    for (const map of this.#maps) for (const entry of map.values()) entry.value /= this.#weight
    this.#originMs = nowMs
    this.#weight = 1
  }
}
