/**
 * A volume of the simulation: its shards on simulated nodes, its model, its attachments and the VMs
 * that use it.
 *
 *   unattached --attach--> attached --gateway dies, is fenced, detaches--> unattached --attach--> ..
 */

import { shardCalls } from '../../node/gateway/shard-calls.ts'
import type { Attachment } from '../../node/gateway/types.ts'
import { newNonce, newVolumeId } from '../../node/volumes/types.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { ChunkKey, NodeId, PlacementEpoch, Token, VolumeSpec } from '../../protocols/ids.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { extentCount, locate } from '../../protocols/stripe/map.ts'
import { Client } from './client.ts'
import { SECTOR_BYTES } from './content.ts'
import { type HostOf, VolumeModel } from './model.ts'
import type { Running, SimNode } from './node.ts'
import { Placement } from './placement.ts'
import { randomPort, type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'

const EXTENT_BYTES = MiB
const ATTACH_TIMEOUT_MS = 3_000
/** An attachment that was superseded goes on being asked for so long. */
const GHOST_MS = 3_000
/** A checkpoint comes at least this often, and a mark of the last sync much sooner. */
const AT_REST_MS = 12_000
const SECTORS_PER_BLOCK = BLOCK_BYTES / SECTOR_BYTES

/** One attachment, as its VMs know it. */
export interface Held {
  readonly number: number
  readonly device: Attachment
  readonly node: SimNode
  readonly running: Running
}

export class SimVolume {
  readonly number: number
  readonly spec: VolumeSpec
  readonly sizeBytes: number
  readonly model: VolumeModel
  readonly columns: readonly SimNode[]
  readonly clients: Client[]
  readonly random: SimRandom
  held: Held | undefined
  isAttaching = false
  isDetaching = false
  /** Blocks whose medium was made to rot, and not written since. */
  readonly rotten = new Set<number>()
  /** Nobody attaches it any more. */
  isOver = false
  readonly #sim: Simulation
  readonly #token: Token
  readonly #devices = new WeakSet<Attachment>()
  readonly #changedMs = new Map<number, number>()

  constructor(sim: Simulation, number: number, columns: readonly SimNode[], extents: number) {
    this.#sim = sim
    this.number = number
    this.columns = columns
    this.random = streamOf(sim.seed, `volume ${number}`)
    const port = randomPort(this.random)
    const shape = { extentBytes: EXTENT_BYTES, stripeUnitBytes: 16 * KiB, columns: columns.length }
    this.spec = { id: newVolumeId(port), ...shape, copies: 1, generation: 0 }
    this.#token = { counter: 1, attach: newNonce(port) }
    // The last extent is not whole.
    this.sizeBytes = extents * EXTENT_BYTES - 16 * KiB * this.random.below(8)
    this.model = new VolumeModel(this.sizeBytes, () => this.#hosts())
    this.clients = Array.from({ length: 4 + this.random.below(4) }, (_, i) => {
      return new Client(sim, this, i)
    })
  }

  /** Who holds what of it, as things are now. */
  placement(): Placement {
    return new Placement(this.#sim.storage, this.spec.id)
  }

  nodeAt(offset: number): SimNode | undefined {
    const { extent, column } = locate(this.spec, offset)
    return this.placement().nodeOf(extent, column)
  }

  /** Nodes that hold some of it now. */
  holders(): SimNode[] {
    return this.placement().nodes()
  }

  /** A handoff of the chunk is over, one way or the other: its blocks are not at rest. */
  moved({ extent }: ChunkKey): void {
    const blocks = EXTENT_BYTES / BLOCK_BYTES
    for (let block = extent * blocks; block < (extent + 1) * blocks; block++) {
      this.#changedMs.set(block, this.#sim.timeline.nowMs)
    }
  }

  /** As node/volumes creates one, but with extents that a simulation can afford. */
  async create({ rpc, map }: Running): Promise<void> {
    const { spec, sizeBytes } = this
    const token = this.#token
    const epoch: PlacementEpoch = { token, counter: 0 }
    const to = extentCount(spec, sizeBytes)
    const calls = shardCalls(rpc)
    for (const [column, node] of this.columns.entries()) {
      const runs = [{ from: 0, to, generation: 0, column, replica: 0, epoch }]
      const answer = await calls(node.id, { call: 'create', token, spec, sizeBytes, runs })
      if (answer.is !== 'state') throw new Error(`a shard was not created: ${answer.is}`)
    }
    const nodes = this.columns.map(node => [node.id])
    const name = `volume-${this.number}`
    const wishes = { expectedIops: undefined, near: undefined }
    map.announceVolume({ spec, name, sizeBytes, nodes, epoch, ...wishes })
    await map.flush()
    await map.spread(spec.id, nodes.flat(), { timeoutMs: 5_000 })
  }

  /** Tries once to attach at `node`. */
  attach(node: SimNode, takeOver: boolean): void {
    const { running } = node
    if (running === undefined || this.isAttaching || this.isOver) return
    this.isAttaching = true
    this.#sim.note(node.name, `attaches volume ${this.number}${takeOver ? ', taking over' : ''}`)
    let isLate = false
    const end = (): boolean => {
      if (isLate) return false
      isLate = true
      this.isAttaching = false
      return true
    }
    running.process.onDeath(end)
    running.gateway.attach(this.spec.id, { takeOver, timeoutMs: ATTACH_TIMEOUT_MS }).then(
      device => {
        if (running.process.isAlive && end()) this.#attached(node, running, device)
      },
      (error: unknown) => {
        if (!running.process.isAlive || !end()) return
        this.#sim.note(node.name, `could not attach: ${messageOf(error)}`)
        if (isFault(error, 'QUARANTINED', 'CONFLICT')) {
          this.#sim.fail(`attach of volume ${this.number}: ${messageOf(error)}`)
        }
      }
    )
  }

  /** The present attachment is over; `why` for the trace. */
  ended(why: string): void {
    const { held } = this
    if (held === undefined) return
    this.#sim.note(held.node.name, `no longer holds volume ${this.number}: ${why}`)
    this.held = undefined
    this.isDetaching = false
    this.model.ended()
    for (const client of this.clients) client.abandon()
  }

  async detach(): Promise<void> {
    const { held } = this
    if (held === undefined || this.isDetaching || held.running.process.isFrozen) return
    this.isDetaching = true
    try {
      const answers = this.model.answers
      await held.device.detach()
      if (!held.running.process.isAlive || this.held !== held) return
      this.model.flushed(answers)
      this.ended('it was detached')
    } catch (error) {
      this.#sim.note(held.node.name, `could not detach: ${messageOf(error)}`)
    }
    if (this.held === held) this.#carryOn()
  }

  /** The detach failed: it is served as before. */
  #carryOn(): void {
    this.isDetaching = false
    for (const client of this.clients) client.begin()
  }

  nodeDown(node: SimNode): void {
    if (this.held?.node === node) this.ended('its gateway died')
    for (const client of this.clients) client.gatewayDied(node)
  }

  /** The chunk file that keeps a block, and where in it. */
  placeOf(offset: number): { node: SimNode | undefined; path: string; at: number } {
    const { extent, column, chunkOffset } = locate(this.spec, offset)
    const path = this.pathOf({ extent, column })
    return { node: this.placement().nodeOf(extent, column), path, at: chunkOffset }
  }

  pathOf({ extent, column }: Pick<ChunkKey, 'extent' | 'column'>): string {
    return `shards/${this.spec.id}/${extent}.0.${column}.0.data`
  }

  /** Durable, and unchanged for so long that the store has put it in its place. */
  isAtRest(block: number): boolean {
    const first = block * SECTORS_PER_BLOCK
    for (let sector = first; sector < first + SECTORS_PER_BLOCK; sector++) {
      if (!this.model.isDurable(sector)) return false
    }
    return this.#sim.timeline.nowMs - (this.#changedMs.get(block) ?? 0) > AT_REST_MS
  }

  changes(from: number, to: number): void {
    const last = Math.floor((to - 1) / SECTORS_PER_BLOCK)
    for (let block = Math.floor(from / SECTORS_PER_BLOCK); block <= last; block++) {
      this.#changedMs.set(block, this.#sim.timeline.nowMs)
    }
  }

  /** Bounds of what is allocated, by what the model is certain of. */
  expectedBytes(): { least: number; most: number } {
    let [least, most] = [0, 0]
    for (let block = 0; block < this.sizeBytes / BLOCK_BYTES; block++) {
      const first = block * SECTORS_PER_BLOCK
      const sectors = Array.from({ length: SECTORS_PER_BLOCK }, (_, i) =>
        this.model.certain(first + i)
      )
      const isData = sectors.some(change => change !== undefined && change.value !== 0)
      const isUntouched = sectors.every(change => change?.id === 0)
      if (isData) least += BLOCK_BYTES
      if (!isUntouched) most += BLOCK_BYTES
    }
    return { least, most }
  }

  #attached(node: SimNode, running: Running, device: Attachment): void {
    if (device.state() !== 'serving') return
    const before = this.held
    // The gateway may still believe in one that was superseded: that is none.
    if (this.#devices.has(device)) return
    this.#devices.add(device)
    if (before !== undefined) {
      this.held = undefined
      this.isDetaching = false
      this.#sim.totals.takeOvers++
      this.#haunt(before)
    }
    this.#sim.totals.attaches++
    const number = this.model.attached()
    const held = { number, device, node, running }
    this.held = held
    this.#sim.note(node.name, `holds volume ${this.number}, attachment ${number}`)
    device.onState(state => {
      if (!running.process.isAlive || state === 'detached') return
      if (state === 'failed') this.#sim.fail(`an attachment failed: ${device.reason()}`)
      if (this.held === held) this.ended(`it is ${state}: ${device.reason()}`)
    })
    for (const client of this.clients) client.begin()
  }

  #hosts(): HostOf {
    const placement = this.placement()
    const { stripeUnitBytes } = this.spec
    const known = new Map<number, NodeId | undefined>()
    return sector => {
      const unit = Math.floor((sector * SECTOR_BYTES) / stripeUnitBytes)
      if (known.has(unit)) return known.get(unit)
      const { extent, column } = locate(this.spec, unit * stripeUnitBytes)
      const host = placement.hostOf(extent, column)
      known.set(unit, host)
      return host
    }
  }

  /** The VMs of a superseded gateway live on for a moment, and do not know. */
  #haunt(before: Held): void {
    const ghost = new Client(this.#sim, this, 100 + before.number)
    for (const client of this.clients) client.abandon()
    ghost.haunt(before, this.#sim.timeline.nowMs + GHOST_MS)
  }
}
