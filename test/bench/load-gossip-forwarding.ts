/**
 * How much real gossipsub makes of one message: a node hears it from most of its neighbours in the
 * topic, and passes it on to them, which the budget of load gossip does not count.
 */
import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { systemClock } from '../../node/clock.ts'
import type { Node } from '../../node/host/libp2p.ts'
import { createNode } from '../../node/host/libp2p.ts'
import { ENVELOPE_BYTES } from '../../protocols/load-gossip/limits.ts'
import { until } from '../support/host-mesh.ts'
import { SeededRandom } from '../support/process-random.ts'
import { round } from './report.ts'

const TOPIC = '/shoal/load/1/region/north/0'
const PAYLOAD_BYTES = 200
const MESSAGES = 150
const PAUSE_MS = 100
/** A few heartbeats, in which neighbours of a topic are chosen. */
const SETTLE_MS = 6_000

interface Counted {
  copies: number
  bytes: number
  delivered: number
}

export async function measureForwarding(options: {
  readonly nodes: number
  readonly degree: number
  readonly seed: number
}): Promise<Readonly<Record<string, number>>> {
  const counted: Counted = { copies: 0, bytes: 0, delivered: 0 }
  const nodes: Node[] = []
  for (let i = 0; i < options.nodes; i++) nodes.push(await startNode())
  await connect(nodes, options.degree, new SeededRandom(options.seed))
  await pause(SETTLE_MS)
  for (const node of nodes) count(node, counted)
  for (let i = 0; i < MESSAGES; i++) {
    await nodes[i % nodes.length]?.services.pubsub.publish(TOPIC, randomBytes(PAYLOAD_BYTES))
    await pause(PAUSE_MS)
  }
  const wanted = MESSAGES * (nodes.length - 1)
  await until(() => counted.delivered >= wanted, 10_000)
  await Promise.all(nodes.map(node => node.stop()))
  return {
    hosts: options.nodes,
    connections: options.degree,
    'copies received': round(counted.copies / wanted, 2),
    'bytes received per message': Math.round(counted.bytes / wanted)
  }
}

/** Everyone is welcome to everyone: only gossip is looked at. */
async function startNode(): Promise<Node> {
  const node = await createNode({
    privateKey: await generateKeyPair('Ed25519'),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    gate: {
      hello: () => ({ kind: 'member', chain: [] }),
      answer: async () => ({ kind: 'welcome', chain: [] }),
      conclude: async () => {},
      standing: () => 'member'
    },
    topics: [TOPIC],
    encryption: ['noise'],
    clock: systemClock,
    onAdmissionError: () => {}
  })
  await node.start()
  node.services.pubsub.subscribe(TOPIC)
  return node
}

/** A ring, and random further connections until all have about `degree`. */
async function connect(
  nodes: readonly Node[],
  degree: number,
  random: SeededRandom
): Promise<void> {
  for (const [index, node] of nodes.entries()) {
    const next = nodes[(index + 1) % nodes.length]
    if (next !== undefined) await node.dial(next.getMultiaddrs())
  }
  for (const node of nodes) {
    const others = nodes.filter(other => other !== node)
    while (node.getPeers().length < degree && others.length > 0) {
      const [other] = others.splice(random.below(others.length), 1)
      if (other === undefined || node.getPeers().some(peer => peer.equals(other.peerId))) continue
      await node.dial(other.getMultiaddrs())
    }
  }
}

/** What gossipsub is handed from its streams, before it looks for what it has seen. */
interface Received {
  handleReceivedRpc: (from: unknown, rpc: { messages: Array<{ data?: Uint8Array }> }) => unknown
}

function count({ services }: Node, counted: Counted): void {
  const pubsub = services.pubsub as unknown as Received
  const handle = pubsub.handleReceivedRpc.bind(pubsub)
  pubsub.handleReceivedRpc = (from, rpc) => {
    counted.copies += rpc.messages.length
    for (const { data } of rpc.messages) counted.bytes += (data?.length ?? 0) + ENVELOPE_BYTES
    return handle(from, rpc)
  }
  services.pubsub.addEventListener('message', () => counted.delivered++)
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
