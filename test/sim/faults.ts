/**
 * The weather: what strikes when, all of it from the seed. Every fault ends by itself, and all of
 * them end when the weather clears.
 *
 *   crashes    a process is killed, a host loses power, all of them do right after a flush
 *   steps      a crash exactly at a step of the disk or of a protocol
 *   network    stalls one way or both, breaks, slowness, a node alone
 *   processes  stand still for a while
 *   disks      errors on reads, writes and syncs, no space, rot
 *   handoffs   a crash at one of their steps, and what handoff-faults.ts does
 */
import { HANDOFF_STEPS } from '../../protocols/handoff/steps.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { type HandoffFaultKind, HandoffFaults } from './handoff-faults.ts'
import type { SimNode } from './node.ts'
import { type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'
import type { SimVolume } from './volume.ts'

const PAUSE_MS = [100, 1_000] as const
const MAX_CALM = 2
const STALL_MS = [200, 3_500] as const
const FREEZE_MS = [100, 2_500] as const
const FULL_MS = [200, 1_500] as const
const ARMED_MS = 4_000
/** An answered flush is followed by the dark this often. */
const DARK_CHANCE = 0.03
const LEAST_FAULTS = 5
/** A change meets a lost connection this often, so soon after it left. */
const BREAK_CHANCE = 0.02
const BREAK_MS = [0.3, 8] as const
/** Longer than a holder may be silent. */
const SILENT_MS = [3_200, 5_500] as const

const KINDS = {
  'kill storage': 10,
  'power storage': 12,
  'kill gateway': 4,
  'power gateway': 2,
  'crash at step': 18,
  'crash at handoff step': 12,
  freeze: 5,
  'silent gateway': 1,
  'one-way stall': 9,
  'two-way stall': 4,
  'node alone': 3,
  'connection lost': 10,
  slow: 7,
  'take-over': 4,
  'take-over of the cut off': 5,
  detach: 2,
  'read error': 2,
  'write error': 2,
  'sync error': 2,
  'disk full': 2,
  rot: 4
}
export type FaultKind = keyof typeof KINDS | HandoffFaultKind | 'dark after flush'

export class Faults {
  readonly ofHandoffs: HandoffFaults
  readonly #sim: Simulation
  readonly #random: SimRandom
  readonly #hurt = new Set<SimNode>()
  /** Some seeds are stormier than others. */
  readonly #calm: number
  #isOver = false

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#random = streamOf(sim.seed, 'faults')
    this.#calm = this.#random.between(1, MAX_CALM)
    this.ofHandoffs = new HandoffFaults(sim, {
      isOver: () => this.#isOver,
      count: kind => this.#count(kind),
      cut: (a, b) => this.#cut(a, b, true),
      fill: node => this.#fill(node),
      attachElsewhere: () => this.#takeOver(false)
    })
  }

  get isEnough(): boolean {
    const { totals } = this.#sim
    return totals.faultCount >= LEAST_FAULTS && totals.faults.size >= 2
  }

  begin(): void {
    this.#sim.timeline.after(this.#calm * this.#random.between(...PAUSE_MS), () => {
      if (this.#isOver) return
      const kind = this.#random.weighted(KINDS)
      if (this.#strike(kind)) this.#count(kind)
      this.begin()
    })
  }

  /** The weather clears: nothing strikes any more, and what did is over. */
  clear(): void {
    this.#isOver = true
    const { network, nodes, steps } = this.#sim
    steps.end()
    network.healAll()
    for (const node of nodes) {
      node.process?.thaw()
      this.#healDisk(node)
    }
  }

  /** A disk error was made at this node, so that its start may fail. */
  hasHurtDisk(node: SimNode): boolean {
    return this.#hurt.has(node)
  }

  /** A flush was answered, now: whatever it covers survives even this. */
  flushed(volume: SimVolume): void {
    if (this.#isOver || !this.#random.chance(DARK_CHANCE)) return
    this.#count('dark after flush')
    const { held } = volume
    if (held === undefined) return
    this.#sim.powerOff(held.node)
    for (const node of volume.holders()) if (node.process !== undefined) this.#sim.powerOff(node)
  }

  /** A change is on its way, now: this is when a lost connection hurts. */
  changing(gateway: SimNode, shard: SimNode): void {
    if (this.#isOver || gateway === shard || !this.#random.chance(BREAK_CHANCE)) return
    this.#later(BREAK_MS, () => {
      if (this.#isOver) return
      this.#sim.note(gateway.name, `and ${shard.name} lose their connection amid a change`)
      this.#count('connection lost')
      this.#sim.network.break(gateway.id, shard.id)
    })
  }

  #count(kind: FaultKind): void {
    this.#sim.totals.fault(kind)
  }

  #strike(kind: keyof typeof KINDS): boolean {
    switch (kind) {
      case 'kill storage':
        return this.#crash(this.#up(this.#sim.storage), 'kill')
      case 'power storage':
        return this.#crash(this.#up(this.#sim.storage), 'power')
      case 'kill gateway':
        return this.#crash(this.#holder(), 'kill')
      case 'power gateway':
        return this.#crash(this.#holder(), 'power')
      case 'crash at step':
        return this.#arm(this.#sim.steps.names(), kind)
      case 'crash at handoff step':
        return this.#arm(HANDOFF_STEPS, kind)
      case 'freeze':
        return this.#freeze(this.#up(this.#sim.nodes), FREEZE_MS)
      case 'silent gateway':
        return this.#freeze(this.#holder(), SILENT_MS)
      case 'one-way stall':
      case 'two-way stall':
        return this.#stall(kind === 'two-way stall')
      case 'node alone':
        return this.#isolate(this.#up(this.#sim.nodes))
      case 'connection lost':
        return this.#break()
      case 'slow':
        return this.#slow()
      case 'take-over':
        return this.#takeOver(false)
      case 'take-over of the cut off':
        return this.#takeOver(true)
      case 'detach':
        void this.#sim.volumes[0]?.detach()
        return this.#sim.volumes[0]?.held !== undefined
      case 'read error':
      case 'write error':
      case 'sync error':
        return this.#diskError(kind.split(' ')[0] as 'read' | 'write' | 'sync')
      case 'disk full':
        return this.#fill(this.#up(this.#sim.storage))
      case 'rot':
        return this.#rot()
    }
  }

  #crash(node: SimNode | undefined, how: 'kill' | 'power'): boolean {
    if (node?.process === undefined) return false
    if (how === 'power') this.#sim.powerOff(node)
    else {
      this.#sim.note(node.name, 'is killed')
      node.kill()
    }
    return true
  }

  /** The next time that this step is reached, whoever reaches it dies there. */
  #arm(names: readonly string[], kind: FaultKind): boolean {
    const { steps, timeline, nodes } = this.#sim
    // Mostly of two the one that was reached less often, so that rare steps are struck too.
    const [one, other] = [this.#random.oneOf(names), this.#random.oneOf(names)]
    if (one === undefined || other === undefined) return false
    const isRare = steps.reached(one) < steps.reached(other) || this.#random.chance(0.3)
    const step = isRare ? one : other
    const how = this.#random.chance(0.5) ? 'kill' : 'power'
    steps.arm({
      step,
      node: undefined,
      untilMs: timeline.nowMs + ARMED_MS,
      crash: name => {
        this.#sim.note(name, `crashes at '${step}'`)
        this.#crash(
          nodes.find(node => node.name === name),
          how
        )
        this.#count(kind)
      }
    })
    return false
  }

  #freeze(node: SimNode | undefined, forMs: readonly [number, number]): boolean {
    const { process } = node ?? {}
    if (node === undefined || process === undefined || process.isFrozen) return false
    this.#sim.note(node.name, 'stands still')
    process.freeze()
    this.#later(forMs, () => {
      this.#sim.note(node.name, 'goes on')
      process.thaw()
    })
    return true
  }

  #stall(isBothWays: boolean): boolean {
    const [a, b] = this.#pair()
    if (a === undefined || b === undefined) return false
    this.#sim.note(a.name, `${isBothWays ? 'and' : 'to'} ${b.name}: bytes wait`)
    this.#cut(a, b, isBothWays)
    return true
  }

  #cut(a: SimNode, b: SimNode, isBothWays: boolean): void {
    const { network } = this.#sim
    network.stall(a.id, b.id)
    if (isBothWays) network.stall(b.id, a.id)
    if (this.#random.chance(0.4)) this.#later(STALL_MS, () => network.break(a.id, b.id))
    this.#later(STALL_MS, () => {
      network.flow(a.id, b.id)
      if (isBothWays) network.flow(b.id, a.id)
    })
  }

  #isolate(node: SimNode | undefined): boolean {
    if (node === undefined) return false
    this.#sim.note(node.name, 'is cut off from all')
    for (const other of this.#sim.nodes) if (other !== node) this.#cut(node, other, true)
    return true
  }

  #break(): boolean {
    const [a, b] = this.#pair()
    if (a === undefined || b === undefined) return false
    this.#sim.note(a.name, `and ${b.name} lose their connection`)
    this.#sim.network.break(a.id, b.id)
    return true
  }

  #slow(): boolean {
    const [a, b] = this.#pair()
    if (a === undefined || b === undefined) return false
    this.#sim.note(a.name, `to ${b.name} is slow`)
    const untilMs = this.#sim.timeline.nowMs + this.#random.between(...STALL_MS)
    this.#sim.network.slow(a.id, b.id, untilMs)
    return true
  }

  #takeOver(isCutOff: boolean): boolean {
    const volume = this.#random.oneOf(this.#sim.volumes)
    const holder = volume?.held?.node
    if (volume === undefined || holder === undefined) return false
    if (isCutOff) {
      for (const node of volume.holders()) {
        if (node !== holder && this.#random.chance(0.7)) this.#cut(holder, node, true)
      }
    }
    return this.#sim.operator.moveVolume(volume)
  }

  #diskError(step: 'read' | 'write' | 'sync'): boolean {
    const node = this.#up(this.#sim.storage)
    if (node === undefined) return false
    this.#sim.note(node.name, `the next ${step} of its disk fails`)
    this.#hurt.add(node)
    const { faults } = node.store
    faults.failing = happening => {
      if (happening !== step) return undefined
      faults.failing = () => undefined
      return 'EIO'
    }
    return true
  }

  #fill(node: SimNode | undefined): boolean {
    if (node === undefined) return false
    this.#sim.note(node.name, 'its disk is full')
    this.#hurt.add(node)
    const { store } = node
    store.faults.limitBytes = store.usedBytes() + 16 * KiB
    this.#later(FULL_MS, () => {
      store.faults.limitBytes = Number.POSITIVE_INFINITY
    })
    return true
  }

  /** Only where the model can tell: in blocks that are durable, and long at rest. */
  #rot(): boolean {
    const volume = this.#random.oneOf(this.#sim.volumes)
    if (volume === undefined) return false
    const block = this.#random.below(volume.sizeBytes / BLOCK_BYTES)
    if (volume.rotten.has(block) || !volume.isAtRest(block)) return false
    const { node, path, at } = volume.placeOf(block * BLOCK_BYTES)
    if (node?.isUp !== true || !node.store.paths().includes(path)) return false
    this.#sim.note(node.name, `block ${block} of volume ${volume.number} rots`)
    const bit = this.#random.below(BLOCK_BYTES * 8)
    node.store.corrupt(path, bytes => {
      const byte = at + (bit >> 3)
      if (byte < bytes.length) bytes[byte] = (bytes[byte] ?? 0) ^ (1 << (bit & 7))
    })
    volume.rotten.add(block)
    return true
  }

  #healDisk(node: SimNode): void {
    node.store.faults.limitBytes = Number.POSITIVE_INFINITY
    node.store.faults.failing = () => undefined
  }

  #later([low, high]: readonly [number, number], task: () => void): void {
    this.#sim.timeline.after(this.#random.between(low, high), task)
  }

  #up(nodes: readonly SimNode[]): SimNode | undefined {
    return this.#random.oneOf(nodes.filter(node => node.isUp))
  }

  #holder(): SimNode | undefined {
    return this.#random.oneOf(this.#sim.volumes)?.held?.node
  }

  /** Two nodes, mostly the gateway of a volume and one of its shards. */
  #pair(): [SimNode | undefined, SimNode | undefined] {
    const volume = this.#random.oneOf(this.#sim.volumes)
    const holder = volume?.held?.node
    const pair =
      holder !== undefined && this.#random.chance(0.75)
        ? [holder, this.#random.oneOf(volume?.holders().filter(node => node !== holder) ?? [])]
        : [this.#random.oneOf(this.#sim.nodes), this.#random.oneOf(this.#sim.nodes)]
    const [a, b] = this.#random.chance(0.5) ? pair : pair.reverse()
    return a === b ? [undefined, undefined] : [a, b]
  }
}
