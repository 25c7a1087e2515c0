/**
 * A BlockDevice in memory, with allocation per 4 KiB block, for tests and benches of the NBD server.
 * `gate` lets a test hold every operation until it says so; `failWith` makes them reject.
 */
import type { BlockDevice, DeviceExtent } from '../../node/block-device.ts'
import { assert } from '../../protocols/assert.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'

type Fua = { fua: boolean }

export class MemoryDevice implements BlockDevice {
  /** Promise that every operation waits for before it takes effect. */
  gate: Promise<void> | undefined
  failWith: Error | undefined
  flushes = 0
  fuas = 0
  inFlight = 0
  greatestInFlight = 0
  #bytes: Buffer
  #allocated: Uint8Array

  constructor(sizeBytes: number) {
    assert(sizeBytes % BLOCK_BYTES === 0, 'a device has whole blocks')
    this.#bytes = Buffer.alloc(sizeBytes)
    this.#allocated = new Uint8Array(sizeBytes / BLOCK_BYTES)
  }

  sizeBytes(): number {
    return this.#bytes.length
  }

  grow(sizeBytes: number): void {
    const more = Buffer.alloc(sizeBytes - this.#bytes.length)
    this.#bytes = Buffer.concat([this.#bytes, more])
    const allocated = new Uint8Array(sizeBytes / BLOCK_BYTES)
    allocated.set(this.#allocated)
    this.#allocated = allocated
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array[]> {
    if (this.#isHeld()) await this.#turn()
    return [this.#bytes.subarray(offsetBytes, offsetBytes + lengthBytes)]
  }

  async write(offsetBytes: number, data: Uint8Array, { fua }: Fua): Promise<void> {
    if (this.#isHeld()) await this.#turn()
    if (fua) this.fuas++
    this.#bytes.set(data, offsetBytes)
    this.#mark(offsetBytes, data.length, 1)
  }

  async trim(offsetBytes: number, lengthBytes: number, { fua }: Fua): Promise<void> {
    if (this.#isHeld()) await this.#turn()
    if (fua) this.fuas++
    const from = Math.ceil(offsetBytes / BLOCK_BYTES) * BLOCK_BYTES
    const to = Math.floor((offsetBytes + lengthBytes) / BLOCK_BYTES) * BLOCK_BYTES
    if (to <= from) return
    this.#bytes.fill(0, from, to)
    this.#mark(from, to - from, 0)
  }

  async zero(
    offsetBytes: number,
    lengthBytes: number,
    { fua, allocate }: Fua & { allocate: boolean }
  ): Promise<void> {
    if (this.#isHeld()) await this.#turn()
    if (fua) this.fuas++
    this.#bytes.fill(0, offsetBytes, offsetBytes + lengthBytes)
    if (allocate) this.#mark(offsetBytes, lengthBytes, 1)
    else await this.trim(offsetBytes, lengthBytes, { fua: false })
  }

  async flush(): Promise<void> {
    if (this.#isHeld()) await this.#turn()
    this.flushes++
  }

  async status(offsetBytes: number, lengthBytes: number): Promise<DeviceExtent[]> {
    if (this.#isHeld()) await this.#turn()
    const extents: DeviceExtent[] = []
    const end = offsetBytes + lengthBytes
    let at = offsetBytes
    while (at < end) {
      const hole = this.#isHole(at)
      let next = at
      while (next < end && this.#isHole(next) === hole) {
        next = (Math.floor(next / BLOCK_BYTES) + 1) * BLOCK_BYTES
      }
      next = Math.min(next, end)
      extents.push({ lengthBytes: next - at, hole })
      at = next
    }
    return extents
  }

  #isHeld(): boolean {
    return this.gate !== undefined || this.failWith !== undefined
  }

  async #turn(): Promise<void> {
    this.inFlight++
    this.greatestInFlight = Math.max(this.greatestInFlight, this.inFlight)
    await this.gate
    this.inFlight--
    if (this.failWith !== undefined) throw this.failWith
  }

  #isHole(offsetBytes: number): boolean {
    return this.#allocated[Math.floor(offsetBytes / BLOCK_BYTES)] === 0
  }

  #mark(offsetBytes: number, lengthBytes: number, value: 0 | 1): void {
    const from = Math.floor(offsetBytes / BLOCK_BYTES)
    const to = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES)
    this.#allocated.fill(value, from, to)
  }
}
