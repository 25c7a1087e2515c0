/**
 * libp2p, set up for a mesh of hundreds that trust each other by certificate: defaults that break
 * a cluster (facts: 5 inbound connections per second, 32 streams per protocol, aborts after a
 * missed ping, scores by address) are replaced here and nowhere else.
 */
import './polyfill.ts'
import type { GossipSub } from '@libp2p/gossipsub'
import { gossipsub } from '@libp2p/gossipsub'
import type { Identify, IdentifyPush } from '@libp2p/identify'
import { identify, identifyPush } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import type { Ping } from '@libp2p/ping'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import {
  ADMISSION_NOISE_PROTOCOL,
  ADMISSION_TLS_PROTOCOL
} from '../../protocols/admission/messages.ts'
import {
  ADMISSION_TIMEOUT_MS,
  DIAL_TIMEOUT_MS,
  MAX_CONNECTIONS,
  MAX_GOSSIP_FRAME_BYTES,
  MAX_GOSSIP_OUTBOUND_BYTES,
  MAX_INBOUND_PER_SECOND,
  MAX_PARALLEL_DIALS,
  MAX_PENDING_INBOUND,
  OPEN_TIMEOUT_MS
} from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { AdmissionErrors } from './admission.ts'
import { admission } from './admission.ts'
import { directTls } from './direct-tls.ts'
import type { Gate } from './gate.ts'
import { muxer } from './muxer.ts'

export type Encryption = 'tls' | 'noise'

export type Services = {
  identify: Identify
  identifyPush: IdentifyPush
  ping: Ping
  pubsub: GossipSub
}

export type Node = Libp2p<Services>

export interface NodeOptions {
  readonly privateKey: PrivateKey
  /** Multiaddrs to listen on; none: a dialler only. */
  readonly listen: readonly string[]
  /** Multiaddrs to be known by, if not those on which we listen. */
  readonly announce: readonly string[]
  readonly gate: Gate
  readonly topics: readonly string[]
  /** The first is preferred by us as a dialler; a listener takes either. */
  readonly encryption: readonly Encryption[]
  readonly onAdmissionError: AdmissionErrors
  readonly clock: Clock
}

/** Created, not started. */
export async function createNode(options: NodeOptions): Promise<Node> {
  return createLibp2p<Services>({
    start: false,
    privateKey: options.privateKey,
    addresses: { listen: [...options.listen], announce: [...options.announce] },
    transports: [tcp({ dialOpts: SOCKET, listenOpts: SOCKET, backlog: 1024 })],
    connectionEncrypters: options.encryption.map(name => encrypter(name, options)),
    streamMuxers: [muxer()],
    connectionManager: CONNECTIONS,
    // A busy disk misses a ping; round-trip.ts decides what is dead, and more patiently.
    connectionMonitor: { enabled: false },
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify({ protocolPrefix: 'shoal', maxInboundStreams: 4, maxOutboundStreams: 4 }),
      identifyPush: identifyPush({ protocolPrefix: 'shoal', maxInboundStreams: 4 }),
      ping: ping({ protocolPrefix: 'shoal', maxInboundStreams: 8, maxOutboundStreams: 8 }),
      pubsub: gossipsub(gossip(options.topics))
    }
  })
}

const SOCKET = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 }

const CONNECTIONS = {
  maxConnections: MAX_CONNECTIONS,
  inboundConnectionThreshold: MAX_INBOUND_PER_SECOND,
  maxIncomingPendingConnections: MAX_PENDING_INBOUND,
  maxParallelDials: MAX_PARALLEL_DIALS,
  dialTimeout: DIAL_TIMEOUT_MS,
  inboundUpgradeTimeout: ADMISSION_TIMEOUT_MS + 2_000,
  inboundStreamProtocolNegotiationTimeout: OPEN_TIMEOUT_MS,
  outboundStreamProtocolNegotiationTimeout: OPEN_TIMEOUT_MS,
  // Our own redial loop knows which members there are and where.
  reconnectRetries: 0
}

function encrypter(name: Encryption, { gate, clock, onAdmissionError: onError }: NodeOptions) {
  return name === 'tls'
    ? admission({ protocol: ADMISSION_TLS_PROTOCOL, inner: directTls(), gate, clock, onError })
    : admission({ protocol: ADMISSION_NOISE_PROTOCOL, inner: noise(), gate, clock, onError })
}

function gossip(topics: readonly string[]) {
  return {
    globalSignaturePolicy: 'StrictSign' as const,
    allowedTopics: new Set(topics),
    emitSelf: false,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    floodPublish: false,
    doPX: false,
    // Many members may share one address (one machine, one NAT): that is no offence here.
    scoreParams: { IPColocationFactorWeight: 0 },
    maxInboundDataLength: MAX_GOSSIP_FRAME_BYTES,
    maxOutboundBufferSize: MAX_GOSSIP_OUTBOUND_BYTES,
    maxTopicBytesPerPeer: 256 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 256,
      maxMessages: 1024,
      maxIhaveMessageIDs: 5000,
      maxIwantMessageIDs: 5000,
      maxIdontwantMessageIDs: 512,
      maxControlMessages: 1024,
      maxPeerInfos: 16
    }
  }
}
