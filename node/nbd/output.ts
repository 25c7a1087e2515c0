/**
 * What leaves a connection. Everything that was put in during one tick leaves with one write:
 * headers and small parts are gathered in a block, large parts are sent as they are (writev).
 *
 * Invariants: bytes leave in the order in which they were put; a block is used again only after
 * the socket said that it was written; `onWritten` reports every cost exactly once, when the bytes
 * that it was put in with have left (or never will).
 */
import type { Duplex } from 'node:stream'
import { assert } from '../../protocols/assert.ts'
import { NBD_GATHER_BYTES, NBD_OUTPUT_BLOCK_BYTES, NBD_SPARE_BLOCKS } from '../limits.ts'
import type { Clock } from '../ports.ts'

const spareBlocks: Buffer[] = []

export class Output {
  readonly #socket: Duplex
  readonly #clock: Clock
  readonly #onWritten: (requests: number, bytes: number) => void
  #block: Buffer | undefined
  #blockStart = 0
  #blockEnd = 0
  #parts: Uint8Array[] = []
  #usedBlocks: Buffer[] = []
  #requests = 0
  #bytes = 0
  #scheduled = false
  #writing = 0

  constructor(
    socket: Duplex,
    clock: Clock,
    onWritten: (requests: number, bytes: number) => void = () => undefined
  ) {
    this.#socket = socket
    this.#clock = clock
    this.#onWritten = onWritten
  }

  /** Nothing is waiting to be handed to the kernel. */
  get isEmpty(): boolean {
    return !this.#scheduled && this.#writing === 0
  }

  /** Room for `length` bytes (a header), which the caller fills in this tick: the block and where. */
  reserve(length: number): { block: Buffer; at: number } {
    assert(length <= NBD_OUTPUT_BLOCK_BYTES, 'a gathered part fits a block')
    let block = this.#block
    if (block === undefined || this.#blockEnd + length > block.length) {
      this.#cut()
      block = spareBlocks.pop() ?? Buffer.allocUnsafeSlow(NBD_OUTPUT_BLOCK_BYTES)
      this.#block = block
      this.#usedBlocks.push(block)
      this.#blockStart = 0
      this.#blockEnd = 0
    }
    const at = this.#blockEnd
    this.#blockEnd += length
    this.#schedule()
    return { block, at }
  }

  /** Sends `part` next: copied if small, else by reference. */
  put(part: Uint8Array): void {
    if (part.length < NBD_GATHER_BYTES) {
      const { block, at } = this.reserve(part.length)
      block.set(part, at)
      return
    }
    this.#cut()
    this.#parts.push(part)
    this.#schedule()
  }

  /** What was put in so far ends the answer to a request that cost `bytes`. */
  charge(bytes: number): void {
    this.#requests++
    this.#bytes += bytes
    this.#schedule()
  }

  /** Ends the gathered part; what follows begins another. */
  #cut(): void {
    if (this.#block === undefined || this.#blockEnd === this.#blockStart) return
    this.#parts.push(this.#block.subarray(this.#blockStart, this.#blockEnd))
    this.#blockStart = this.#blockEnd
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#clock.soon(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    this.#cut()
    const parts = this.#parts
    const blocks = this.#usedBlocks
    const requests = this.#requests
    const bytes = this.#bytes
    this.#parts = []
    this.#usedBlocks = []
    this.#block = undefined
    this.#requests = 0
    this.#bytes = 0
    const last = parts.pop()
    if (last === undefined || this.#socket.destroyed) {
      this.#onWritten(requests, bytes)
      return
    }
    this.#writing++
    const written = (error?: Error | null) => {
      this.#writing--
      // After an error the kernel may still hold the blocks: they are left to the collector.
      if (!error) recycle(blocks)
      this.#onWritten(requests, bytes)
    }
    if (parts.length === 0) {
      this.#socket.write(last, written)
      return
    }
    this.#socket.cork()
    for (const part of parts) this.#socket.write(part)
    this.#socket.write(last, written)
    this.#socket.uncork()
  }
}

function recycle(blocks: readonly Buffer[]): void {
  for (const block of blocks) {
    if (spareBlocks.length < NBD_SPARE_BLOCKS) spareBlocks.push(block)
  }
}
