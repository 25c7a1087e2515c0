// Goal: no bytes that a member sends on shard-io or shard-control crash the node, change a chunk,
// or disturb another stream.
// Method: recorded sessions are mutated from a seed (flipped, cut, doubled, spliced, random) and
// sent to a live server, while a well-behaved stream reads and writes beside them.
import { encode } from 'cborg'
import { describe, expect, it } from 'vitest'
import type { ByteStream } from '../../node/ports.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import {
  type ControlAnswer,
  type ControlRequest,
  controlRequestSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import {
  decodeAnswer,
  decodeRequest,
  encodeRequest,
  Flag,
  Op,
  type Request,
  Status
} from '../../protocols/shard-io/messages.ts'
import {
  createCall,
  FIRST_TOKEN,
  GATEWAY,
  harness,
  holder,
  type IoClient,
  request,
  run,
  SHARD_NODE,
  token
} from '../support/shard-harness.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const MUTATIONS = 700
// So different that no mutation makes one of the other.
const V = 'a'.repeat(32) as VolumeId
const VICTIM = '5'.repeat(32) as VolumeId

/** Mulberry32: small, seeded, good enough to choose mutations. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function mutate(session: Buffer, pick: (below: number) => number): Buffer {
  const bytes = Buffer.from(session)
  const at = pick(bytes.length)
  switch (pick(7)) {
    case 0:
      for (let flips = 1 + pick(8); flips > 0; flips--) bytes[pick(bytes.length)] = pick(256)
      return bytes
    case 1:
      return bytes.subarray(0, at)
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(pick(bytes.length))])
    case 3:
      return Buffer.concat([bytes, bytes])
    case 4:
      bytes.writeUInt32LE(
        [0, 3, 4, 79, 80, 0xffff_ffff, 0x7fff_ffff][pick(7)] ?? 0,
        pick(session.length - 4)
      )
      return bytes
    case 5:
      return Buffer.concat([
        bytes.subarray(0, at),
        randomBytes(1 + pick(200), pick),
        bytes.subarray(at)
      ])
    default:
      return randomBytes(1 + pick(400), pick)
  }
}

function randomBytes(length: number, pick: (below: number) => number): Buffer {
  return Buffer.from(Array.from({ length }, () => pick(256)))
}

function session(...requests: Array<Partial<Request>>): Buffer {
  const frames = requests.flatMap((fields, index) =>
    encodeRequest(request({ volume: V, ...fields, requestId: index }))
  )
  return Buffer.concat(frames)
}

const data = Buffer.alloc(BLOCK_BYTES, 3)
const write = { op: Op.write, data, lengthBytes: data.length, crcs: blockChecksums(data) }

function sessions(number: number): Buffer[] {
  const hello = { op: Op.hello, session: number }
  return [
    session(hello, write, { op: Op.read, lengthBytes: BLOCK_BYTES }, { op: Op.flush }),
    session(hello, { ...write, flags: Flag.fua }, { op: Op.map, lengthBytes: 16 * BLOCK_BYTES }),
    session(
      hello,
      { op: Op.trim, lengthBytes: BLOCK_BYTES },
      { op: Op.zero, lengthBytes: BLOCK_BYTES }
    ),
    session(hello, hello, { op: Op.read, lengthBytes: 0 })
  ]
}

async function isWell(victim: IoClient, byte: number): Promise<void> {
  const block = Buffer.alloc(BLOCK_BYTES, byte)
  const fields = { lengthBytes: block.length, data: block, crcs: blockChecksums(block) }
  expect((await victim.ask({ op: Op.write, ...fields })).status).toBe(Status.ok)
  const answer = await victim.ask({ op: Op.read, lengthBytes: BLOCK_BYTES })
  expect([answer.status, Buffer.compare(answer.data, block)]).toEqual([Status.ok, 0])
}

/** Sends `bytes` and waits until the server has taken them: it closed, or it answered a tick later. */
async function throwAt(stream: ByteStream, bytes: Buffer): Promise<void> {
  const closed = new Promise<void>(resolve => stream.onClose(() => resolve()))
  stream.onBytes(() => {})
  stream.write(bytes)
  await new Promise(resolve => setImmediate(resolve))
  await stream.end()
  await closed
}

describe(`mutated input (SEED=${SEED})`, () => {
  it('on shard-io touches no other stream and no chunk of another volume', async () => {
    const mesh = harness()
    await mesh.attach(V)
    await mesh.call(createCall(VICTIM))
    const victim = await mesh.connect(VICTIM, FIRST_TOKEN)
    await victim.hello(1)
    const pick = generator(SEED)
    for (let i = 0; i < MUTATIONS; i++) {
      const recorded = sessions(i + 1)[pick(4)] ?? Buffer.alloc(1)
      await throwAt(await mesh.open(), mutate(recorded, pick))
      if (i % 50 === 0) await isWell(victim, i % 256)
    }
    await isWell(victim, 255)
    expect(mesh.server.stats().streams).toBe(1)
    expect(mesh.server.stats().inFlightRequests).toBe(0)
    expect(mesh.server.stats().violations.get(GATEWAY)).toBeGreaterThan(MUTATIONS / 10)
  })

  it('on shard-control changes no shard but the one that is named', async () => {
    const mesh = harness()
    await mesh.attach(V)
    await mesh.attach(VICTIM)
    const victim = await mesh.connect(VICTIM)
    await victim.hello(1)
    const pick = generator(SEED + 1)
    const calls: ControlRequest[] = [
      { call: 'query', volume: V },
      createCall(V),
      { call: 'open', volume: V, token: token(1), holder: holder() },
      {
        call: 'grow',
        volume: V,
        token: token(1),
        sizeBytes: BLOCK_BYTES * 256 * 8,
        runs: [run(4, 8)]
      },
      { call: 'mover', volume: V, token: token(1), mover: holder() },
      { call: 'detach', volume: V, token: token(1) },
      { call: 'remove', volume: V, token: token(1) },
      { call: 'digest', volume: V, extent: 0, generation: 1, column: 0, replica: 0 }
    ]
    const before = await mesh.call({ call: 'query', volume: VICTIM })
    for (let i = 0; i < MUTATIONS; i++) {
      const body = encode(calls[pick(calls.length)])
      const recorded = Buffer.concat([varint(body.length), body])
      const stream = await mesh.gateway.open(SHARD_NODE, SHARD_CONTROL_PROTOCOL)
      await throwAt(stream, mutate(recorded, pick))
    }
    const after = await mesh.call({ call: 'query', volume: VICTIM })
    expect(withoutSilence(after)).toEqual(withoutSilence(before))
    await isWell(victim, 254)
  })

  it('is decoded to a message or a refusal, whatever the bytes', () => {
    const pick = generator(SEED + 2)
    for (let i = 0; i < 5000; i++) {
      const recorded = sessions(i)[pick(4)] ?? Buffer.alloc(1)
      const bytes = mutate(recorded.subarray(0, recorded.readUInt32LE(0)), pick)
      if (bytes.length >= 4 && pick(2) === 0) bytes.writeUInt32LE(bytes.length, 0)
      for (const decoded of [decodeRequest(bytes), decodeAnswer(bytes)]) {
        expect(['object', 'string']).toContain(typeof decoded)
      }
      controlRequestSchema.safeParse(bytes)
    }
  })
})

function withoutSilence(answer: ControlAnswer): object {
  return answer.is === 'state' ? { ...answer.state, holderSilentMs: 0 } : answer
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest])
    bytes.push((rest & 0x7f) | 0x80)
  }
}
