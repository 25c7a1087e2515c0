/**
 * Our own NBD client: pipelined, for the demo, import and export, and tests.
 *
 * Invariants: every call ends, by an answer, a fault or the time-out; a request that was not
 * answered in time costs the connection, because nobody can tell what became of it; data given to
 * `write` must not change until it resolves.
 */
import { ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { putRequest, REQUEST_BYTES, SIMPLE_REPLY_BYTES } from '../../protocols/nbd/transmission.ts'
import type { DeviceExtent } from '../block-device.ts'
import { systemClock } from '../clock.ts'
import {
  NBD_CLIENT_CONNECT_TIMEOUT_MS,
  NBD_CLIENT_IN_FLIGHT,
  NBD_CLIENT_SWEEP_MS,
  NBD_CLIENT_TIMEOUT_MS
} from '../limits.ts'
import type { Clock } from '../ports.ts'
import { ClientHandshake, type NbdExport, type NbdTerms } from './client-handshake.ts'
import { type Pending, Replies } from './client-replies.ts'
import { ClientSocket, type NbdAddress, type NbdClientTls } from './client-socket.ts'
import { Output } from './output.ts'

export type NbdClientOptions = NbdAddress & {
  readonly exportName: string
  readonly tls?: NbdClientTls
  /** For every request. */
  readonly timeoutMs?: number
  readonly connectTimeoutMs?: number
  /** False: simple replies only. */
  readonly structured?: boolean
  readonly clock?: Clock
}

type Flags = { readonly fua?: boolean }

/** Ranges are any bytes of the export, 32 MiB at most where data is carried. */
export interface NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly terms: NbdTerms
  read: (offsetBytes: number, lengthBytes: number) => Promise<Buffer>
  write: (offsetBytes: number, data: Uint8Array, flags?: Flags) => Promise<void>
  trim: (offsetBytes: number, lengthBytes: number, flags?: Flags) => Promise<void>
  writeZeroes: (
    offsetBytes: number,
    lengthBytes: number,
    flags?: Flags & { noHole?: boolean; fastZero?: boolean }
  ) => Promise<void>
  cache: (offsetBytes: number, lengthBytes: number) => Promise<void>
  flush: () => Promise<void>
  /** May end before `lengthBytes`, and its last extent behind it. */
  blockStatus: (
    offsetBytes: number,
    lengthBytes: number,
    flags?: { one?: boolean }
  ) => Promise<DeviceExtent[]>
  /** The server's exports, asked for on a connection of its own. */
  list: () => Promise<NbdExport[]>
  /** Waits for what is in flight, says goodbye. Idempotent. */
  close: () => Promise<void>
  /** Once, when the connection is over; without `error` after `close`. */
  onClose: (listener: (error?: ShoalError) => void) => void
}

/** Throws UNREACHABLE, TIMEOUT, NOT_FOUND (no such export), NBD_ERROR, BAD_MESSAGE. */
export async function connectNbd(options: NbdClientOptions): Promise<NbdClient> {
  return shake(options, async (socket, failed) => {
    const structured = options.structured ?? true
    const handshake = new ClientHandshake(socket)
    const terms = await handshake.open(options.exportName, { tls: options.tls, structured })
    return new Client(options, socket, terms, failed)
  })
}

export async function listNbdExports(
  options: Omit<NbdClientOptions, 'exportName'> & NbdAddress
): Promise<NbdExport[]> {
  return shake(options, async socket => {
    const exports = await new ClientHandshake(socket).list(options.tls)
    socket.raw.end()
    return exports
  })
}

type Failed = (listener: (error: ShoalError) => void) => void

