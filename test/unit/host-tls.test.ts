// Goal: our TLS is libp2p's TLS on the wire, in both roles, and ends connections as honestly.
// Method: bare libp2p nodes on loopback, ours against libp2p's own, in both directions.
import '../../node/host/polyfill.ts'
import { createHash, randomBytes } from 'node:crypto'
import type { ConnectionEncrypter, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import type { TLSComponents } from '@libp2p/tls'
import { tls } from '@libp2p/tls'
import { createLibp2p } from 'libp2p'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { directTls } from '../../node/host/direct-tls.ts'
import { muxer } from '../../node/host/muxer.ts'
import type { ByteStream } from '../../node/ports.ts'
import { adaptStream } from '../../node/stream/adapter.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { until } from '../support/host-mesh.ts'

type Encrypter = () => (components: TLSComponents) => ConnectionEncrypter
const KINDS: Record<string, Encrypter> = { ours: directTls, "libp2p's": tls }
const PROTOCOL = '/test/bytes/1'

const nodes: Libp2p[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map(node => node.stop()))
})

async function node(encrypter: Encrypter): Promise<Libp2p> {
  const made = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [encrypter()],
    streamMuxers: [muxer()],
    connectionMonitor: { enabled: false }
  })
  nodes.push(made)
  return made
}

async function pair(dialling: Encrypter, listening: Encrypter): Promise<[ByteStream, ByteStream]> {
  const [from, to] = [await node(dialling), await node(listening)]
  const far = new Promise<ByteStream>(resolve => {
    void to.handle(PROTOCOL, (stream, connection) => {
      resolve(adaptStream(stream, connection.remotePeer.toString() as NodeId, systemClock))
    })
  })
  const stream = await from.dialProtocol(to.getMultiaddrs(), PROTOCOL)
  const near = adaptStream(stream, to.peerId.toString() as NodeId, systemClock)
  expect((await far).peer).toBe(from.peerId.toString())
  return [near, await far]
}

function digestOf(stream: ByteStream): Promise<string> {
  const hash = createHash('sha256')
  stream.onBytes(bytes => void hash.update(bytes))
  return new Promise((resolve, reject) => {
    stream.onEnd(() => resolve(hash.digest('hex')))
    stream.onClose(error => error !== undefined && reject(error))
  })
}

async function send(stream: ByteStream, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += 100 * KiB) {
    if (!stream.write(bytes.subarray(at, at + 100 * KiB))) await stream.drained()
  }
  await stream.end()
}

describe('TLS', () => {
  for (const [dialler, listener] of [
    ['ours', 'ours'],
    ['ours', "libp2p's"],
    ["libp2p's", 'ours']
  ] as const) {
    it(`passes bytes intact both ways, ${dialler} dialling ${listener}`, async () => {
      const [near, far] = await pair(KINDS[dialler] ?? tls, KINDS[listener] ?? tls)
      const bytes = randomBytes(8 * MiB)
      const digests = Promise.all([digestOf(near), digestOf(far)])
      await Promise.all([send(near, bytes), send(far, bytes)])
      const wanted = createHash('sha256').update(bytes).digest('hex')
      expect(await digests).toEqual([wanted, wanted])
    })
  }

  it('tells a lost connection from a clean end', async () => {
    const [near, far] = await pair(directTls, directTls)
    const ends: string[] = []
    near.onBytes(() => {})
    near.onEnd(() => ends.push('end'))
    near.onClose(error => ends.push(error === undefined ? 'clean' : 'lost'))
    far.onClose(() => {})
    const [, listener] = nodes
    for (const connection of listener?.getConnections() ?? []) connection.abort(new Error('gone'))
    await until(() => ends.length > 0)
    expect(ends).toEqual(['lost'])
  })

  it('ends when its node stops, and leaves no socket', async () => {
    const [near] = await pair(directTls, directTls)
    let closes = 0
    near.onClose(() => closes++)
    const [dialler, listener] = nodes
    await listener?.stop()
    await until(() => closes === 1 && dialler?.getConnections().length === 0)
  })
})
