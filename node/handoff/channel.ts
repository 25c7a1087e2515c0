/**
 * The handoff stream as frames, with backpressure: `send` resolves when there is room for more.
 *
 * Invariants: after `closed` was told nothing arrives any more; a frame that makes no sense closes
 * the stream; `closed` is told once, whoever closed it.
 */
import { messageOf } from '../../protocols/fault.ts'
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  MAX_HANDOFF_FRAME_BYTES
} from '../../protocols/handoff/messages.ts'
import type { ByteStream } from '../ports.ts'
import { FrameReader } from '../stream/frames.ts'

export interface ChannelListener {
  received: (frame: Frame) => void
  closed: (why: string) => void
}

export class HandoffChannel {
  readonly #stream: ByteStream
  readonly #listener: ChannelListener
  #isOpen = true

  /** In the tick in which the stream was received. */
  constructor(stream: ByteStream, listener: ChannelListener) {
    this.#stream = stream
    this.#listener = listener
    const reader = new FrameReader({
      maxBytes: MAX_HANDOFF_FRAME_BYTES,
      onFrame: bytes => this.#decode(bytes),
      onBad: why => this.close(why)
    })
    stream.onBytes(bytes => {
      if (this.#isOpen) reader.push(bytes)
    })
    stream.onEnd(() => this.close('the other side ended the stream'))
    stream.onClose(error => this.close(error === undefined ? 'closed' : messageOf(error)))
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** True at once while there is room; else whether the stream took it. Data is kept by reference. */
  send(frame: Frame): true | Promise<boolean> {
    if (!this.#isOpen) return Promise.resolve(false)
    let hasRoom = true
    for (const part of encodeFrame(frame)) hasRoom = this.#stream.write(part)
    if (hasRoom) return true
    return this.#stream.drained().then(
      () => this.#isOpen,
      () => false
    )
  }

  /** Sends what is queued, then closes. */
  async end(why: string): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#stream.end().catch(() => {})
    this.#listener.closed(why)
  }

  close(why: string): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#stream.abort(new Error(why))
    this.#listener.closed(why)
  }

  #decode(bytes: Uint8Array): void {
    if (!this.#isOpen) return
    const frame = decodeFrame(bytes)
    if (typeof frame === 'string') this.close(`a frame of a handoff makes no sense: ${frame}`)
    else this.#listener.received(frame)
  }
}
