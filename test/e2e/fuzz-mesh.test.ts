// Goal: no bytes on any protocol of the mesh stop a daemon, whoever sends them, and clients of
// volumes do not notice.
// Method: thousands of spoiled messages over real sockets: to the port itself, as a stranger inside
// the encryption, and as a member on every protocol that the daemon names.
import * as lp from 'it-length-prefixed'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RENEW_PROTOCOL } from '../../protocols/admission/messages.ts'
import { encodeCbor } from '../../protocols/cbor.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { Nonce, VolumeId } from '../../protocols/ids.ts'
import { MAP_SYNC_PROTOCOL, MAP_TOPIC } from '../../protocols/map-sync/messages.ts'
import { NODE_STATUS_PROTOCOL } from '../../protocols/node-status/messages.ts'
import { SHARD_CONTROL_PROTOCOL } from '../../protocols/shard-control/messages.ts'
import {
  encodeRequest,
  Op,
  type Request,
  SHARD_IO_PROTOCOL
} from '../../protocols/shard-io/messages.ts'
import { Bystander } from '../support/process-bystander.ts'
import { statusOf } from '../support/process-control.ts'
import { useMesh } from '../support/process-fixture.ts'
import { type Hit, shootSocket, volley } from '../support/process-fuzz.ts'
import { addressOf, RogueMember, Stranger } from '../support/process-intruder.ts'
import { mutate } from '../support/process-mutate.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'
import { until } from '../support/process-spawn.ts'

const MUTATIONS = 600
const HELLO_MUTATIONS = 500
const STRANGERS = 8
const seed = seedOfRun()

describe('wrong bytes between nodes', () => {
  const mesh = useMesh([
    { name: 'west', region: 'eu-west', capacity: '1G' },
    { name: 'gate', region: 'eu-west', capacity: '0' }
  ])
  let target = ''
  let bystander: Bystander | undefined
  beforeAll(async () => {
    const { self } = await until('west answers', () => statusOf(mesh().node('west').dir))
    target = addressOf(self)
    bystander = await Bystander.start(mesh(), mesh().node('gate'), seed)
  })
  afterAll(() => bystander?.stop())

  it('before any encryption hurt nobody', async () => {
    const random = new SeededRandom(seed)
    const [, host = '', , port = ''] = target.split('/').slice(1)
    const result = await volley(MUTATIONS, () =>
      shootSocket({ host, port: Number(port) }, mutate(OPENINGS, random), random)
    )
    expect(result).toEqual({ delivered: MUTATIONS, hanging: 0 })
    expect(await bystander?.verdict()).toEqual('undisturbed')
  })

  it.each(['tls', 'noise'] as const)('in the hello of a stranger (%s) hurt nobody', async inner => {
    const random = new SeededRandom(seed + 1)
    const strangers = await Promise.all(
      Array.from({ length: STRANGERS }, () => Stranger.start(inner))
    )
    const idle = [...strangers]
    const shoot = async (): Promise<Hit> => {
      const stranger = idle.pop()
      if (stranger === undefined) return 'undelivered'
      const hit = await stranger.shoot(target, mutate(HELLOS, random))
      idle.push(stranger)
      return hit
    }
    const result = await volley(HELLO_MUTATIONS, shoot, STRANGERS)
    for (const stranger of strangers) await stranger.stop()
    expect(result).toEqual({ delivered: HELLO_MUTATIONS, hanging: 0 })
    expect(await bystander?.verdict()).toEqual('undisturbed')
  })

  it('from a member, on every protocol that there is, hurt nobody', async () => {
    const dir = await mesh().joinOnly({ name: 'rogue', region: 'eu-west', capacity: '0' })
    const member = await RogueMember.start(dir, target, MAP_TOPIC)
    const protocols = await member.protocols()
    expect(protocols).toEqual(expect.arrayContaining(Object.keys(MESSAGES)))
    for (const [i, protocol] of protocols.entries()) {
      const random = new SeededRandom(seed + 2 + i)
      const base = MESSAGES[protocol] ?? ANY_FRAMES
      // libp2p's own protocols take a few streams at a time.
      const parallel = MESSAGES[protocol] === undefined ? 2 : STRANGERS
      const shoot = (): Promise<Hit> => member.shoot(protocol, mutate(base, random))
      const result = await volley(MUTATIONS, shoot, parallel)
      expect({ protocol, ...result }).toEqual({ protocol, delivered: MUTATIONS, hanging: 0 })
      expect(await bystander?.verdict(), protocol).toEqual('undisturbed')
    }
    const random = new SeededRandom(seed)
    const shoot = (): Promise<Hit> => member.gossip(MAP_TOPIC, mutate(GOSSIP, random))
    await until(
      'the gossip of the mesh reaches the target',
      async () => (await shoot()) === 'ended'
    )
    expect(await volley(MUTATIONS, shoot)).toEqual({ delivered: MUTATIONS, hanging: 0 })
    expect(await bystander?.verdict(), 'gossip').toEqual('undisturbed')
    await member.stop()
  })
})

