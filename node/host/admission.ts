/**
 * Admission inside the connection encrypter: after the inner handshake (TLS or Noise) has proven
 * both peer ids, one hello and one answer decide, before a muxer exists, whether there will be a
 * connection at all. So a stranger reaches no protocol of ours but this one.
 *
 *   TCP -> multistream: /shoal/tls/1 -> TLS -> hello, answer -> yamux (implied by the name)
 *
 * Invariants: the dialler says nothing before the listener has proven to be the peer that was
 * meant; nothing but `welcome` lets either side go on; each step is bounded in time and bytes; a
 * refusal is left in place long enough to be read, and then the connection ends.
 */
import type {
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory
} from '@libp2p/interface'
import type { LengthPrefixedStream } from '@libp2p/utils'
import { lpStream } from '@libp2p/utils'
import { MAX_HELLO_BYTES } from '../../protocols/admission/limits.ts'
import type { Answer } from '../../protocols/admission/messages.ts'
import {
  decodeAnswer,
  decodeHello,
  encodeAnswer,
  encodeHello,
  refusal
} from '../../protocols/admission/messages.ts'
import { assert } from '../../protocols/assert.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { ADMISSION_TIMEOUT_MS, REFUSAL_LINGER_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { Gate } from './gate.ts'

/** What libp2p hands to the factory of an encrypter, as far as we use it. */
export interface AdmissionComponents {
  upgrader: { getStreamMuxers: () => Map<string, StreamMuxerFactory> }
}

export interface AdmissionOptions<C> {
  readonly protocol: string
  readonly inner: (components: C) => ConnectionEncrypter
  readonly gate: Gate
  readonly clock: Clock
  readonly onError: AdmissionErrors
}

/** Why we were not admitted: libp2p forgets the classes of errors, so a dialler listens here. */
export type AdmissionErrors = (peer: NodeId, error: unknown) => void

export function admission<C extends AdmissionComponents>(
  options: AdmissionOptions<C>
): (components: C) => ConnectionEncrypter {
  return components => new Admission(options, options.inner(components), components)
}

class Admission implements ConnectionEncrypter {
  readonly protocol: string
  readonly #inner: ConnectionEncrypter
  readonly #gate: Gate
  readonly #clock: Clock
  readonly #onError: AdmissionErrors
  readonly #components: AdmissionComponents

  constructor(
    options: Pick<AdmissionOptions<never>, 'protocol' | 'gate' | 'clock' | 'onError'>,
    inner: ConnectionEncrypter,
    components: AdmissionComponents
  ) {
    this.protocol = options.protocol
    this.#gate = options.gate
    this.#clock = options.clock
    this.#onError = options.onError
    this.#inner = inner
    this.#components = components
  }

  async secureOutbound(
    raw: MessageStream,
    options: SecureConnectionOptions = {}
  ): Promise<SecuredConnection> {
    assert(options.remotePeer !== undefined, 'we only dial peers whose id we know')
    return this.#timed(options, async inside => {
      const secured = await this.#inner.secureOutbound(raw, inside)
      const peer = secured.remotePeer.toString() as NodeId
      try {
        await this.#ask(secured.connection, peer, inside.signal)
      } catch (error) {
        this.#onError(peer, error)
        secured.connection.abort(error instanceof Error ? error : new Error(String(error)))
        throw error
      }
      return this.#admitted(secured)
    })
  }

  async secureInbound(
    raw: MessageStream,
    options: SecureConnectionOptions = {}
  ): Promise<SecuredConnection> {
    return this.#timed(options, async inside => {
      const secured = await this.#inner.secureInbound(raw, inside)
      const peer = secured.remotePeer.toString() as NodeId
      const answer = await this.#answer(secured.connection, peer, inside.signal)
      if (answer.kind === 'welcome') return this.#admitted(secured)
      await this.#closedOrLate(secured.connection)
      throw new ShoalError({ code: 'NOT_A_MEMBER' }, `${peer} was not admitted: ${answer.kind}`)
    })
  }

  async #ask(connection: MessageStream, peer: NodeId, signal: AbortSignal): Promise<void> {
    const frames = framed(connection)
    await frames.write(encodeHello(this.#gate.hello(peer)), { signal })
    const answer = decodeAnswer((await frames.read({ signal })).subarray())
    if (answer === undefined) throw badMessage(this.protocol)
    await this.#gate.conclude(peer, answer)
    frames.unwrap()
  }

  async #answer(connection: MessageStream, peer: NodeId, signal: AbortSignal): Promise<Answer> {
    const frames = framed(connection)
    const hello = decodeHello((await frames.read({ signal })).subarray())
    const answer: Answer =
      hello === undefined
        ? refusal({ code: 'NOT_A_MEMBER' }, 'this hello makes no sense here')
        : await this.#gate.answer(peer, hello)
    await frames.write(encodeAnswer(answer), { signal })
    frames.unwrap()
    return answer
  }

  async #timed(
    options: SecureConnectionOptions,
    handshake: (inside: Inside) => Promise<SecuredConnection>
  ): Promise<SecuredConnection> {
    const late = new AbortController()
    const timer = this.#clock.after(ADMISSION_TIMEOUT_MS, () => late.abort(timedOut()))
    const signals = options.signal === undefined ? [] : [options.signal]
    const signal = AbortSignal.any([late.signal, ...signals])
    try {
      return await handshake({ ...options, signal, skipStreamMuxerNegotiation: true })
    } finally {
      timer.cancel()
    }
  }

  /** Gives the dialler time to read its refusal before the connection is torn down. */
  #closedOrLate(connection: MessageStream): Promise<void> {
    return new Promise(resolve => {
      const timer = this.#clock.after(REFUSAL_LINGER_MS, resolve)
      connection.addEventListener('close', () => {
        timer.cancel()
        resolve()
      })
    })
  }

  /** Our protocol name implies the muxer: nothing is left to negotiate. */
  #admitted(secured: SecuredConnection): SecuredConnection {
    const [streamMuxer] = this.#components.upgrader.getStreamMuxers().values()
    assert(streamMuxer !== undefined, 'the host has a muxer')
    return { connection: secured.connection, remotePeer: secured.remotePeer, streamMuxer }
  }
}

type Inside = SecureConnectionOptions & { signal: AbortSignal }

function framed(connection: MessageStream): LengthPrefixedStream {
  return lpStream(connection, { maxDataLength: MAX_HELLO_BYTES })
}

function timedOut(): ShoalError {
  const fault = { code: 'TIMEOUT', afterMs: ADMISSION_TIMEOUT_MS } as const
  return new ShoalError(fault, 'the handshake took too long')
}

function badMessage(protocol: string): ShoalError {
  return new ShoalError({ code: 'BAD_MESSAGE', protocol }, 'the answer to our hello makes no sense')
}
