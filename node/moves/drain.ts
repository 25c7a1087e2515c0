/**
 * Empties this node: plans where its chunks go, queues the moves, looks again until nothing is held
 * here, and goes on with it after a restart.
 *
 *   off --begin (there is room)--> draining <--> blocked        drained
 *    ^_______________ called off ______\__________/______________/
 *
 * Invariants: a drain begins only if every chunk has a place to go to; the intent is durable before
 * the first chunk moves; once it is called off no chunk of it begins to move.
 */
import { chunksByNode } from '../../crdt/holders.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { DrainPlan } from '../../protocols/layout/drain.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { MAX_WHY_CHARS } from '../../protocols/moves/limits.ts'
import type { DrainPurpose, DrainStatus } from '../../protocols/moves/messages.ts'
import { DRAIN_LOOK_MS, DRAIN_RETRY_MAX_MS, DRAIN_RETRY_MS } from '../limits.ts'
import type { Timer } from '../ports.ts'
import { makeDrainPlan } from './drain-plan.ts'
import { heldTotals, isVacant } from './held.ts'
import type { MovesRecord } from './move-file.ts'
import type { MoveQueue } from './queue.ts'
import type { MovesParts } from './types.ts'

export type DrainRecord = NonNullable<MovesRecord['drain']>

export interface DrainOptions {
  readonly parts: MovesParts
  readonly queue: MoveQueue
  /** Calls off what the node moves by itself. */
  readonly makeWay: () => Promise<void>
  /** Queues as much of the plan as there is room for. */
  readonly enqueue: (plan: DrainPlan, why: string) => void
  readonly save: () => Promise<void>
}

export class Drain {
  readonly #options: DrainOptions
  #record: DrainRecord | null
  #trouble: string | undefined
  #timer: Timer | undefined
  /** Plans since chunks last went. */
  #rounds = 0
  #chunksLeft = 0
  #isLooking = false
  #isClosed = false

  constructor(options: DrainOptions, record: DrainRecord | null) {
    this.#options = options
    this.#record = record
  }

  get record(): DrainRecord | null {
    return this.#record
  }

  /** Goes on with what an earlier start began. */
  resume(): void {
    if (this.#record !== null) this.#lookIn(0)
  }

  async begin(purpose: DrainPurpose): Promise<DrainStatus> {
    const { parts, save, enqueue, makeWay } = this.#options
    if (this.#record !== null) {
      this.#record = { ...this.#record, purpose }
      await save()
      return this.status()
    }
    await makeWay()
    const plan = await this.#plan()
    if (plan.missingBytes > 0) throw noRoom(plan)
    // Someone else may have asked meanwhile.
    if (this.#record === null) {
      const totals = heldTotals(parts.store)
      this.#record = { purpose, since: parts.clock.now(), ...totals }
      this.#trouble = undefined
      try {
        await save()
      } catch (error) {
        this.#record = null
        throw error
      }
      enqueue(plan, whyOf(purpose))
      await save()
      this.#lookIn(DRAIN_LOOK_MS)
    }
    return this.status()
  }

  async end(): Promise<DrainStatus> {
    this.#timer?.cancel()
    this.#record = null
    this.#trouble = undefined
    this.#options.queue.cancelDrain()
    await this.#options.save()
    return this.status()
  }

  status(): DrainStatus {
    const record = this.#record
    if (record === null) return { state: 'off' }
    const { parts, queue } = this.#options
    const left = heldTotals(parts.store)
    const speed = queue.bytesPerSecond()
    const chunks = { total: Math.max(record.chunks, left.chunks), done: 0 }
    const bytes = { total: Math.max(record.bytes, left.bytes), done: 0 }
    const isOver = this.#isVacant() && !this.#isStillNamed(record.purpose)
    const trouble = isOver ? undefined : (this.#trouble ?? this.#waitsFor(left.chunks))
    return {
      state: isOver ? 'drained' : this.#trouble === undefined ? 'draining' : 'blocked',
      purpose: record.purpose,
      since: record.since,
      chunks: { ...chunks, done: chunks.total - left.chunks },
      bytes: { ...bytes, done: bytes.total - left.bytes },
      bytesPerSecond: speed,
      ...(isOver || speed === 0 ? {} : { leftMs: Math.round((left.bytes * 1000) / speed) }),
      ...(trouble === undefined ? {} : { trouble: trouble.slice(0, MAX_WHY_CHARS) })
    }
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  #plan(): Promise<DrainPlan> {
    const { parts, queue } = this.#options
    return makeDrainPlan(parts, volume => queue.rangesOf(volume))
  }

  #isVacant(): boolean {
    return this.#options.parts.store.shards().every(isVacant)
  }

  /** Whoever attaches asks the nodes that the map names: a node that left must not be one. */
  #isStillNamed(purpose: DrainPurpose): boolean {
    const { map, network } = this.#options.parts
    if (purpose !== 'leave') return false
    return [...map.mesh().volumes.keys()].some(id => {
      const view = map.volume(id)
      return view !== undefined && chunksByNode(view).has(network.self)
    })
  }

  #waitsFor(chunksLeft: number): string | undefined {
    if (chunksLeft > 0) return undefined
    return 'the last chunks are being settled, and the map is told where they are'
  }

  #lookIn(delayMs: number): void {
    this.#timer?.cancel()
    if (this.#isClosed || this.#record === null) return
    this.#timer = this.#options.parts.clock.after(delayMs, () => void this.#look())
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      this.#lookIn(await this.#goOn())
    } catch (error) {
      this.#trouble = messageOf(error)
      this.#options.parts.log.warn({ error: messageOf(error) }, 'the drain could not go on')
      this.#lookIn(this.#pauseMs())
    } finally {
      this.#isLooking = false
    }
  }

  /** Plans what is left once the last plan is through; the time until the next look. */
  async #goOn(): Promise<number> {
    const { queue, enqueue, parts, save } = this.#options
    const { chunks } = heldTotals(parts.store)
    if (chunks !== this.#chunksLeft) this.#rounds = 0
    this.#chunksLeft = chunks
    if (chunks === 0) {
      this.#trouble = undefined
      return DRAIN_LOOK_MS
    }
    if (queue.hasDrainMoves()) return DRAIN_LOOK_MS
    const plan = await this.#plan()
    const record = this.#record
    if (record === null || this.#isClosed) return DRAIN_LOOK_MS
    this.#trouble = plan.missingBytes > 0 ? noRoom(plan).message : undefined
    enqueue(plan, whyOf(record.purpose))
    await save()
    // What failed is planned anew, on other nodes if need be, but not in a hurry.
    return this.#pauseMs()
  }

  #pauseMs(): number {
    this.#rounds += 1
    const pauseMs = Math.min(DRAIN_RETRY_MAX_MS, DRAIN_RETRY_MS * this.#rounds)
    return pauseMs * (0.5 + this.#options.parts.random.fraction())
  }
}

function whyOf(purpose: DrainPurpose): string {
  return purpose === 'leave' ? 'the node leaves the mesh' : 'the node is drained'
}

function noRoom({ neededBytes, availableBytes, missingBytes }: DrainPlan): ShoalError {
  return new ShoalError(
    { code: 'NO_CAPACITY', neededBytes, availableBytes },
    `the other nodes have no room for the chunks of this one: ${formatSize(missingBytes)} are ` +
      `missing (${formatSize(neededBytes)} have to go, ${formatSize(availableBytes)} are free ` +
      'there). Add a node, raise a capacity, or delete volumes'
  )
}
