/**
 * Cuts a byte stream into headers of known length and payloads, without ever joining buffers.
 *
 *   bytes --> [ header | payload or skipped | header | ... ] --> handler
 *
 * Invariants: a payload is copied once, into its place, or received there in the first place
 * (`target`); bytes given to `push` are not referred to after it returns; what a handler declines
 * is kept (at most one receive buffer) and offered again by `resume`.
 */
import { assert } from '../../protocols/assert.ts'
import { NBD_DIRECT_BYTES, NBD_RECEIVE_BYTES } from '../limits.ts'

export interface IntakeHandler {
  /** A header begins at `at`. False: not now; it is offered again after `resume`. */
  onHeader: (bytes: Buffer, at: number) => boolean
  /** What was asked for by `expect` or `skip` in onHeader is complete. */
  onPayload: (payload: Buffer | undefined) => void
}

const MAX_HEADER_BYTES = 64

/** Shared by all connections: it is empty again before anybody else receives. */
const receiveBuffer = Buffer.allocUnsafeSlow(NBD_RECEIVE_BYTES)

export class Intake {
  handler: IntakeHandler
  /** Length of the next header; a handler may change it whenever it is called. */
  headerBytes: number
  readonly #carry = Buffer.alloc(MAX_HEADER_BYTES)
  #carried = 0
  #payload: Buffer | undefined
  #filled = 0
  #skipping = 0
  #held: Buffer | undefined
  #stopped = false
  #busy = false

  constructor(handler: IntakeHandler, headerBytes: number) {
    this.handler = handler
    this.headerBytes = headerBytes
  }

  /** Where the next bytes should be received. */
  target(): Buffer {
    const payload = this.#payload
    if (payload === undefined || payload.length - this.#filled < NBD_DIRECT_BYTES) {
      return receiveBuffer
    }
    return payload.subarray(this.#filled)
  }

  /** The bytes after this header are a payload that belongs into `payload` (not empty). */
  expect(payload: Buffer): void {
    assert(payload.length > 0 && this.#payload === undefined, 'one payload at a time, not empty')
    this.#payload = payload
    this.#filled = 0
  }

  /** The `length` bytes (not 0) after this header are thrown away. */
  skip(length: number): void {
    assert(length > 0 && this.#skipping === 0, 'one payload at a time, not empty')
    this.#skipping = length
  }

  /** Everything that still arrives is ignored. */
  stop(): void {
    this.#stopped = true
    this.#held = undefined
  }

  push(bytes: Buffer): void {
    if (this.#stopped) return
    if (this.#held !== undefined) {
      // Only a socket that delivers although it was paused comes here; it stops after this.
      this.#held = Buffer.concat([this.#held, bytes])
      return
    }
    this.#consume(bytes)
  }

  /** Offers again what was declined. True: all of it was taken. */
  resume(): boolean {
    const held = this.#held
    if (held === undefined || this.#busy) return held === undefined
    this.#held = undefined
    this.#consume(held)
    return this.#held === undefined
  }

  #consume(bytes: Buffer): void {
    this.#busy = true
    let at = 0
    while (at < bytes.length && !this.#stopped) {
      const next = this.#step(bytes, at)
      if (next === undefined) {
        this.#held = Buffer.from(bytes.subarray(at))
        break
      }
      at = next
    }
    this.#busy = false
  }

  /** How far it got; undefined if the handler declined the header. */
  #step(bytes: Buffer, at: number): number | undefined {
    if (this.#payload !== undefined) return this.#fill(this.#payload, bytes, at)
    if (this.#skipping > 0) {
      const length = Math.min(this.#skipping, bytes.length - at)
      this.#skipping -= length
      if (this.#skipping === 0) this.handler.onPayload(undefined)
      return at + length
    }
    if (this.#carried === 0 && bytes.length - at >= this.headerBytes) {
      const length = this.headerBytes
      return this.handler.onHeader(bytes, at) ? at + length : undefined
    }
    return this.#carryOn(bytes, at)
  }

  /** A header that came in pieces. If it is declined, its last piece is held. */
  #carryOn(bytes: Buffer, at: number): number | undefined {
    const length = Math.min(this.headerBytes - this.#carried, bytes.length - at)
    bytes.copy(this.#carry, this.#carried, at, at + length)
    if (this.#carried + length < this.headerBytes) {
      this.#carried += length
      return at + length
    }
    const before = this.#carried
    this.#carried = 0
    if (this.handler.onHeader(this.#carry, 0)) return at + length
    this.#carried = before
    return undefined
  }

  #fill(payload: Buffer, bytes: Buffer, at: number): number {
    const length = Math.min(payload.length - this.#filled, bytes.length - at)
    const inPlace =
      bytes.buffer === payload.buffer && bytes.byteOffset + at === payload.byteOffset + this.#filled
    if (!inPlace) bytes.copy(payload, this.#filled, at, at + length)
    this.#filled += length
    if (this.#filled === payload.length) {
      this.#payload = undefined
      this.handler.onPayload(payload)
    }
    return at + length
  }
}
