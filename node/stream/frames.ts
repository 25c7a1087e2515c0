/**
 * Cuts a byte stream into frames that begin with their own total length, u32 little endian (the
 * frames of shard-io). A frame inside one received chunk is handed on as a view; one that spans
 * chunks is copied once into its own buffer.
 *
 * Invariants: every byte is looked at once, whatever the size of the chunks (a parser that
 * concatenates on every event is quadratic); a frame longer than `maxBytes` or shorter than its
 * own length field is refused before anything is gathered, and nothing after it is read.
 */
import { assert } from '../../protocols/assert.ts'

const LENGTH_BYTES = 4

export interface FrameReaderOptions {
  readonly maxBytes: number
  /** One whole frame, its length field included. The bytes are never reused by the reader. */
  readonly onFrame: (frame: Uint8Array) => void
  /** The stream makes no sense from here on; called once. */
  readonly onBad: (reason: string) => void
}

export class FrameReader {
  readonly #options: FrameReaderOptions
  /** The first bytes of a length field that was cut. */
  readonly #lengthField = Buffer.alloc(LENGTH_BYTES)
  #lengthFilled = 0
  #frame: Buffer | undefined
  #filled = 0
  #isBad = false

  constructor(options: FrameReaderOptions) {
    assert(options.maxBytes >= LENGTH_BYTES, 'a frame holds at least its length')
    this.#options = options
  }

  /** Bytes of an unfinished frame: not zero at the end of a stream means that it was cut off. */
  get pendingBytes(): number {
    return this.#frame === undefined ? this.#lengthFilled : this.#filled
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && !this.#isBad) {
      at = this.#frame === undefined ? this.#begin(bytes, at) : this.#fill(this.#frame, bytes, at)
    }
  }

  #begin(bytes: Uint8Array, at: number): number {
    if (this.#lengthFilled === 0 && bytes.length - at >= LENGTH_BYTES) {
      const lengthBytes = readLength(bytes, at)
      if (!this.#accepts(lengthBytes)) return bytes.length
      if (bytes.length - at >= lengthBytes) {
        this.#options.onFrame(bytes.subarray(at, at + lengthBytes))
        return at + lengthBytes
      }
      this.#frame = Buffer.allocUnsafeSlow(lengthBytes)
      this.#filled = 0
      return at
    }
    const taken = Math.min(LENGTH_BYTES - this.#lengthFilled, bytes.length - at)
    this.#lengthField.set(bytes.subarray(at, at + taken), this.#lengthFilled)
    this.#lengthFilled += taken
    if (this.#lengthFilled === LENGTH_BYTES) this.#beginCut()
    return at + taken
  }

  #beginCut(): void {
    const lengthBytes = readLength(this.#lengthField, 0)
    this.#lengthFilled = 0
    if (!this.#accepts(lengthBytes)) return
    this.#frame = Buffer.allocUnsafeSlow(lengthBytes)
    this.#frame.set(this.#lengthField)
    this.#filled = LENGTH_BYTES
    this.#finish(this.#frame)
  }

  #fill(frame: Buffer, bytes: Uint8Array, at: number): number {
    const taken = Math.min(frame.length - this.#filled, bytes.length - at)
    frame.set(bytes.subarray(at, at + taken), this.#filled)
    this.#filled += taken
    this.#finish(frame)
    return at + taken
  }

  #finish(frame: Buffer): void {
    if (this.#filled < frame.length) return
    this.#frame = undefined
    this.#options.onFrame(frame)
  }

  #accepts(lengthBytes: number): boolean {
    if (lengthBytes >= LENGTH_BYTES && lengthBytes <= this.#options.maxBytes) return true
    this.#isBad = true
    this.#options.onBad(
      `a frame of ${lengthBytes} bytes, at most ${this.#options.maxBytes} allowed`
    )
    return false
  }
}

function readLength(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  )
}
