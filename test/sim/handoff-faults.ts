/**
 * Faults aimed at handoffs, while one is under way:
 *
 *   source and target lose their stream | the holder cannot reach the source | the target is full
 *   another gateway attaches while a cutover is open
 *   the target's medium keeps older bytes of a block that it took, of the very same CRC
 */
import { checksum } from '../../protocols/checksum.ts'
import type { ChunkKey } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { TWIN_BLOCKS } from './client.ts'
import { twinOf } from './content.ts'
import type { SimNode } from './node.ts'
import { type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'
import type { SimVolume } from './volume.ts'

/** What may meet a handoff: so often, so soon after it began. */
const AMID = {
  'stream of a copy lost': 0.15,
  'holder cut off from the source': 0.04,
  'no space at the target': 0.04
}
const AMID_MS = [2, 250] as const
/** Another gateway attaches while a cutover is open. */
const ATTACH_CHANCE = 0.15
const ATTACH_MS = [0, 12] as const
const LOST_WRITE_CHANCE = 0.7
const TWIN_CRC = checksum(twinOf(0, 0, 0))
/** Nobody's change: the model knows of none so great. */
const NOBODY = 0xfffe_0000

export type HandoffFaultKind = keyof typeof AMID | 'attach amid a cutover' | 'lost write of a copy'

/** What is under way. */
export interface Passing {
  readonly volume: SimVolume
  readonly chunk: ChunkKey
  readonly from: SimNode
  readonly to: SimNode
  /** The target has nothing of it when it begins. */
  readonly isFresh: boolean
}

/** What the weather can do. */
export interface Forces {
  readonly isOver: () => boolean
  readonly count: (kind: HandoffFaultKind) => void
  readonly cut: (a: SimNode, b: SimNode) => void
  readonly fill: (node: SimNode) => boolean
  readonly attachElsewhere: () => boolean
}

export class HandoffFaults {
  readonly #sim: Simulation
  readonly #forces: Forces
  readonly #random: SimRandom

  constructor(sim: Simulation, forces: Forces) {
    this.#sim = sim
    this.#forces = forces
    this.#random = streamOf(sim.seed, 'handoff faults')
  }

  /** A chunk begins to pass, now. */
  passing(passing: Passing): void {
    for (const [kind, chance] of Object.entries(AMID) as Array<[keyof typeof AMID, number]>) {
      if (!this.#random.chance(chance)) continue
      this.#later(AMID_MS, () => {
        if (this.#meet(kind, passing)) this.#forces.count(kind)
      })
    }
  }

  /** `node` is at a step of a protocol, now. */
  atStep(node: SimNode, step: string): void {
    if (this.#forces.isOver()) return
    if (step === 'source: verifying') this.#loseWrites(node)
    if (step !== 'source: frozen' && step !== 'target: prepared') return
    if (!this.#random.chance(ATTACH_CHANCE)) return
    this.#later(ATTACH_MS, () => {
      if (!this.#forces.attachElsewhere()) return
      this.#sim.note(node.name, `somebody attaches soon after '${step}'`)
      this.#forces.count('attach amid a cutover')
    })
  }

  #meet(kind: keyof typeof AMID, { volume, from, to }: Passing): boolean {
    if (kind === 'no space at the target') return this.#forces.fill(to)
    if (kind === 'stream of a copy lost') {
      this.#sim.note(from.name, `and ${to.name} lose their connection amid a copy`)
      this.#sim.network.break(from.id, to.id)
      return true
    }
    const { held } = volume
    if (held === undefined || held.node === from) return false
    this.#sim.note(held.node.name, `is cut off from ${from.name} amid a copy`)
    this.#forces.cut(held.node, from)
    return true
  }

  /**
   * Of twins that the target has stored: no checksum tells, only the digest of the copy. What an
   * earlier attempt left was read back already: it is at rest, and a medium that changes such bytes
   * under their checksum is beyond what anybody promises.
   */
  #loseWrites(source: SimNode): void {
    const [passing, other] = this.#sim.mover.open().filter(({ from }) => from === source)
    // Of two nobody knows here whose step it is.
    if (passing?.isFresh !== true || other !== undefined) return
    const { volume, chunk, to } = passing
    if (!this.#random.chance(LOST_WRITE_CHANCE)) return
    for (let block = 0; block < TWIN_BLOCKS; block++) {
      const { path, at } = volume.placeOf(block * BLOCK_BYTES)
      const isHere = path === volume.pathOf(chunk) && to.store.paths().includes(path)
      if (!isHere || !this.#loseWrite(to, path, at, volume.number, block)) continue
      this.#sim.note(to.name, `block ${block} of volume ${volume.number} keeps older bytes`)
      this.#forces.count('lost write of a copy')
    }
  }

  #loseWrite(to: SimNode, path: string, at: number, volume: number, block: number): boolean {
    let isDone = false
    to.store.corrupt(path, bytes => {
      const place = bytes.subarray(at, at + BLOCK_BYTES)
      isDone = place.length === BLOCK_BYTES && checksum(place) === TWIN_CRC
      if (isDone) place.set(twinOf(volume, NOBODY, block * BLOCK_BYTES))
    })
    return isDone
  }

  #later([low, high]: readonly [number, number], task: () => void): void {
    this.#sim.timeline.after(this.#random.between(low, high), () => {
      if (!this.#forces.isOver()) task()
    })
  }
}
