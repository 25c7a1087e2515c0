/**
 * A random load on a block device and a model of what it must hold: changes of any alignment, some
 * overlapping, sixteen at a time; reads are compared where nothing else touches the blocks.
 */
import type { BlockDevice } from '../../node/block-device.ts'
import type { Random } from '../../node/ports.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { joined } from './gateway-mesh.ts'

/** What the device must hold: changes take effect in the order of the calls. */
export class Model {
  readonly bytes: Buffer
  /** Changes begun per block, and how many of them have not ended. */
  readonly begun: Uint32Array
  readonly open: Int32Array

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes)
    this.begun = new Uint32Array(sizeBytes / BLOCK_BYTES)
    this.open = new Int32Array(sizeBytes / BLOCK_BYTES)
  }

  change(from: number, to: number, delta: 1 | -1): void {
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < to; block++) {
      this.open[block] = (this.open[block] ?? 0) + delta
      if (delta === 1) this.begun[block] = (this.begun[block] ?? 0) + 1
    }
  }
}

export class Chaos {
  readonly model: Model
  readonly device: BlockDevice
  readonly random: Random
  wrong: string[] = []
  #byte = 0

  constructor(device: BlockDevice, sizeBytes: number, random: Random) {
    this.model = new Model(sizeBytes)
    this.device = device
    this.random = random
  }

  int(below: number): number {
    return Math.floor(this.random.fraction() * below)
  }

  range(): [number, number] {
    const longest = this.int(10) === 0 ? 300 * KiB : this.int(3) === 0 ? 40 * KiB : 8 * KiB
    // Most of the load meets on few blocks, so that changes overlap.
    const within = this.int(2) === 0 ? 64 * KiB : this.model.bytes.length - longest
    const isAligned = this.int(2) === 0
    const unit = isAligned ? BLOCK_BYTES : 1
    const from = Math.floor(this.int(within) / unit) * unit
    const length = Math.max(unit, Math.floor((1 + this.int(longest)) / unit) * unit)
    return [from, Math.min(this.model.bytes.length, from + length)]
  }

  async step(): Promise<void> {
    const [from, to] = this.range()
    const kind = this.int(20)
    const fua = this.int(8) === 0
    if (kind < 9) {
      this.#byte = (this.#byte % 255) + 1
      const data = Buffer.alloc(to - from, this.#byte)
      this.model.bytes.set(data, from)
      await this.#tracked(from, to, this.device.write(from, data, { fua }))
    } else if (kind < 11) {
      const first = Math.ceil(from / BLOCK_BYTES) * BLOCK_BYTES
      const last = Math.floor(to / BLOCK_BYTES) * BLOCK_BYTES
      if (last > first) this.model.bytes.fill(0, first, last)
      await this.#tracked(from, to, this.device.trim(from, to - from, { fua }))
    } else if (kind < 13) {
      this.model.bytes.fill(0, from, to)
      const allocate = this.int(2) === 0
      await this.#tracked(from, to, this.device.zero(from, to - from, { fua, allocate }))
    } else if (kind < 19) await this.#check(from, to)
    else await this.device.flush()
  }

  async #tracked(from: number, to: number, change: Promise<void>): Promise<void> {
    this.model.change(from, to, 1)
    await change
    this.model.change(from, to, -1)
  }

  /** Blocks that nothing touched meanwhile must be as the model says. */
  async #check(from: number, to: number): Promise<void> {
    const before = this.model.begun.slice()
    const wasOpen = this.model.open.slice()
    const found = joined(await this.device.read(from, to - from))
    if (found.length !== to - from) this.wrong.push(`read ${found.length} of ${to - from}`)
    for (let at = from; at < to; at++) {
      const block = Math.floor(at / BLOCK_BYTES)
      if (wasOpen[block] !== 0 || before[block] !== this.model.begun[block]) continue
      if (found[at - from] === this.model.bytes[at]) continue
      this.wrong.push(`byte ${at} read ${found[at - from]}, written ${this.model.bytes[at]}`)
      return
    }
  }
}

export async function load(chaos: Chaos, isOver: () => boolean): Promise<void> {
  const worker = async (): Promise<void> => {
    while (!isOver()) await chaos.step()
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}
