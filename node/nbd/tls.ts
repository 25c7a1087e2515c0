/**
 * TLS on a connection that began in the clear (NBD_OPT_STARTTLS), server's side. A client must show
 * a certificate of the given authority: reaching the port is not a right to the volumes.
 */
import type { Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { ShoalError } from '../../protocols/fault.ts'
import type { Intake } from './intake.ts'
import { listenInto } from './receive.ts'

/** PEM texts. */
export interface NbdServerTls {
  readonly cert: string
  readonly key: string
  readonly clientCa: string
}

export type Secure = (socket: Socket, intake: Intake) => Promise<TLSSocket>

/** Throws ShoalError BAD_INPUT if the certificate or key cannot be used. */
export function createSecure({ cert, key, clientCa }: NbdServerTls): Secure {
  const waiting = new Map<string, (socket: TLSSocket) => void>()
  const server = openServer()
  server.on('secureConnection', socket => waiting.get(addressOf(socket))?.(socket))

  return (socket, intake) => {
    return new Promise((resolve, reject) => {
      const address = addressOf(socket)
      const over = (why: string) => reject(new ShoalError({ code: 'CLOSED' }, why))
      waiting.set(address, encrypted => {
        waiting.delete(address)
        listenInto(encrypted, intake)
        encrypted.pause()
        resolve(encrypted)
      })
      socket.once('close', () => {
        waiting.delete(address)
        over('closed during the TLS handshake')
      })
      // The acknowledgement of STARTTLS was written; TLS takes the socket over behind it.
      socket.write(Buffer.alloc(0), () => {
        socket.removeAllListeners('data')
        server.emit('connection', socket)
      })
    })
  }

  function openServer() {
    try {
      return createServer({
        cert,
        key,
        ca: clientCa,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2'
      })
    } catch (error) {
      const message = 'the NBD certificate and key cannot be used together'
      throw new ShoalError({ code: 'BAD_INPUT', field: 'tls' }, message, { cause: error })
    }
  }
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}
