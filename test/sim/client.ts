/**
 * A client of a VM: one request after the other, each judged by the model. Several clients of a
 * volume have requests in flight at the same time, over the same hot blocks.
 *
 * A ghost is a client of a gateway that was superseded and does not know: whatever it asks from then
 * on may fail, must not read anything older, and must never be answered as done.
 */
import { messageOf } from '../../protocols/fault.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { changesIn, SECTOR_BYTES, sectorsOf, twinOf, ZEROES } from './content.ts'
import type { ReadBounds } from './model.ts'
import type { SimNode } from './node.ts'
import { type SimRandom, streamOf } from './random.ts'
import type { Change } from './register.ts'
import type { Simulation } from './simulation.ts'
import type { Held, SimVolume } from './volume.ts'

const THINK_MS = [0, 30] as const
/** Most requests go to this much of the volume. */
const HOT_BLOCKS = 40
/** Blocks of one CRC follow each other here. */
export const TWIN_BLOCKS = 4

const KINDS = {
  read: 30,
  write: 28,
  'twin write': 9,
  'large write': 6,
  trim: 5,
  zero: 5,
  flush: 9,
  status: 5
}
export type Kind = keyof typeof KINDS

interface Range {
  readonly offset: number
  readonly length: number
}

/** One request under way. */
interface Operation {
  readonly held: Held
  readonly what: string
  readonly calledMs: number
  readonly change: Change | undefined
  readonly read: ReadBounds | undefined
}

export class Client {
  readonly #sim: Simulation
  readonly #volume: SimVolume
  readonly #name: string
  readonly #random: SimRandom
  #operation: Operation | undefined
  #isThinking = false
  #ghostOf: Held | undefined
  #ghostUntilMs = 0

  constructor(sim: Simulation, volume: SimVolume, number: number) {
    this.#sim = sim
    this.#volume = volume
    this.#name = `vm${volume.number}.${number}`
    this.#random = streamOf(sim.seed, `client ${volume.number} ${number}`)
  }

  get isBusy(): boolean {
    return this.#operation !== undefined
  }

  get waitsFor(): string | undefined {
    return this.#operation?.what
  }

