/**
 * Where the payloads of writes are received. A device keeps them by reference until they are
 * flushed, so a piece is never handed out twice; small ones share a slab because a buffer of its
 * own for every 4 KiB costs more than the request.
 */
import { NBD_SLAB_BYTES, NBD_SLAB_PAYLOAD_BYTES } from '../limits.ts'

const ALIGN_BYTES = 8

export class Payloads {
  #slab: Buffer | undefined
  #used = 0

  allocate(length: number): Buffer {
    if (length > NBD_SLAB_PAYLOAD_BYTES) return Buffer.allocUnsafeSlow(length)
    if (this.#slab === undefined || this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(NBD_SLAB_BYTES)
      this.#used = 0
    }
    const piece = this.#slab.subarray(this.#used, this.#used + length)
    this.#used += Math.ceil(length / ALIGN_BYTES) * ALIGN_BYTES
    return piece
  }
}
