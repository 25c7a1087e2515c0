/**
 * The one place where a libp2p stream becomes a ByteStream: real backpressure both ways.
 *
 *   write --> pending --(once per tick, one send)--> libp2p --> remote
 *   remote --> libp2p --(paused above the mark)--> inbox --> listener
 *
 * Invariants: bytes leave and arrive in order, each once; while libp2p says that it is full nothing
 * more is handed to it; a paused or absent listener stops the remote's writes after at most the
 * receive window; onEnd comes after the last byte, onClose after everything, exactly once. A
 * connection that breaks without the remote's end is an error, never a clean close.
 *
 * What libp2p offers for this loses backpressure (its iterators, onDrain, byteStream): only send()
 * with our own wait for `drain` or `close`, and pause()/resume() at marks, hold.
 */
import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { assert } from '../../protocols/assert.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { READ_HIGH_MARK_BYTES, WRITE_HIGH_MARK_BYTES } from '../limits.ts'
import type { ByteStream, Clock } from '../ports.ts'

export function adaptStream(stream: Stream, peer: NodeId, clock: Pick<Clock, 'soon'>): ByteStream {
  return new StreamAdapter(stream, peer, clock)
}

interface Waiter {
  resolve: () => void
  reject: (error: Error) => void
}

class StreamAdapter implements ByteStream {
  readonly peer: NodeId
  readonly #stream: Stream
  readonly #clock: Pick<Clock, 'soon'>

  #pending: Uint8Array[] = []
  #pendingBytes = 0
  #isFlushScheduled = false
  #isEnding = false
  #waiters: Waiter[] = []

  #inbox: Uint8Array[] = []
  #inboxBytes = 0
  #isPaused = false
  #isDelivering = false
  #remoteFinished = false
  #endDelivered = false

  #closed = false
  #closedCleanly = false
  #error: Error | undefined
  #bytesListener: ((bytes: Uint8Array) => void) | undefined
  #endListener: (() => void) | undefined
  #closeListener: ((error?: Error) => void) | undefined
  #closeDelivered = false