  /** There is an attachment to work with. */
  begin(): void {
    if (this.#operation !== undefined || this.#isThinking) return
    this.#isThinking = true
    this.#sim.timeline.after(this.#random.between(...THINK_MS), () => {
      this.#isThinking = false
      this.#next()
    })
  }

  haunt(held: Held, untilMs: number): void {
    this.#ghostOf = held
    this.#ghostUntilMs = untilMs
    this.begin()
  }

  /** The attachment is over: what was not answered may have happened or not. */
  abandon(): void {
    const operation = this.#operation
    if (operation?.change !== undefined) this.#volume.model.failed(operation.change)
    if (operation === undefined || operation.held.running.process.isAlive) return
    this.#end(operation)
  }

  gatewayDied(node: SimNode): void {
    const operation = this.#operation
    if (operation !== undefined && operation.held.node === node) this.#end(operation)
  }

  #end(operation: Operation): void {
    if (this.#operation !== operation) return
    if (operation.change?.state === 'open') this.#volume.model.failed(operation.change)
    if (operation.read !== undefined) this.#volume.model.readFailed()
    this.#operation = undefined
    this.begin()
  }

  #next(): void {
    if (this.#operation !== undefined || !this.#sim.isLoading) return
    const held = this.#ghostOf ?? this.#volume.held
    if (held === undefined || !held.running.process.isAlive) return
    if (this.#ghostOf === undefined && this.#volume.isDetaching) return
    if (this.#ghostOf !== undefined && this.#sim.timeline.nowMs > this.#ghostUntilMs) return
    const kind = this.#random.weighted<Kind>(KINDS)
    const range = this.#range(kind)
    const fua = this.#random.chance(0.12)
    if (kind === 'read' || kind === 'status') this.#look(held, kind, range)
    else if (kind === 'flush') this.#flush(held)
    else this.#alter(held, kind, range, fua)
  }

  #range(kind: Kind): Range {
    const { sizeBytes } = this.#volume
    const random = this.#random
    const blocks = sizeBytes / BLOCK_BYTES
    if (kind === 'twin write') {
      return { offset: random.below(TWIN_BLOCKS) * BLOCK_BYTES, length: BLOCK_BYTES }
    }
    const isHot = random.chance(0.75)
    const block = random.below(isHot ? Math.min(HOT_BLOCKS, blocks) : blocks)
    if (kind === 'large write' || (kind !== 'write' && random.chance(0.25))) {
      const offset = block * BLOCK_BYTES
      return { offset, length: Math.min(sizeBytes - offset, (64 + 16 * random.below(9)) * KiB) }
    }
    const isWhole = random.chance(0.4)
    const skip = isWhole ? 0 : random.below(8) * SECTOR_BYTES
    const offset = block * BLOCK_BYTES + skip
    const length = isWhole
      ? BLOCK_BYTES * (1 + random.below(6))
      : SECTOR_BYTES * (1 + random.below(random.chance(0.7) ? 6 : 40))
    return { offset, length: Math.min(sizeBytes - offset, length) }
  }

  #look(held: Held, kind: 'read' | 'status', range: Range): void {
    const { model } = this.#volume
    const { offset, length } = range
    const [from, to] = [offset / SECTOR_BYTES, (offset + length) / SECTOR_BYTES]
    const read = model.reads(held.number, from, to)
    const operation = this.#begin(held, `${kind} ${from}..${to}`, undefined, read)
    const { number } = this.#volume
    const work =
      kind === 'read'
        ? held.device.read(offset, length).then(parts => changesIn(number, offset, parts))
        : held.device.status(offset, length).then(extents => holesOf(extents, to - from))
    this.#settle(operation, work, values => model.found(read, values, operation.calledMs))
  }

  #flush(held: Held): void {
    const { model } = this.#volume
    const { answers } = model
    const operation = this.#begin(held, 'flush')
    this.#settle(operation, held.device.flush(), () => {
      if (held === this.#volume.held) model.flushed(answers)
      this.#sim.flushed(this.#volume)
      return undefined
    })
  }

  #alter(held: Held, kind: Kind, range: Range, fua: boolean): void {
    const { model } = this.#volume
    const isTrim = kind === 'trim'
    const unit = isTrim ? BLOCK_BYTES : SECTOR_BYTES
    const end = range.offset + range.length
    const from = (Math.ceil(range.offset / unit) * unit) / SECTOR_BYTES
    const to = Math.max(from, (Math.floor(end / unit) * unit) / SECTOR_BYTES)
    const isGhost = held !== this.#volume.held
    const value = kind === 'trim' || kind === 'zero' ? 'zeroes' : 'own'
    // A superseded gateway's changes must never be seen: the model does not hear of them.
    const change = isGhost ? undefined : model.called(value, from, to, fua)
    const id = change?.id ?? 0xffff_0000
    const words = `${kind} ${from}..${to} #${id}${fua ? ' fua' : ''}${isGhost ? ' (ghost)' : ''}`
    const operation = this.#begin(held, words, change)
    if (from < to) {
      this.#volume.changes(from, to)
      const shard = this.#volume.nodeAt(range.offset)
      if (shard !== undefined) this.#sim.faults.changing(held.node, shard)
    }
    const { offset, length } = range
    const { device } = held
    const work =
      kind === 'trim'
        ? device.trim(offset, length, { fua })
        : kind === 'zero'
          ? device.zero(offset, length, { fua, allocate: this.#random.chance(0.4) })
          : device.write(offset, this.#content(kind, id, range), { fua })
    this.#settle(operation, work, () => {
      if (change === undefined) {
        return from === to ? undefined : 'a gateway acknowledged a change after another attached'
      }
      const wrong = model.answered(change, from, to, operation.calledMs)
      if (fua && held === this.#volume.held) this.#sim.flushed(this.#volume)
      return wrong
    })
  }

  #content(kind: Kind, id: number, { offset, length }: Range): Uint8Array {
    const { number } = this.#volume
    return kind === 'twin write'
      ? twinOf(number, id, offset)
      : sectorsOf(number, id, offset, length)
  }

  #begin(held: Held, what: string, change?: Change, read?: ReadBounds): Operation {
    const { timeline } = this.#sim
    const operation = { held, what, change, read, calledMs: timeline.nowMs }
    this.#operation = operation
    this.#sim.note(this.#name, what)
    return operation
  }

  #settle<T>(operation: Operation, work: Promise<T>, judge: (result: T) => string | undefined) {
    const isOurs = () => operation.held.running.process.isAlive && this.#operation === operation
    work.then(
      result => {
        if (!isOurs()) return
        this.#sim.note(this.#name, `done: ${operation.what}`)
        this.#operation = undefined
        const wrong = judge(result)
        this.#sim.totals.operations++
        if (wrong !== undefined) this.#sim.fail(`${this.#name}: ${operation.what}: ${wrong}`)
        this.begin()
      },
      (error: unknown) => {
        if (!isOurs()) return
        this.#sim.note(this.#name, `failed: ${operation.what}: ${messageOf(error)}`)
        this.#sim.totals.errors++
        this.#sim.operationFailed(this.#volume, operation.what, error)
        this.#end(operation)
      }
    )
  }
}

/** Zeroes where there are holes; elsewhere nothing is said. */
function holesOf(
  extents: ReadonlyArray<{ lengthBytes: number; hole: boolean }>,
  sectors: number
): Array<number | undefined> {
  const values: Array<number | undefined> = []
  for (const { lengthBytes, hole } of extents) {
    for (let at = 0; at < lengthBytes; at += SECTOR_BYTES) values.push(hole ? ZEROES : undefined)
  }
  return values.slice(0, sectors)
}
