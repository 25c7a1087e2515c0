/**
 * Moves chunks from node to node all the time, whoever has the volume attached, or nobody: what a
 * balancer would ask for, without a reason. A handoff counts when it is over, passed or aborted.
 */
import { type ChunkKey, chunkName } from '../../protocols/ids.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import type { Passing } from './handoff-faults.ts'
import type { Running, SimNode } from './node.ts'
import { type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'
import type { SimVolume } from './volume.ts'

const PAUSE_MS = [80, 1_500] as const
/** Now and then one is called off. */
const CANCEL_CHANCE = 0.1
const CANCEL_MS = [1, 800] as const
/** What came to nothing is mostly tried again: the target has a part of it already. */
const RETRY_CHANCE = 0.8
const RETRY_MS = [20, 1_500] as const

export class Mover {
  readonly #sim: Simulation
  readonly #random: SimRandom
  readonly #open = new Map<string, Passing>()

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#random = streamOf(sim.seed, 'mover')
  }

  get isIdle(): boolean {
    return this.#open.size === 0
  }

  open(): Passing[] {
    return [...this.#open.values()]
  }

  begin(): void {
    this.#sim.timeline.after(this.#random.between(...PAUSE_MS), () => {
      if (!this.#sim.isLoading) return
      const volume = this.#random.oneOf(this.#sim.volumes)
      if (volume !== undefined) this.#move(volume)
      this.begin()
    })
  }

  #move(volume: SimVolume): void {
    const { id, generation, columns } = volume.spec
    const extent = this.#random.below(extentCount(volume.spec, volume.sizeBytes))
    const column = this.#random.below(columns)
    const from = volume.placement().nodeOf(extent, column)
    const to = this.#random.oneOf(this.#sim.storage.filter(node => node !== from))
    this.#to(volume, { volume: id, extent, generation, column, replica: 0 }, to)
  }

  #to(volume: SimVolume, chunk: ChunkKey, to: SimNode | undefined): void {
    const from = volume.placement().nodeOf(chunk.extent, chunk.column)
    const { running } = from ?? {}
    if (from === undefined || to === undefined || running?.handoffs === undefined) return
    if (from === to || this.#open.has(chunkName(chunk))) return
    this.#pass(volume, running, chunk, from, to)
  }

  #retry(volume: SimVolume, chunk: ChunkKey, to: SimNode): void {
    if (!this.#random.chance(RETRY_CHANCE)) return
    this.#sim.timeline.after(this.#random.between(...RETRY_MS), () => {
      if (this.#sim.isLoading) this.#to(volume, chunk, to)
    })
  }

  #pass(volume: SimVolume, running: Running, chunk: ChunkKey, from: SimNode, to: SimNode): void {
    const { handoffs, process } = running
    const abort = new AbortController()
    if (this.#random.chance(CANCEL_CHANCE)) {
      this.#sim.timeline.after(this.#random.between(...CANCEL_MS), () => {
        if (process.isAlive && !process.isFrozen) abort.abort()
      })
    }
    const what = `chunk ${chunk.extent}.${chunk.column} of volume ${volume.number} to ${to.name}`
    this.#sim.note(from.name, `passes ${what}`)
    let isOver = false
    const over = (end: string): void => {
      if (isOver) return
      isOver = true
      this.#open.delete(chunkName(chunk))
      this.#sim.note(from.name, `${what}: ${end}`)
    }
    const there = to.running?.store?.chunks(chunk.volume)
    const isFresh = there?.some(known => chunkName(known) === chunkName(chunk)) === false
    const passing = { volume, chunk, from, to, isFresh }
    this.#open.set(chunkName(chunk), passing)
    this.#sim.faults.ofHandoffs.passing(passing)
    process.onDeath(() => {
      over('it died')
      volume.moved(chunk)
      this.#retry(volume, chunk, to)
    })
    void handoffs
      ?.pass({ chunk, to: to.id, signal: abort.signal, onProgress: () => {} })
      .then(end => {
        if (!process.isAlive) return
        this.#sim.totals.handoffs++
        if (end.is === 'passed') this.#sim.totals.passed++
        volume.moved(chunk)
        over(end.is === 'passed' ? 'passed' : end.why)
        if (end.is === 'failed') this.#retry(volume, chunk, to)
      })
  }
}
