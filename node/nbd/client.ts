/**
 * Our own NBD client: pipelined, for the demo, import and export, and tests.
 *
 * Invariants: every call ends, by an answer, a fault or the time-out, whatever the server does;
 * data given to `write` must not change until it resolves.
 */
import { ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import type { DeviceExtent } from '../block-device.ts'
import { systemClock } from '../clock.ts'
import { NBD_CLIENT_CONNECT_TIMEOUT_MS, NBD_CLIENT_TIMEOUT_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import { ClientHandshake, type NbdExport, type NbdTerms } from './client-handshake.ts'
import { Requests, timeoutFault } from './client-requests.ts'
import { ClientSocket, type NbdAddress, type NbdClientTls } from './client-socket.ts'

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

type Fua = { readonly fua?: boolean }
type Zero = Fua & { readonly noHole?: boolean; readonly fastZero?: boolean }

/** Ranges are any bytes of the export; where data is carried, `terms.maximumBlockBytes` at most. */
export interface NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly terms: NbdTerms
  read: (offsetBytes: number, lengthBytes: number) => Promise<Buffer>
  write: (offsetBytes: number, data: Uint8Array, flags?: Fua) => Promise<void>
  trim: (offsetBytes: number, lengthBytes: number, flags?: Fua) => Promise<void>
  writeZeroes: (offsetBytes: number, lengthBytes: number, flags?: Zero) => Promise<void>
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
    const { clock = systemClock, timeoutMs = NBD_CLIENT_TIMEOUT_MS } = options
    const requests = new Requests(socket, terms, clock, timeoutMs)
    failed(error => requests.fail(error))
    return new Client(options, terms, requests)
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
  const timer = clock.after(connectTimeoutMs, () => socket.fail(timeoutFault(connectTimeoutMs)))
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
  readonly #requests: Requests

  constructor(options: NbdClientOptions, terms: NbdTerms, requests: Requests) {
    this.sizeBytes = terms.sizeBytes
    this.readOnly = (terms.flags & nbd.NBD_FLAG_READ_ONLY) !== 0
    this.terms = terms
    this.#options = options
    this.#requests = requests
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(lengthBytes)
    if (lengthBytes === 0) return target
    const command = nbd.NBD_CMD_READ
    await this.#requests.send({ command, flags: 0, offsetBytes, lengthBytes, target })
    return target
  }

  async write(offsetBytes: number, payload: Uint8Array, flags: Fua = {}): Promise<void> {
    const lengthBytes = payload.length
    if (lengthBytes === 0) return
    const { maximumBlockBytes } = this.terms
    if (lengthBytes > maximumBlockBytes) {
      const message = `${lengthBytes} bytes in one write: ${maximumBlockBytes} are the maximum`
      throw new ShoalError({ code: 'LIMIT', limit: 'maximumBlockBytes' }, message)
    }
    const command = nbd.NBD_CMD_WRITE
    await this.#requests.send({ command, flags: bits(flags), offsetBytes, lengthBytes, payload })
  }

  async trim(offsetBytes: number, lengthBytes: number, flags: Fua = {}): Promise<void> {
    const command = nbd.NBD_CMD_TRIM
    await this.#requests.send({ command, flags: bits(flags), offsetBytes, lengthBytes })
  }

  async writeZeroes(offsetBytes: number, lengthBytes: number, flags: Zero = {}): Promise<void> {
    const command = nbd.NBD_CMD_WRITE_ZEROES
    await this.#requests.send({ command, flags: bits(flags), offsetBytes, lengthBytes })
  }

  async cache(offsetBytes: number, lengthBytes: number): Promise<void> {
    const command = nbd.NBD_CMD_CACHE
    await this.#requests.send({ command, flags: 0, offsetBytes, lengthBytes })
  }

  async flush(): Promise<void> {
    const command = nbd.NBD_CMD_FLUSH
    await this.#requests.send({ command, flags: 0, offsetBytes: 0, lengthBytes: 0 })
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
    const command = nbd.NBD_CMD_BLOCK_STATUS
    const request = { command, flags: bits(flags), offsetBytes, lengthBytes }
    return (await this.#requests.send(request)).extents
  }

  list(): Promise<NbdExport[]> {
    return listNbdExports(this.#options)
  }

  onClose(listener: (error?: ShoalError) => void): void {
    this.#requests.onClose(listener)
  }

  close(): Promise<void> {
    return this.#requests.close()
  }
}

function bits(flags: Zero & { one?: boolean }): number {
  return (
    (flags.fua === true ? nbd.NBD_CMD_FLAG_FUA : 0) |
    (flags.noHole === true ? nbd.NBD_CMD_FLAG_NO_HOLE : 0) |
    (flags.fastZero === true ? nbd.NBD_CMD_FLAG_FAST_ZERO : 0) |
    (flags.one === true ? nbd.NBD_CMD_FLAG_REQ_ONE : 0)
  )
}