/** Dials and runs a handshake within the time-out; a failure closes the socket. */
async function shake<T>(
  options: Omit<NbdClientOptions, 'exportName'> & NbdAddress,
  handshake: (socket: ClientSocket, failed: Failed) => Promise<T>
): Promise<T> {
  const { clock = systemClock, connectTimeoutMs = NBD_CLIENT_CONNECT_TIMEOUT_MS } = options
  let onFailure: (error: ShoalError) => void = () => undefined
  const failure = new Promise<never>((_, reject) => {
    onFailure = reject
  })
  failure.catch(() => undefined)
  const socket = new ClientSocket(options, options.tls !== undefined, error => onFailure(error))
  const timer = clock.after(connectTimeoutMs, () => socket.fail(timeout(connectTimeoutMs)))
  try {
    const failed: Failed = listener => {
      onFailure = listener
    }
    return await Promise.race([handshake(socket, failed), failure])
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    socket.fail(error instanceof ShoalError ? error : new ShoalError({ code: 'CLOSED' }, words))
    throw error
  } finally {
    timer.cancel()
  }
}

class Client implements NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly terms: NbdTerms
  readonly #options: NbdClientOptions
  readonly #socket: ClientSocket
  readonly #output: Output
  readonly #clock: Clock
  readonly #timeoutMs: number
  /** In order of their deadlines. */
  readonly #pending = new Map<number, Pending>()
  readonly #cookies = new Map<Pending, number>()
  readonly #closeListeners: Array<(error?: ShoalError) => void> = []
  #lastCookie = 0
  #sweeping = false
  #idle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(options: NbdClientOptions, socket: ClientSocket, terms: NbdTerms, failed: Failed) {
    this.sizeBytes = terms.sizeBytes
    this.readOnly = (terms.flags & nbd.NBD_FLAG_READ_ONLY) !== 0
    this.terms = terms
    this.#options = options
    this.#socket = socket
    this.#clock = options.clock ?? systemClock
    this.#timeoutMs = options.timeoutMs ?? NBD_CLIENT_TIMEOUT_MS
    this.#output = new Output(socket.raw, this.#clock)
    failed(error => this.#onFailure(error))
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

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const data = Buffer.allocUnsafeSlow(lengthBytes)
    if (lengthBytes === 0) return data
    await this.#request(nbd.NBD_CMD_READ, 0, offsetBytes, lengthBytes, { read: data })
    return data
  }

  async write(offsetBytes: number, data: Uint8Array, flags: Flags = {}): Promise<void> {
    if (data.length === 0) return
    await this.#request(nbd.NBD_CMD_WRITE, fua(flags), offsetBytes, data.length, { write: data })
  }

  async trim(offsetBytes: number, lengthBytes: number, flags: Flags = {}): Promise<void> {
    await this.#request(nbd.NBD_CMD_TRIM, fua(flags), offsetBytes, lengthBytes)
  }

  async writeZeroes(
    offsetBytes: number,
    lengthBytes: number,
    flags: Flags & { noHole?: boolean; fastZero?: boolean } = {}
  ): Promise<void> {
    const bits =
      fua(flags) |
      (flags.noHole === true ? nbd.NBD_CMD_FLAG_NO_HOLE : 0) |
      (flags.fastZero === true ? nbd.NBD_CMD_FLAG_FAST_ZERO : 0)
    await this.#request(nbd.NBD_CMD_WRITE_ZEROES, bits, offsetBytes, lengthBytes)
  }

  async cache(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#request(nbd.NBD_CMD_CACHE, 0, offsetBytes, lengthBytes)
  }

  async flush(): Promise<void> {
    await this.#request(nbd.NBD_CMD_FLUSH, 0, 0, 0)
  }

  async blockStatus(
    offsetBytes: number,
    lengthBytes: number,
    flags: { one?: boolean } = {}
  ): Promise<DeviceExtent[]> {
    if (this.terms.allocation === undefined) {
      const message = 'the NBD server does not tell what is allocated'
      throw new ShoalError({ code: 'NBD_ERROR', error: 'ENOTSUP' }, message)
    }
    const bits = flags.one === true ? nbd.NBD_CMD_FLAG_REQ_ONE : 0
    const command = nbd.NBD_CMD_BLOCK_STATUS
    const pending = await this.#request(command, bits, offsetBytes, lengthBytes)
    return pending.extents
  }

  list(): Promise<NbdExport[]> {
    return listNbdExports(this.#options)
  }

  onClose(listener: (error?: ShoalError) => void): void {
    this.#closeListeners.push(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#sayGoodbye()
    return this.#closing
  }

  #request(
    command: number,
    flags: number,
    offsetBytes: number,
    lengthBytes: number,
    data: { read?: Buffer; write?: Uint8Array } = {}
  ): Promise<Pending> {
    const problem = this.#refusal()
    if (problem !== undefined) return Promise.reject(problem)
    const cookieLow = this.#nextCookie()
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        ...{ command, offsetBytes, lengthBytes, reject, data: data.read },
        deadlineMs: this.#clock.monotonicMs() + this.#timeoutMs,
        doing: `NBD ${COMMANDS[command]} of ${lengthBytes} bytes at ${offsetBytes}`,
        resolve: () => resolve(pending),
        ...{ extents: [], receivedBytes: 0, failure: undefined }
      }
      this.#pending.set(cookieLow, pending)
      this.#cookies.set(pending, cookieLow)
      const { block, at } = this.#output.reserve(REQUEST_BYTES)
      const cookieHigh = 0
      putRequest(block, at, { flags, command, cookieHigh, cookieLow, offsetBytes, lengthBytes })
      if (data.write !== undefined) this.#output.put(data.write)
      this.#sweep()
    })
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
    const cookie = this.#cookies.get(pending)
    this.#cookies.delete(pending)
    if (cookie !== undefined) this.#pending.delete(cookie)
    if (failure === undefined) pending.resolve()
    else pending.reject(failure)
    if (this.#pending.size === 0) this.#idle?.()
  }

  /** While something is pending: looks at the oldest, whose deadline is the first. */
  #sweep(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#clock.after(NBD_CLIENT_SWEEP_MS, () => {
      this.#sweeping = false
      const [oldest] = this.#pending.values()
      if (oldest === undefined) return
      if (oldest.deadlineMs > this.#clock.monotonicMs()) this.#sweep()
      else this.#socket.fail(timeout(this.#timeoutMs))
    })
  }

  #onFailure(error: ShoalError): void {
    for (const pending of [...this.#pending.values()]) this.#finish(pending, error)
    const reason = this.#closing === undefined ? error : undefined
    for (const listener of this.#closeListeners) listener(reason)
    this.#idle?.()
  }

  async #sayGoodbye(): Promise<void> {
    if (this.#pending.size > 0) {
      await new Promise<void>(resolve => {
        this.#idle = resolve
      })
    }
    if (this.#socket.failure !== undefined) return
    const closed = new Promise<void>(resolve => {
      this.#closeListeners.push(() => resolve())
    })
    const { block, at } = this.#output.reserve(REQUEST_BYTES)
    const nothing = { flags: 0, cookieHigh: 0, cookieLow: 0, offsetBytes: 0, lengthBytes: 0 }
    putRequest(block, at, { ...nothing, command: nbd.NBD_CMD_DISC })
    const timer = this.#clock.after(this.#timeoutMs, () => {
      this.#socket.fail(timeout(this.#timeoutMs))
    })
    await closed
    timer.cancel()
  }
}

const COMMANDS: Readonly<Record<number, string>> = {
  [nbd.NBD_CMD_READ]: 'read',
  [nbd.NBD_CMD_WRITE]: 'write',
  [nbd.NBD_CMD_FLUSH]: 'flush',
  [nbd.NBD_CMD_TRIM]: 'trim',
  [nbd.NBD_CMD_CACHE]: 'cache',
  [nbd.NBD_CMD_WRITE_ZEROES]: 'write-zeroes',
  [nbd.NBD_CMD_BLOCK_STATUS]: 'block-status'
}

function fua(flags: Flags): number {
  return flags.fua === true ? nbd.NBD_CMD_FLAG_FUA : 0
}

function timeout(afterMs: number): ShoalError {
  return new ShoalError({ code: 'TIMEOUT', afterMs }, `no answer for ${afterMs} ms`)
}