type Frames = [Buffer, ...Buffer[]]

/** multistream-select, as a dialler begins. */
const OPENINGS: Frames = [
  multistream('/multistream/1.0.0', '/shoal/tls/1'),
  multistream('/multistream/1.0.0', '/shoal/noise/1'),
  multistream('/multistream/1.0.0', 'ls')
]
const HELLOS: Frames = [
  framed({ kind: 'member', chain: [Buffer.alloc(200, 1)] }),
  framed({ kind: 'renew', chain: [Buffer.alloc(200, 1), Buffer.alloc(200, 2)] }),
  framed({
    ...{ kind: 'join', invite: Buffer.alloc(300, 3), region: 'eu-west', newRegion: true },
    ...{ name: 'stranger', host: 'nowhere' }
  })
]
const VOLUME = '00112233445566778899aabbccddeeff' as VolumeId
const TOKEN = { counter: 7, attach: '0011223344556677' as Nonce }
const SPEC = {
  ...{ id: VOLUME, extentBytes: 64 << 20, stripeUnitBytes: 65536, columns: 1 },
  ...{ copies: 1, generation: 0 }
}
const RUN = {
  ...{ from: 0, to: 4, generation: 0, column: 0, replica: 0 },
  epoch: { token: TOKEN, counter: 1 }
}
const GENERATION = { number: 1, id: TOKEN.attach }
const STEP = Buffer.from([0, 1, 2, 3, 4, 5])
const MESSAGES: Readonly<Record<string, Frames>> = {
  [SHARD_IO_PROTOCOL]: [
    shardIo({ op: Op.hello, session: 1 }),
    Buffer.concat([
      shardIo({ op: Op.hello, session: 1 }),
      shardIo({ op: Op.read, lengthBytes: 8192 }),
      shardIo({ op: Op.write, lengthBytes: 4096, data: Buffer.alloc(4096, 5) }),
      shardIo({ op: Op.flush }),
      shardIo({ op: Op.map, lengthBytes: 65536 })
    ])
  ],
  [SHARD_CONTROL_PROTOCOL]: [
    framed({ call: 'query', volume: VOLUME }),
    framed({ call: 'create', token: TOKEN, spec: SPEC, sizeBytes: 256 << 20, runs: [RUN] }),
    framed({ call: 'grow', volume: VOLUME, token: TOKEN, sizeBytes: 512 << 20, runs: [RUN] }),
    framed({ call: 'detach', volume: VOLUME, token: TOKEN }),
    framed({ call: 'remove', volume: VOLUME, token: TOKEN }),
    framed({ call: 'digest', volume: VOLUME, extent: 0, generation: 0, column: 0, replica: 0 })
  ],
  [MAP_SYNC_PROTOCOL]: [
    framed({ ask: 'heads', standing: 'blank' }),
    framed({ ask: 'pull', document: 'mesh', step: STEP }),
    framed({ ask: 'push', document: 'mesh', generation: GENERATION, step: STEP })
  ],
  [NODE_STATUS_PROTOCOL]: [framed({})],
  [RENEW_PROTOCOL]: [framed({}), framed({ chain: [Buffer.alloc(100)] })]
}
const GOSSIP: Frames = [
  Buffer.from(
    encodeCbor({ changes: [{ document: 'mesh', generation: GENERATION, update: STEP }] })
  ),
  Buffer.from(encodeCbor({ changes: [{ document: VOLUME, generation: GENERATION }] }))
]
/** For libp2p's own protocols: length-prefixed protobuf. */
const ANY_FRAMES: Frames = [
  prefixed(Buffer.from('0a0548656c6c6f120474657374', 'hex')),
  prefixed(Buffer.from('0a10080112' + '0c2f73686f616c2f6d61702f31', 'hex')),
  Buffer.alloc(32, 1)
]

function prefixed(bytes: Uint8Array): Buffer {
  return Buffer.from(lp.encode.single(bytes).subarray())
}

function framed(message: unknown): Buffer {
  return prefixed(encodeCbor(message))
}

function multistream(...lines: string[]): Buffer {
  return Buffer.concat(lines.map(line => prefixed(Buffer.from(`${line}\n`))))
}

function shardIo(part: Partial<Request> & Pick<Request, 'op'>): Buffer {
  const data = part.data ?? Buffer.alloc(0)
  const crcs = blockChecksums(data)
  const request: Request = {
    ...{ flags: 0, requestId: 1, token: TOKEN, epoch: { token: TOKEN, counter: 1 } },
    chunk: { volume: VOLUME, extent: 0, generation: 0, column: 0, replica: 0 },
    ...{ offsetBytes: 0, lengthBytes: 0, session: 0 },
    ...part,
    ...{ crcs, data }
  }
  return Buffer.concat(encodeRequest(request))
}
