/**
 * The people and scripts around the mesh: start nodes that are down, attach volumes that nobody
 * holds, and now and then move a volume to another gateway, with or without a farewell.
 */
import type { SimNode } from './node.ts'
import { type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'
import type { SimVolume } from './volume.ts'

const LOOK_MS = [50, 250] as const
const RESTART_MS = [30, 1_200] as const

export class Operator {
  readonly #sim: Simulation
  readonly #random: SimRandom
  readonly #restarts = new Set<SimNode>()

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#random = streamOf(sim.seed, 'operator')
  }

  begin(): void {
    this.#look()
  }

  /** Takes the volume to another gateway while the present one lives. */
  moveVolume(volume: SimVolume): boolean {
    const target = this.#gateway(node => node !== volume.held?.node)
    if (target === undefined || volume.held === undefined) return false
    volume.attach(target, true)
    return true
  }

  #look(): void {
    const { timeline, isStormy } = this.#sim
    for (const node of this.#sim.nodes) this.#revive(node)
    for (const volume of this.#sim.volumes) {
      if (volume.held !== undefined || volume.isAttaching) continue
      const node = this.#gateway(() => true)
      if (node !== undefined) volume.attach(node, this.#random.chance(0.5) || !isStormy)
    }
    timeline.after(this.#random.between(...LOOK_MS), () => this.#look())
  }

  #revive(node: SimNode): void {
    if (this.#restarts.has(node) || node.process?.isFrozen) return
    const isStarting = node.process !== undefined && !node.isUp
    if (isStarting || (node.isUp && !node.isBroken)) return
    this.#restarts.add(node)
    this.#sim.timeline.after(this.#random.between(...RESTART_MS), () => {
      this.#restarts.delete(node)
      if (node.isBroken) node.kill()
      node.start()
    })
  }

  #gateway(fits: (node: SimNode) => boolean): SimNode | undefined {
    const up = this.#sim.gateways.filter(
      node => node.isUp && !node.process?.isFrozen && !node.isBroken
    )
    return this.#random.oneOf(up.filter(fits))
  }
}
