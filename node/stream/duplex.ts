/**
 * A ByteStream as the {source, sink} pair that it-pipe composes, so that control streams read as
 * `pipe(requests, encode, duplex, decode, answers)`. Off the data path: one await per chunk.
 *
 * Invariants: the source is read at most one chunk ahead of its consumer (the rest waits in the
 * adapter and then at the remote); the sink awaits `drained` whenever the stream is full; either
 * side throws if the stream breaks, and an abandoned source aborts the stream.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import type { ByteStream } from '../ports.ts'

export interface StreamDuplex {
  source: AsyncGenerator<Uint8Array, void, unknown>
  /** Writes everything, then ends our side. */
  sink: (
    source: AsyncIterable<Uint8Array | Uint8ArrayList> | Iterable<Uint8Array | Uint8ArrayList>
  ) => Promise<void>
}

/** Must be called in the tick in which the stream was received. */
export function duplex(stream: ByteStream): StreamDuplex {
  return { source: read(stream, new Inbox(stream)), sink: chunks => write(stream, chunks) }
}

class Inbox {
  readonly #stream: ByteStream
  #chunks: Uint8Array[] = []
  #isOver = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(stream: ByteStream) {
    this.#stream = stream
    stream.onBytes(bytes => {
      this.#chunks.push(bytes)
      stream.pause()
      this.#wake?.()
    })
    stream.onEnd(() => this.#finish())
    stream.onClose(error => this.#finish(error ?? undefined))
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0 && !this.#isOver) {
      this.#stream.resume()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const chunk = this.#chunks.shift()
    if (chunk === undefined && this.#error !== undefined) throw this.#error
    return chunk
  }

  #finish(error?: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    this.#wake?.()
  }
}

async function* read(stream: ByteStream, inbox: Inbox): AsyncGenerator<Uint8Array, void, unknown> {
  let isComplete = false
  try {
    for (;;) {
      const chunk = await inbox.next()
      if (chunk === undefined) break
      yield chunk
    }
    isComplete = true
  } finally {
    if (!isComplete) stream.abort(new Error('the reader stopped before the end'))
  }
}

async function write(
  stream: ByteStream,
  chunks: AsyncIterable<Uint8Array | Uint8ArrayList> | Iterable<Uint8Array | Uint8ArrayList>
): Promise<void> {
  try {
    for await (const chunk of chunks) {
      const parts = chunk instanceof Uint8Array ? [chunk] : chunk
      let isFull = false
      for (const part of parts) isFull = !stream.write(part)
      if (isFull) await stream.drained()
    }
    await stream.end()
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
