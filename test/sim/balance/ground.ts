/**
 * What is really where, and what it is really asked: volumes, their chunks, who holds them, which
 * move, and the load of each node. The simulation's own truth; nodes see only their part of it.
 *
 * Invariant: a chunk has one holder.
 */
import type { BidFigures } from '../../../protocols/balance/types.ts'
import type { ChunkKey, VolumeId } from '../../../protocols/ids.ts'
import type { Offer } from '../../../protocols/negotiate/messages.ts'
import type { SimPlace } from './places.ts'
import type { Scene, SceneVolume } from './scene.ts'
import { COPY_LOAD } from './settings.ts'

export interface SimVolume {
  readonly id: VolumeId
  readonly index: number
  readonly gateway: SimPlace
}

export interface SimChunk {
  readonly key: ChunkKey
  readonly volume: SimVolume
  readonly share: number
  readonly bytes: number
  holder: number
}

/** A move under way. */
export interface SimMove {
  readonly id: string
  readonly source: number
  readonly target: number
  readonly chunks: readonly SimChunk[]
  readonly bytes: number
  readonly offer: Offer
  /** What its target bid. */
  readonly figures: BidFigures
}

export class Ground {
  readonly volumes: SimVolume[] = []
  readonly chunks: SimChunk[] = []
  readonly moves = new Map<string, SimMove>()
  /** By node: what it holds. */
  readonly held: Array<Set<SimChunk>>
  readonly usedBytes: Float64Array
  /** Units per second of each node in the present step. */
  readonly loads: Float64Array

  constructor({ places, volumes }: Pick<Scene, 'places' | 'volumes'>) {
    this.held = places.map(() => new Set())
    this.usedBytes = new Float64Array(places.length)
    this.loads = new Float64Array(places.length)
    for (const volume of volumes) this.#addVolume(volume)
  }

  /** `load`: what is asked of it now. */
  move(chunk: SimChunk, to: number, load: number): void {
    this.#add(chunk.holder, -load)
    this.#add(to, load)
    this.#of(chunk.holder).delete(chunk)
    this.usedBytes[chunk.holder] = (this.usedBytes[chunk.holder] ?? 0) - chunk.bytes
    this.#take(chunk, to)
  }

  /** What the volumes are asked now, at those who hold them; copying costs both ends. */
  measure(volumeLoads: Float64Array): void {
    this.loads.fill(0)
    for (const { holder, share, volume } of this.chunks) {
      this.#add(holder, share * (volumeLoads[volume.index] ?? 0))
    }
    for (const { source, target, chunks } of this.moves.values()) {
      for (const { share, volume } of chunks) {
        const copying = COPY_LOAD * share * (volumeLoads[volume.index] ?? 0)
        this.#add(source, copying)
        this.#add(target, copying)
      }
    }
  }

  #add(node: number, load: number): void {
    this.loads[node] = (this.loads[node] ?? 0) + load
  }

  #take(chunk: SimChunk, node: number): void {
    chunk.holder = node
    this.#of(node).add(chunk)
    this.usedBytes[node] = (this.usedBytes[node] ?? 0) + chunk.bytes
  }

  #of(node: number): Set<SimChunk> {
    const held = this.held[node]
    if (held === undefined) throw new Error(`there is no node ${node}`)
    return held
  }

  #addVolume({ gateway, chunks }: SceneVolume): void {
    const index = this.volumes.length
    const id = (index + 1).toString(16).padStart(32, '0') as VolumeId
    const volume = { id, index, gateway }
    this.volumes.push(volume)
    for (const [extent, { share, bytes }] of chunks.entries()) {
      const key = { volume: id, extent, generation: 1, column: 0, replica: 0 }
      const chunk: SimChunk = { key, volume, share, bytes, holder: gateway.index }
      this.chunks.push(chunk)
      this.#take(chunk, gateway.index)
    }
  }
}
