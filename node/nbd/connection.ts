/**
 * One client: its socket, its handshake, then its transmission, and how it ends.
 *
 *   handshake --agreed--> transmission --DISC or end of stream--> leaving --answered--> closed
 *       \___ time-out, nonsense, error ________________\___ linger ____________________/
 *
 * Invariants: whatever a client sends or leaves unread, only its own connection is closed; `settled`
 * resolves after the socket is closed and the device works on none of its requests any more.
 */
import type { Socket } from 'node:net'
import type { ExportList } from '../../protocols/nbd/negotiation.ts'
import { REQUEST_BYTES } from '../../protocols/nbd/transmission.ts'
import type { BlockDevice, DeviceUser, SharedDevice } from '../block-device.ts'
import { NBD_HANDSHAKE_TIMEOUT_MS, NBD_LINGER_MS } from '../limits.ts'
import type { Clock, Log, Timer } from '../ports.ts'
import type { Budget, Share } from './budget.ts'
import { type Agreed, Handshake } from './handshake.ts'
import type { Intake } from './intake.ts'
import { Output } from './output.ts'
import { Transmission } from './transmission.ts'

export interface ServedExport {
  readonly device: BlockDevice | SharedDevice
  readonly readOnly: boolean
}

export interface ConnectionParts {
  readonly id: number
  readonly remote: string
  readonly socket: Socket
  /** Fed by `socket`. */
  readonly intake: Intake
  readonly exports: ExportList & { served: (name: string) => ServedExport | undefined }
  readonly budget: Budget
  readonly clock: Clock
  readonly log: Log
  /** Present where the listener requires TLS: gives the encrypted socket, and feeds the intake. */
  readonly secure: ((socket: Socket, intake: Intake) => Promise<Socket>) | undefined
}

export interface ConnectionInfo {
  readonly id: number
  readonly remote: string
  readonly encrypted: boolean
  /** Absent during the handshake. */
  readonly exportName: string | undefined
  readonly since: number
  readonly requests: number
  readonly inFlight: number
}

export class Connection {
  readonly settled: Promise<void>
  readonly #parts: ConnectionParts
  readonly #since: number
  readonly #share: Share
  readonly #handshake: Handshake
  readonly #deadline: Timer
  readonly #settle: () => void
  #socket: Socket
  #encrypted = false
  #transmission: Transmission | undefined
  #output: Output | undefined
  #exportName: string | undefined
  #user: DeviceUser | undefined
  #leaving = false
  #ending = false
  #lingering = false
  #closed = false

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.#socket = parts.socket
    this.#since = parts.clock.now()
    let settle = () => {}
    this.settled = new Promise(resolve => {
      settle = resolve
    })
    this.#settle = settle
    this.#share = parts.budget.share(() => this.#goOn())
    this.#handshake = new Handshake({
      intake: parts.intake,
      exports: parts.exports,
      tls: parts.secure !== undefined,
      mayGoOn: () => !this.#socket.writableNeedDrain,
      pause: () => this.#socket.pause(),
      send: answer => this.#socket.write(answer),
      startTls: () => void this.#startTls(),
      agreed: agreed => this.#transmit(agreed),
      close: why => this.#endSoon(why)
    })
    this.#deadline = parts.clock.after(NBD_HANDSHAKE_TIMEOUT_MS, () => {
      this.close('the handshake took too long')
    })
  }

  start(): void {
    this.#listen(this.#socket)
    this.#handshake.start()
    this.#socket.resume()
  }

  get exportName(): string | undefined {
    return this.#exportName
  }

  info(): ConnectionInfo {
    return {
      id: this.#parts.id,
      remote: this.#parts.remote,
      encrypted: this.#encrypted,
      exportName: this.#exportName,
      since: this.#since,
      requests: this.#transmission?.requests ?? 0,
      inFlight: this.#share.requests
    }
  }

  /** At once; what the device works on goes on, unanswered. */
  close(why: string): void {
    if (this.#closed) return
    const { id, log } = this.#parts
    log.debug({ connection: id, exportName: this.#exportName, why }, 'nbd: connection closed')
    this.#parts.intake.stop()
    this.#socket.destroy()
  }

  #listen(socket: Socket): void {
    socket.on('error', error => {
      this.#parts.log.debug({ connection: this.#parts.id, error: error.message }, 'nbd: socket')
    })
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#goOn())
    socket.on('close', () => this.#onClose())
  }

  /** Takes up again what was declined, then reads on. */
  #goOn(): void {
    if (this.#closed || this.#leaving) return
    if (this.#transmission === undefined && this.#socket.writableNeedDrain) return
    if (this.#parts.intake.resume()) this.#socket.resume()
  }

  async #startTls(): Promise<void> {
    const { secure, intake } = this.#parts
    if (secure === undefined) return
    const plain = this.#socket
    try {
      plain.pause()
      const encrypted = await secure(plain, intake)
      this.#socket = encrypted
      this.#encrypted = true
      plain.removeAllListeners('end')
      this.#listen(encrypted)
      this.#handshake.secured()
      encrypted.resume()
    } catch (error) {
      this.close(`TLS failed: ${String(error)}`)
    }
  }

  #transmit({ name, structured, allocation }: Agreed): void {
    const { exports, clock, intake, log } = this.#parts
    const served = exports.served(name)
    if (served === undefined) {
      this.close('the export went away')
      return
    }
    this.#deadline.cancel()
    this.#exportName = name
    this.#output = new Output(this.#socket, clock, (requests, bytes) => {
      this.#share.give(requests, bytes)
      if (this.#leaving || this.#closed) this.#leave()
    })
    if ('user' in served.device) this.#user = served.device.user()
    this.#transmission = new Transmission({
      ...served,
      device: this.#user ?? served.device,
      structured,
      allocation,
      intake,
      output: this.#output,
      share: this.#share,
      log,
      pause: () => this.#socket.pause(),
      leave: () => this.#leave(),
      violation: why => {
        log.warn({ connection: this.#parts.id, exportName: name, why }, 'nbd: bad client')
        this.close(why)
      }
    })
    intake.handler = this.#transmission
    intake.headerBytes = REQUEST_BYTES
    log.debug({ connection: this.#parts.id, exportName: name }, 'nbd: client connected')
  }

  #onEnd(): void {
    if (this.#transmission === undefined) this.close('the client left during the handshake')
    else this.#transmission.leave()
  }

  /** Ends when everything admitted was answered and has left. */
  #leave(): void {
    this.#leaving = true
    if (this.#transmission === undefined || this.#transmission.unanswered > 0) return
    if (this.#output?.isEmpty !== true) {
      this.#linger()
      return
    }
    if (this.#closed) this.#settle()
    else this.#endSoon('the client left')
  }

  /** Sends what was written, then closes; a client that does not read is not waited for. */
  #endSoon(why: string): void {
    if (this.#ending) return
    this.#ending = true
    this.#parts.intake.stop()
    this.#linger()
    this.#socket.end(() => this.close(why))
  }

  #linger(): void {
    if (this.#lingering) return
    this.#lingering = true
    const timer = this.#parts.clock.after(NBD_LINGER_MS, () => this.close('lingered too long'))
    this.#socket.once('close', () => timer.cancel())
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#deadline.cancel()
    this.#share.leave()
    this.#parts.intake.stop()
    // Nobody reads the answers any more.
    this.#user?.leave()
    if (this.#transmission === undefined) this.#settle()
    else this.#transmission.leave()
  }
}