  constructor(stream: Stream, peer: NodeId, clock: Pick<Clock, 'soon'>) {
    this.#stream = stream
    this.peer = peer
    this.#clock = clock
    // A stream that is still open can only have lost its remote end by the remote's own word.
    this.#remoteFinished = stream.status === 'open' && stream.remoteWriteStatus === 'closed'
    stream.addEventListener('message', event => this.#receive(event.data))
    stream.addEventListener('drain', () => this.#flushSoon())
    stream.addEventListener('remoteCloseWrite', () => this.#onRemoteFinished())
    stream.addEventListener('end', () => this.#deliver())
    stream.addEventListener('close', event => this.#onClosed(event.error))
    if (stream.status !== 'open' && stream.status !== 'closing') {
      this.#onClosed(new Error('the stream was closed before it was used'))
    }
  }

  write(bytes: Uint8Array): boolean {
    assert(!this.#isEnding, 'nothing is written after the end')
    if (this.#closed || bytes.length === 0) return true
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    this.#flushSoon()
    return this.#pendingBytes < WRITE_HIGH_MARK_BYTES && !this.#stream.writableNeedsDrain
  }

  drained(): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closeReason())
    if (this.#isDrained()) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  onBytes(listener: (bytes: Uint8Array) => void): void {
    this.#bytesListener = listener
    this.#deliverSoon()
  }

  onEnd(listener: () => void): void {
    this.#endListener = listener
    this.#deliverSoon()
  }

  onClose(listener: (error?: Error) => void): void {
    this.#closeListener = listener
    this.#deliverSoon()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#deliverSoon()
  }

  async end(): Promise<void> {
    if (this.#isEnding || this.#closed) return
    this.#isEnding = true
    while (this.#pendingBytes > 0 || this.#stream.writableNeedsDrain) await this.#sent()
    await this.#stream.close()
  }

  abort(reason: Error): void {
    if (this.#closed) return
    this.#stream.abort(reason)
    this.#onClosed(reason)
  }

  // -- writing

  #flushSoon(): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    this.#clock.soon(() => {
      this.#isFlushScheduled = false
      this.#flush()
    })
  }

  /** `drain` may fire while libp2p still holds unsent bytes; writableNeedsDrain tells. */
  #flush(): void {
    if (this.#closed) return
    if (!this.#stream.writableNeedsDrain && this.#pending.length > 0) {
      const batch = new Uint8ArrayList(...this.#pending)
      this.#pending = []
      this.#pendingBytes = 0
      try {
        this.#stream.send(batch)
      } catch (error) {
        this.#onClosed(error instanceof Error ? error : new Error(String(error)))
        return
      }
    }
    if (this.#isDrained()) this.#wake()
  }

  #isDrained(): boolean {
    return !this.#stream.writableNeedsDrain && this.#pendingBytes < WRITE_HIGH_MARK_BYTES / 2
  }

  #sent(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve()
  }

  // -- reading

  #receive(data: Uint8Array | Uint8ArrayList): void {
    if (this.#closed && !this.#closedCleanly) return
    if (data instanceof Uint8Array) this.#inbox.push(data)
    else for (const part of data) this.#inbox.push(part)
    this.#inboxBytes += data.byteLength
    this.#deliver()
    if (this.#inboxBytes >= READ_HIGH_MARK_BYTES && !this.#remoteFinished) this.#pauseSource()
  }

  /** No more can come than libp2p already holds: take it, so that its buffers are free. */
  #onRemoteFinished(): void {
    this.#remoteFinished = true
    this.#resumeSource()
    this.#deliverSoon()
  }

  #deliverSoon(): void {
    this.#clock.soon(() => this.#deliver())
  }

  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      this.#deliverBytes()
    } finally {
      this.#isDelivering = false
    }
    if (this.#inboxBytes < READ_HIGH_MARK_BYTES / 2) this.#resumeSource()
    this.#deliverEnd()
    this.#deliverClose()
  }

  #deliverBytes(): void {
    let taken = 0
    try {
      while (taken < this.#inbox.length && !this.#isPaused && this.#bytesListener !== undefined) {
        const bytes = this.#inbox[taken++]
        if (bytes === undefined) break
        this.#inboxBytes -= bytes.length
        this.#bytesListener(bytes)
      }
    } catch (error) {
      // A listener's bug ends its stream, which tells its owner why, and nothing else.
      this.abort(error instanceof Error ? error : new Error(String(error)))
    }
    // An abort in the listener has already replaced the inbox by an empty one.
    if (taken > 0) this.#inbox = this.#inbox.slice(taken)
  }

  #deliverEnd(): void {
    if (!this.#remoteFinished || this.#endDelivered || this.#inbox.length > 0) return
    if (this.#stream.readBufferLength > 0) return
    if (this.#closed && !this.#closedCleanly) return
    if (this.#endListener === undefined || this.#isPaused) return
    this.#endDelivered = true
    this.#endListener()
  }

  #deliverClose(): void {
    if (!this.#closed || this.#closeDelivered || this.#closeListener === undefined) return
    const isUnread =
      this.#inbox.length > 0 || (this.#endListener !== undefined && !this.#endDelivered)
    if (this.#closedCleanly && isUnread) return
    this.#closeDelivered = true
    this.#closeListener(this.#error)
  }

  #pauseSource(): void {
    if (this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  #resumeSource(): void {
    if (this.#stream.readStatus !== 'paused') return
    try {
      this.#stream.resume()
    } catch (error) {
      // The window update of a stream whose connection is gone; its close event tells the rest.
      this.#stream.log.error('could not resume - %e', error)
    }
  }

  // -- the end

  #onClosed(error: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    this.#closedCleanly = error === undefined && this.#remoteFinished
    this.#error = this.#closedCleanly ? undefined : (error ?? new Error('the connection was lost'))
    this.#pending = []
    this.#pendingBytes = 0
    if (!this.#closedCleanly) {
      this.#inbox = []
      this.#inboxBytes = 0
    }
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.reject(this.#closeReason())
    this.#deliverSoon()
  }

  #closeReason(): Error {
    return this.#error ?? new Error('the stream is closed')
  }
}
