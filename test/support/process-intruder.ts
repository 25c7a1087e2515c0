/**
 * Peers that misbehave: a member whose identity was joined by the CLI and that sends raw bytes on
 * streams of its own, and a stranger that gets as far as the hello inside the encryption.
 */
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type {
  Connection,
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection
} from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { systemClock } from '../../node/clock.ts'
import { createNode, type Node } from '../../node/host/libp2p.ts'
import { loadIdentity } from '../../node/members/identity.ts'
import {
  ADMISSION_NOISE_PROTOCOL,
  ADMISSION_TLS_PROTOCOL,
  refusal
} from '../../protocols/admission/messages.ts'
import type { Status } from './process-control.ts'
import type { Hit } from './process-fuzz.ts'

/** A peer that leaves an ended stream open longer than this has a leak. */
const CLOSE_MS = 10_000
const DIAL_MS = 10_000

/** Where a node listens, with its id: what a dialler needs. */
export function addressOf(self: Status['self']): string {
  const [first] = self.addresses
  if (first === undefined) throw new Error('the node has no address')
  return first.includes('/p2p/') ? first : `${first}/p2p/${self.id}`
}

export class RogueMember {
  readonly #node: Node
  readonly #target: string

  private constructor(node: Node, target: string) {
    this.#node = node
    this.#target = target
  }

  /** `dir`: of a node that joined and is not up. */
  static async start(dir: string, target: string, topic: string): Promise<RogueMember> {
    const { seed, chain } = await loadIdentity(dir)
    const node = await createNode({
      privateKey: await generateKeyPairFromSeed('Ed25519', seed),
      listen: [],
      announce: [],
      topics: [topic],
      encryption: ['tls'],
      clock: systemClock,
      onAdmissionError: () => {},
      gate: {
        hello: () => ({ kind: 'member', chain }),
        answer: async () => refusal({ code: 'NOT_A_MEMBER' }, 'nobody may come here'),
        conclude: async () => {},
        standing: () => 'member'
      }
    })
    await node.start()
    node.services.pubsub.subscribe(topic)
    return new RogueMember(node, target)
  }

  /** What the target says that it speaks. */
  async protocols(): Promise<string[]> {
    const connection = await this.#connection()
    const { protocols } = await this.#node.services.identify.identify(connection)
    return [...protocols].sort()
  }

  /** Opens a stream, sends, ends, and waits until the target ended it (or the connection) too. */
  async shoot(protocol: string, bytes: Buffer): Promise<Hit> {
    let ended: Promise<Hit>
    try {
      const connection = await this.#connection()
      const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(DIAL_MS) })
      ended = endOf(stream)
      stream.send(bytes)
      stream.close().catch(() => {})
    } catch {
      return 'undelivered'
    }
    return ended
  }

  /** Well-formed gossip, signed by this member, with these bytes in it. */
  async gossip(topic: string, bytes: Buffer): Promise<Hit> {
    await this.#connection()
    const { recipients } = await this.#node.services.pubsub.publish(topic, bytes)
    return recipients.length > 0 ? 'ended' : 'undelivered'
  }

  async stop(): Promise<void> {
    await this.#node.stop()
  }

  /** The target may have thrown us out: then again. */
  async #connection(): Promise<Connection> {
    return this.#node.dial(multiaddr(this.#target), { signal: AbortSignal.timeout(DIAL_MS) })
  }
}

/** Dials as nobody in particular; says `hello` where a membership is to be shown. */
export class Stranger {
  readonly #node: Libp2p
  readonly #state: Say

  private constructor(node: Libp2p, state: Say) {
    this.#node = node
    this.#state = state
  }

  static async start(encryption: 'tls' | 'noise'): Promise<Stranger> {
    const state: Say = { hello: Buffer.alloc(0), hit: 'undelivered' }
    const node = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      transports: [tcp()],
      connectionEncrypters: [components => new SpoiledHello(INNER[encryption], components, state)],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false }
    })
    return new Stranger(node, state)
  }

  /** One connection, which says these bytes and ends. */
  async shoot(target: string, hello: Buffer): Promise<Hit> {
    this.#state.hello = hello
    this.#state.hit = 'undelivered'
    await this.#node
      .dial(multiaddr(target), { signal: AbortSignal.timeout(DIAL_MS + CLOSE_MS) })
      .catch(() => undefined)
    return this.#state.hit
  }

  async stop(): Promise<void> {
    await this.#node.stop()
  }
}

/** An encrypter that does the real handshake, and then what it likes. */
class SpoiledHello implements ConnectionEncrypter {
  readonly protocol: string
  readonly #inner: ConnectionEncrypter
  readonly #state: Say

  constructor({ protocol, make }: Inner, components: InnerComponents, state: Say) {
    this.protocol = protocol
    this.#inner = make(components)
    this.#state = state
  }

  async secureOutbound(
    raw: MessageStream,
    options?: SecureConnectionOptions
  ): Promise<SecuredConnection> {
    const { connection } = await this.#inner.secureOutbound(raw, options)
    const ended = endOf(connection)
    connection.send(this.#state.hello)
    connection.close().catch(() => {})
    this.#state.hit = await ended
    throw new Error('said all there was to say')
  }

  async secureInbound(): Promise<SecuredConnection> {
    throw new Error('nobody may come here')
  }
}

type InnerComponents = Parameters<ReturnType<typeof tls>>[0] &
  Parameters<ReturnType<typeof noise>>[0]

interface Inner {
  readonly protocol: string
  readonly make: (components: InnerComponents) => ConnectionEncrypter
}

const INNER: Readonly<Record<'tls' | 'noise', Inner>> = {
  tls: { protocol: ADMISSION_TLS_PROTOCOL, make: tls() },
  noise: { protocol: ADMISSION_NOISE_PROTOCOL, make: noise() }
}

/** What a stranger is to say next, and what became of it. */
interface Say {
  hello: Buffer
  hit: Hit
}

function endOf(stream: MessageStream): Promise<Hit> {
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      stream.abort(new Error('left open'))
      resolve('hanging')
    }, CLOSE_MS)
    const ended = (): void => {
      clearTimeout(timer)
      resolve('ended')
    }
    stream.addEventListener('message', () => {})
    stream.addEventListener('remoteCloseWrite', ended)
    stream.addEventListener('close', ended)
  })
}
