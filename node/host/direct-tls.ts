/**
 * libp2p's TLS (same handshake, same bytes on the wire) with the real socket in the hands of
 * node:tls, instead of a JavaScript duplex between the two. Per request that saves most of what
 * encryption costs above raw TLS: two streams, a wake-up and a write per part.
 *
 *   libp2p   socket -> connection -> Duplex -> TLSSocket -> encrypted connection
 *   here     socket ------------------------> TLSSocket -> encrypted connection
 *
 * Invariants: what the connection had read ahead of us is put back before TLS reads its first
 * byte; from then on nobody else reads or writes the socket; small parts of one call leave as one
 * write; where the socket is not found (another transport, another libp2p), libp2p's own TLS runs.
 */
import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import * as nodeTls from 'node:tls'
import type {
  AbortOptions,
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection
} from '@libp2p/interface'
import type { TLSComponents } from '@libp2p/tls'
import { tls } from '@libp2p/tls'
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils'
import type { SendResult } from '@libp2p/utils'
import { AbstractMessageStream } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { TLS_GATHER_BYTES, TLS_HIGH_MARK_BYTES } from '../limits.ts'

const ALPN = 'libp2p'

export function directTls(): (components: TLSComponents) => ConnectionEncrypter {
  return components => new DirectTls(components)
}

class DirectTls implements ConnectionEncrypter {
  readonly protocol: string
  readonly #components: TLSComponents
  readonly #fallback: ConnectionEncrypter
  /** One for all connections of this start, as in the other libp2ps; its key never leaves memory. */
  #credentials: Promise<{ cert: string; key: string }> | undefined

  constructor(components: TLSComponents) {
    this.#components = components
    this.#fallback = tls()(components)
    this.protocol = this.#fallback.protocol
  }

  secureOutbound(raw: MessageStream, options?: SecureConnectionOptions) {
    const socket = socketOf(raw)
    if (socket === undefined) return this.#fallback.secureOutbound(raw, options)
    return this.#secure(raw, socket, false, options)
  }

  secureInbound(raw: MessageStream, options?: SecureConnectionOptions) {
    const socket = socketOf(raw)
    if (socket === undefined) return this.#fallback.secureInbound(raw, options)
    return this.#secure(raw, socket, true, options)
  }

  async #secure(
    raw: MessageStream,
    socket: Socket,
    isServer: boolean,
    options: SecureConnectionOptions = {}
  ): Promise<SecuredConnection> {
    this.#credentials ??= generateCertificate(this.#components.privateKey)
    const settings = {
      ...(await this.#credentials),
      isServer,
      minVersion: 'TLSv1.3' as const,
      maxVersion: 'TLSv1.3' as const,
      // Certificates are self-signed; what they prove is checked below.
      rejectUnauthorized: false,
      requestCert: true,
      ALPNProtocols: [ALPN],
      highWaterMark: TLS_HIGH_MARK_BYTES
    }
    options.signal?.throwIfAborted()
    takeOver(raw, socket)
    const secure = isServer
      ? new nodeTls.TLSSocket(socket, settings)
      : nodeTls.connect({ ...settings, socket })
    secure.on('error', error => raw.abort(error))
    try {
      await handshake(secure, options.signal)
      const { raw: certificate } = secure.getPeerCertificate()
      const remotePeer = await verifyPeerCertificate(certificate, options.remotePeer, raw.log)
      return { remotePeer, connection: new TlsConnection(raw, secure) }
    } catch (error) {
      secure.destroy()
      raw.abort(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }
}

/** libp2p's TCP connection, as far as we look inside: its version is pinned. */
type TcpConnection = MessageStream & { socket?: unknown; readBuffer?: unknown }

function socketOf(raw: TcpConnection): Socket | undefined {
  const isKnown = raw.socket instanceof Socket && raw.readBuffer instanceof Uint8ArrayList
  return isKnown ? (raw.socket as Socket) : undefined
}

/** From here on the socket is ours: its reader is gone, and what it had read is put back. */
function takeOver(raw: TcpConnection, socket: Socket): void {
  socket.removeAllListeners('data')
  // Its clock does not see what TLS reads; dead connections are found by round-trip.ts.
  socket.setTimeout(0)
  socket.pause()
  if (!(raw.readBuffer instanceof Uint8ArrayList) || raw.readBuffer.byteLength === 0) return
  const ahead = raw.readBuffer.slice()
  raw.readBuffer.consume(raw.readBuffer.byteLength)
  socket.unshift(ahead)
}

function handshake(socket: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      socket.destroy()
      finish(signal?.reason ?? new Error('the TLS handshake was given up'))
    }
    const onError = (error: Error): void => finish(error)
    const onClose = (): void => finish(new Error('closed during the TLS handshake'))
    const onSecure = (): void => finish()
    const finish = (error?: unknown): void => {
      socket.off('error', onError).off('close', onClose).off('secure', onSecure)
      signal?.removeEventListener('abort', giveUp)
      if (error === undefined) resolve()
      else reject(error)
    }
    socket.on('error', onError).on('close', onClose).on('secure', onSecure)
    signal?.addEventListener('abort', giveUp)
  })
}

class TlsConnection extends AbstractMessageStream {
  readonly #raw: MessageStream
  readonly #socket: TLSSocket
  #closing: Promise<void> | undefined

  constructor(raw: MessageStream, socket: TLSSocket) {
    const { log, inactivityTimeout, maxReadBufferLength, direction } = raw
    super({ log, inactivityTimeout, maxReadBufferLength, direction })
    this.#raw = raw
    this.#socket = socket
    if (socket.closed) this.#closing = Promise.resolve()
    socket.on('data', bytes => this.onData(bytes))
    socket.on('drain', () => this.safeDispatchEvent('drain'))
    socket.on('close', () => {
      this.#closing = raw.close().catch((error: Error) => raw.abort(error))
    })
    raw.addEventListener('close', event => {
      socket.destroy()
      // The reason goes on to the streams: a reset must not look like a clean end.
      if (event.error === undefined) this.onTransportClosed()
      else if (event.local === true) this.abort(event.error)
      else this.onRemoteReset()
    })
  }

  async close(options?: AbortOptions): Promise<void> {
    if (this.#closing === undefined) {
      this.#socket.destroySoon()
      await closed(this.#socket, options?.signal)
    }
    await this.#closing
  }

  sendPause(): void {
    this.#socket.pause()
  }

  sendResume(): void {
    this.#socket.resume()
  }

  sendReset(error: Error): void {
    this.#raw.abort(error)
    this.#socket.destroy()
  }

  /** Small parts leave together, as one write; a large one as it is, for a copy costs more. */
  sendData(data: Uint8ArrayList): SendResult {
    const small = new Uint8ArrayList()
    let canSendMore = true
    const sendSmall = (): void => {
      if (small.byteLength > 0) canSendMore = this.#socket.write(small.subarray())
      small.consume(small.byteLength)
    }
    for (const part of data) {
      if (part.byteLength < TLS_GATHER_BYTES) {
        small.append(part)
        continue
      }
      sendSmall()
      canSendMore = this.#socket.write(part)
    }
    sendSmall()
    return { sentBytes: data.byteLength, canSendMore }
  }
}

function closed(socket: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('close', () => resolve())
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (socket.closed) resolve()
  })
}
