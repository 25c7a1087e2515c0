/**
 * The requests that our client has in flight on one connection, and how each of them ends.
 *
 * Invariants: every request ends, by its reply, a fault of the connection, or the time-out, which
 * costs the connection, because nobody can tell what became of the request.
 */
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { putRequest, REQUEST_BYTES, SIMPLE_REPLY_BYTES } from '../../protocols/nbd/transmission.ts'
import { NBD_CLIENT_IN_FLIGHT, NBD_CLIENT_SWEEP_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { NbdTerms } from './client-handshake.ts'
import { type Pending, Replies } from './client-replies.ts'
import type { ClientSocket } from './client-socket.ts'
import { Output } from './output.ts'

export interface ClientRequest {
  readonly command: number
  readonly flags: number
  readonly offsetBytes: number
  readonly lengthBytes: number
  /** Where a read goes. */
  readonly target?: Buffer
  /** What a write carries; kept by reference until it has left. */
  readonly payload?: Uint8Array
}

const MAX_LENGTH = 2 ** 32 - 1

const COMMANDS: Readonly<Record<number, string>> = {
  [nbd.NBD_CMD_READ]: 'read',
  [nbd.NBD_CMD_WRITE]: 'write',
  [nbd.NBD_CMD_FLUSH]: 'flush',
  [nbd.NBD_CMD_TRIM]: 'trim',
  [nbd.NBD_CMD_CACHE]: 'cache',
  [nbd.NBD_CMD_WRITE_ZEROES]: 'write-zeroes',
  [nbd.NBD_CMD_BLOCK_STATUS]: 'block-status'
}

export class Requests {
  readonly #socket: ClientSocket
  readonly #output: Output
  readonly #clock: Clock
  readonly #timeoutMs: number
  /** By cookie, in order of their deadlines. */
  readonly #pending = new Map<number, Pending>()
  readonly #closeListeners: Array<(error?: ShoalError) => void> = []
  #lastCookie = 0
  #sweeping = false
  #onIdle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(socket: ClientSocket, terms: NbdTerms, clock: Clock, timeoutMs: number) {
    this.#socket = socket
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#output = new Output(socket.raw, clock)
    const { intake } = socket
    intake.handler = new Replies({
      intake,
      structured: terms.structured,
      allocation: terms.allocation,
      pending: (high, low) => (high === 0 ? this.#pending.get(low) : undefined),
      finish: (pending, failure) => this.#finish(pending, failure),
      violation: error => socket.fail(error)
    })
    intake.headerBytes = SIMPLE_REPLY_BYTES
    socket.goOn()
  }

  /** Resolves with what the reply brought. Rejects LIMIT, CLOSED, NBD_ERROR, TIMEOUT ... */
  send(request: ClientRequest): Promise<Pending> {
    const { command, offsetBytes, lengthBytes, payload } = request
    assert(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0, 'an offset is a whole number')
    assert(lengthBytes >= 0 && lengthBytes <= MAX_LENGTH, 'a length has 32 bits')
    const problem = this.#refusal()
    if (problem !== undefined) return Promise.reject(problem)
    const cookie = this.#nextCookie()
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        ...{ cookie, command, offsetBytes, lengthBytes, reject, data: request.target },
        deadlineMs: this.#clock.monotonicMs() + this.#timeoutMs,
        doing: `NBD ${COMMANDS[command]} of ${lengthBytes} bytes at ${offsetBytes}`,
        resolve: () => resolve(pending),
        ...{ extents: [], receivedBytes: 0, failure: undefined }
      }
      this.#pending.set(cookie, pending)
      this.#put(request, cookie)
      if (payload !== undefined) this.#output.put(payload)
      this.#sweep()
    })
  }

  onClose(listener: (error?: ShoalError) => void): void {
    this.#closeListeners.push(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#sayGoodbye()
    return this.#closing
  }

  /** The connection is over. */
  fail(error: ShoalError): void {
    for (const pending of [...this.#pending.values()]) this.#finish(pending, error)
    const reason = this.#closing === undefined ? error : undefined
    for (const listener of this.#closeListeners) listener(reason)
    this.#onIdle?.()
  }

  #put({ command, flags, offsetBytes, lengthBytes }: ClientRequest, cookieLow: number): void {
    const { block, at } = this.#output.reserve(REQUEST_BYTES)
    const cookieHigh = 0
    putRequest(block, at, { flags, command, cookieHigh, cookieLow, offsetBytes, lengthBytes })
  }

  #refusal(): ShoalError | undefined {
    if (this.#socket.failure !== undefined) return this.#socket.failure
    if (this.#closing !== undefined) {
      return new ShoalError({ code: 'CLOSED' }, 'the NBD client was closed')
    }
    if (this.#pending.size < NBD_CLIENT_IN_FLIGHT) return undefined
    const message = `more than ${NBD_CLIENT_IN_FLIGHT} NBD requests at a time`
    return new ShoalError({ code: 'LIMIT', limit: 'NBD_CLIENT_IN_FLIGHT' }, message)
  }

  #nextCookie(): number {
    do this.#lastCookie = (this.#lastCookie + 1) >>> 0
    while (this.#pending.has(this.#lastCookie))
    return this.#lastCookie
  }

  #finish(pending: Pending, failure: Error | undefined): void {
    this.#pending.delete(pending.cookie)
    if (failure === undefined) pending.resolve()
    else pending.reject(failure)
    if (this.#pending.size === 0) this.#onIdle?.()
  }

  /** While something is pending: looks at the oldest, whose deadline is the first. */
  #sweep(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#clock.after(Math.min(NBD_CLIENT_SWEEP_MS, this.#timeoutMs), () => {
      this.#sweeping = false
      const [oldest] = this.#pending.values()
      if (oldest === undefined) return
      if (oldest.deadlineMs > this.#clock.monotonicMs()) this.#sweep()
      else this.#socket.fail(timeoutFault(this.#timeoutMs))
    })
  }

  async #sayGoodbye(): Promise<void> {
    if (this.#pending.size > 0) {
      await new Promise<void>(resolve => {
        this.#onIdle = resolve
      })
    }
    if (this.#socket.failure !== undefined) return
    const closed = new Promise<void>(resolve => {
      this.#closeListeners.push(() => resolve())
    })
    this.#put({ command: nbd.NBD_CMD_DISC, flags: 0, offsetBytes: 0, lengthBytes: 0 }, 0)
    const timer = this.#clock.after(this.#timeoutMs, () => {
      this.#socket.fail(timeoutFault(this.#timeoutMs))
    })
    await closed
    timer.cancel()
  }
}

export function timeoutFault(afterMs: number): ShoalError {
  return new ShoalError({ code: 'TIMEOUT', afterMs }, `no answer for ${afterMs} ms`)
}
