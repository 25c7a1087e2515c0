/**
 * Compression of copied blocks where it pays: LZ4, only while the link is what the copy waits for,
 * and only as long as it saves a fifth. On a fast link nothing is compressed.
 *
 *   off --waited for the link in half of the last sends, and a sample shrinks--> on
 *   on  --a piece does not shrink--> off
 */
import { compressSync, uncompressSync } from 'lz4-napi'
import { BLOCK_BYTES } from '../../protocols/limits.ts'

const WINDOW = 16
const WORTH = 0.8
const SIZE_BYTES = 4

export class Compressor {
  #isOn = false
  #sends = 0
  #waits = 0

  /** What to send in place of `data`, or undefined to send it as it is. */
  compress(data: Uint8Array): Uint8Array | undefined {
    if (!this.#isOn) return undefined
    const packed = compressSync(Buffer.from(data.buffer, data.byteOffset, data.length))
    if (packed.length <= data.length * WORTH) return packed
    this.#isOn = false
    return undefined
  }

  /** A piece was sent; `hasWaited`: the link took it only after a while. */
  sent(data: Uint8Array, hasWaited: boolean): void {
    if (this.#isOn) return
    this.#sends++
    if (hasWaited) this.#waits++
    if (this.#sends < WINDOW) return
    const isSlow = this.#waits * 2 >= this.#sends
    this.#sends = 0
    this.#waits = 0
    if (!isSlow) return
    const sample = compressSync(Buffer.from(data.buffer, data.byteOffset, data.length))
    this.#isOn = sample.length <= data.length * WORTH
  }
}

/** The blocks, or undefined if the bytes are none. Total. */
export function uncompress(packed: Uint8Array, blocks: number): Uint8Array | undefined {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length)
  // The length in front is looked at before anything of that length is allocated.
  if (bytes.length < SIZE_BYTES || bytes.readUInt32LE(0) !== blocks * BLOCK_BYTES) return undefined
  try {
    const data = uncompressSync(bytes)
    return data.length === blocks * BLOCK_BYTES ? data : undefined
  } catch {
    return undefined
  }
}
