/** Dialling for our NBD client: the connection, its failure, and the bytes that were asked for. */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ShoalError } from '../../protocols/fault.ts'
import { Intake, type IntakeHandler } from './intake.ts'
import { listenInto, onreadInto } from './receive.ts'

export type NbdAddress =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number }

/** PEM texts. */
export interface NbdClientTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** What the server's certificate has to name, if not the host. */
  readonly serverName?: string
}

const MAX_FIRST_PIECE_BYTES = 16

export class ClientSocket {
  readonly intake: Intake
  readonly #address: NbdAddress
  readonly #onFailure: (error: ShoalError) => void
  #socket: Socket
  #failure: ShoalError | undefined

  /** `onFailure` is called once, when the connection is over for whatever reason. */
  constructor(address: NbdAddress, encrypted: boolean, onFailure: (error: ShoalError) => void) {
    this.#address = address
    this.#onFailure = onFailure
    this.intake = new Intake(new Pull(), 1)
    const where = 'socketPath' in address ? { path: address.socketPath } : { ...address }
    const onread = encrypted ? {} : { onread: onreadInto(this.intake) }
    this.#socket = connectTcp({ ...where, ...onread, noDelay: true })
    if (encrypted) listenInto(this.#socket, this.intake)
    this.#listen(this.#socket)
  }

  get raw(): Socket {
    return this.#socket
  }

  get failure(): ShoalError | undefined {
    return this.#failure
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** Takes up what was declined, and reads on. */
  goOn(): void {
    if (this.intake.resume()) this.#socket.resume()
  }

  pause(): void {
    this.#socket.pause()
  }

  fail(error: ShoalError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.intake.stop()
    this.#socket.destroy()
    this.#onFailure(error)
  }

  /** TLS from here on; everything before it was read. */
  secure(tls: NbdClientTls): Promise<void> {
    const host = 'host' in this.#address ? this.#address.host : 'localhost'
    return new Promise((resolve, reject) => {
      const plain = this.#socket
      plain.removeAllListeners('data')
      const { ca, cert, key, serverName = host } = tls
      const socket = connectTls({ socket: plain, ca, cert, key, host: serverName }, resolve)
      socket.once('close', () => reject(this.#failure))
      listenInto(socket, this.intake)
      this.#socket = socket
      this.#listen(socket)
    })
  }

  #listen(socket: Socket): void {
    const where = nameOf(this.#address)
    socket.on('error', cause => {
      const message = `the NBD server at ${where} cannot be reached: ${cause.message}`
      this.fail(new ShoalError({ code: 'UNREACHABLE', peer: where }, message, { cause }))
    })
    socket.on('close', () => {
      const message = `the NBD server at ${where} closed the connection`
      this.fail(new ShoalError({ code: 'CLOSED' }, message))
    })
  }
}

/** Gives bytes to one who asks for so many; nothing is read meanwhile. */
export class Pull implements IntakeHandler {
  #wanted: { readonly bytes: Buffer; readonly resolve: (bytes: Buffer) => void } | undefined
  #socket: ClientSocket | undefined

  attach(socket: ClientSocket): void {
    this.#socket = socket
    socket.intake.handler = this
  }

  take(length: number): Promise<Buffer> {
    const socket = this.#socket
    const bytes = Buffer.alloc(length)
    if (length === 0 || socket === undefined) return Promise.resolve(bytes)
    return new Promise(resolve => {
      this.#wanted = { bytes, resolve }
      socket.intake.headerBytes = Math.min(length, MAX_FIRST_PIECE_BYTES)
      socket.goOn()
    })
  }

  onHeader(bytes: Buffer, at: number): boolean {
    const wanted = this.#wanted
    if (wanted === undefined) {
      this.#socket?.pause()
      return false
    }
    const first = Math.min(wanted.bytes.length, MAX_FIRST_PIECE_BYTES)
    bytes.copy(wanted.bytes, 0, at, at + first)
    if (first < wanted.bytes.length) this.#socket?.intake.expect(wanted.bytes.subarray(first))
    else this.#give()
    return true
  }

  onPayload(): void {
    this.#give()
  }

  #give(): void {
    const wanted = this.#wanted
    this.#wanted = undefined
    if (this.#socket !== undefined) this.#socket.intake.headerBytes = 1
    wanted?.resolve(wanted.bytes)
  }
}

function nameOf(address: NbdAddress): string {
  return 'socketPath' in address ? address.socketPath : `${address.host}:${address.port}`
}
