/**
 * The fields of load messages, written and read in order, big endian.
 *
 * Invariants: a writer is filled exactly; a reader never reads past the end, it refuses.
 */
import { assert } from '../assert.ts'
import type { VolumeId } from '../ids.ts'
import { fromLog16, toLog16 } from './codes.ts'

const VOLUME_BYTES = 16

/** The bytes are no message: caught by the decoder. */
export class Unreadable extends Error {}

export function refuse(): never {
  throw new Unreadable()
}

export class LoadWriter {
  readonly #bytes: Buffer
  #at = 0

  constructor(length: number) {
    this.#bytes = Buffer.alloc(length)
  }

  uint(value: number, width: number): void {
    const fits = Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width)
    assert(fits, 'an integer of a load message fits its field')
    this.#at = this.#bytes.writeUIntBE(value, this.#at, width)
  }

  log(amount: number): void {
    this.uint(toLog16(amount), 2)
  }

  volume(id: VolumeId): void {
    this.#at += this.#bytes.write(id, this.#at, VOLUME_BYTES, 'hex')
  }

  finish(): Uint8Array {
    assert(this.#at === this.#bytes.length, 'a load message fills its bytes')
    return this.#bytes
  }
}

export class LoadReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  uint(width: number): number {
    if (this.#at + width > this.#bytes.length) refuse()
    const value = this.#bytes.readUIntBE(this.#at, width)
    this.#at += width
    return value
  }

  log(): number {
    return fromLog16(this.uint(2)) ?? refuse()
  }

  volume(): VolumeId {
    if (this.#at + VOLUME_BYTES > this.#bytes.length) refuse()
    const text = this.#bytes.toString('hex', this.#at, this.#at + VOLUME_BYTES)
    this.#at += VOLUME_BYTES
    return text as VolumeId
  }

  /** Exactly `length` bytes are left. */
  expect(length: number): void {
    if (this.#bytes.length - this.#at !== length) refuse()
  }
}
