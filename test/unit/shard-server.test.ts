// Goal: a shard applies exactly what its durable grants allow, in the order of tokens and sessions,
// and one bad peer never touches another.
// Method: a real server on a memory mesh over the in-memory store; the store is held back where the
// order of events matters.
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { LOCAL_QUEUE_FACTOR, STREAM_QUEUE_REQUESTS } from '../../node/limits.ts'
import type { Clock } from '../../node/ports.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import {
  createCall,
  FIRST_TOKEN,
  GATEWAY,
  type Harness,
  harness,
  holder,
  type IoClient,
  request,
  run,
  SHARD_NODE,
  token,
  until,
  volumeId
} from '../support/shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from '../support/shard-memory-store.ts'

const V = volumeId(1)

function block(byte: number, blocks = 1): Buffer {
  return Buffer.alloc(blocks * BLOCK_BYTES, byte)
}

function write(byte: number, offsetBlocks = 0, blocks = 1) {
  const data = block(byte, blocks)
  return { op: Op.write, offsetBytes: offsetBlocks * BLOCK_BYTES, lengthBytes: data.length, data }
}

function withCrcs<T extends { data: Uint8Array }>(fields: T): T & { crcs: Uint32Array } {
  return { ...fields, crcs: blockChecksums(fields.data) }
}

const put = (byte: number, offsetBlocks = 0, blocks = 1) =>
  withCrcs(write(byte, offsetBlocks, blocks))
const get = (offsetBlocks = 0, blocks = 1) => ({
  op: Op.read,
  offsetBytes: offsetBlocks * BLOCK_BYTES,
  lengthBytes: blocks * BLOCK_BYTES
})

async function greeted(mesh: Harness, how: 'stream' | 'local' = 'stream'): Promise<IoClient> {
  await mesh.attach(V)
  const client = how === 'stream' ? await mesh.connect(V) : mesh.connectLocal(V)
  expect((await client.hello(1)).status).toBe(Status.ok)
  return client
}

describe.each(['stream', 'local'] as const)('reads and changes over a %s connection', how => {
  it('answers a hello with the incarnation of the store', async () => {
    const mesh = harness()
    await mesh.attach(V)
    const client = how === 'stream' ? await mesh.connect(V) : mesh.connectLocal(V)
    expect((await client.hello(1)).incarnation).toEqual(mesh.store.incarnation)
  })

  it('reads back what was written, holes as zeroes, with checksums that match', async () => {
    const client = await greeted(harness(), how)
    expect((await client.ask(put(7, 1, 2))).status).toBe(Status.ok)
    const answer = await client.ask(get(0, 4))
    expect(Buffer.compare(answer.data, Buffer.concat([block(0), block(7, 2), block(0)]))).toBe(0)
    expect(answer.crcs).toEqual(blockChecksums(answer.data))
  })

  it('maps data and holes, trims, and zeroes with and without allocation', async () => {
    const client = await greeted(harness(), how)
    await client.ask(put(7, 0, 4))
    const range = { offsetBytes: BLOCK_BYTES, lengthBytes: BLOCK_BYTES }
    await client.ask({ op: Op.trim, ...range })
    const holes = await client.ask({ op: Op.map, lengthBytes: 8 * BLOCK_BYTES })
    expect([...holes.runs]).toEqual([1, 1, 2, 4])
    await client.ask({ op: Op.zero, flags: Flag.allocate, ...range })
    const filled = await client.ask({ op: Op.map, lengthBytes: 8 * BLOCK_BYTES })
    expect([...filled.runs]).toEqual([4, 4])
    expect(Buffer.compare((await client.ask(get(1))).data, block(0))).toBe(0)
  })

  it('answers a write with a wrong checksum BAD_CHECKSUM and stores nothing', async () => {
    const client = await greeted(harness(), how)
    const crcs = Uint32Array.from([1])
    expect((await client.ask({ ...put(9), crcs })).status).toBe(Status.badChecksum)
    expect(Buffer.compare((await client.ask(get())).data, block(0))).toBe(0)
  })

  it('answers NO_CHUNK for what is not held at exactly this epoch, never zeroes', async () => {
    const client = await greeted(harness(), how)
    const chunk = { volume: V, extent: 0, generation: 1, column: 0, replica: 0 }
    const others = [
      { chunk: { ...chunk, extent: 4 } },
      { chunk: { ...chunk, column: 1 } },
      { chunk: { ...chunk, generation: 2 } },
      { chunk: { ...chunk, replica: 1 } },
      { epoch: { token: FIRST_TOKEN, counter: 0 } },
      { epoch: { token: FIRST_TOKEN, counter: 2 } },
      { epoch: { token: token(2), counter: 1 } }
    ]
    for (const other of others) {
      expect((await client.ask({ ...get(), ...other })).status).toBe(Status.noChunk)
      expect((await client.ask({ ...put(1), ...other })).status).toBe(Status.noChunk)
    }
  })

  it('makes a FUA write durable before it answers, and a plain one only with a flush', async () => {
    const medium = new MemoryMedium()
    const client = await greeted(harness({ store: new MemoryChunkStore(medium) }), how)
    await client.ask(put(1, 0))
    await client.ask({ ...put(2, 1), flags: Flag.fua })
    await client.ask(put(3, 2))
    expect(medium.unsynced.size).toBe(1)
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
    expect(medium.unsynced.size).toBe(0)
  })

  it('maps what the store refuses to the statuses of the wire', async () => {
    const mesh = harness()
    const client = await greeted(mesh, how)
    await client.ask(put(5))
    mesh.store.failNext('write', 'NO_SPACE')
    expect((await client.ask(put(1))).status).toBe(Status.noSpace)
    mesh.store.failNext('read', 'IO_ERROR')
    expect((await client.ask(get())).status).toBe(Status.ioError)
    mesh.store.rot({ volume: V, extent: 0, generation: 1, column: 0, replica: 0 }, 0)
    const rotten = await client.ask(get())
    expect([rotten.status, rotten.data.length]).toEqual([Status.badChecksum, 0])
    expect((await client.ask(get(1))).status).toBe(Status.ok)
  })

  it('discards what an older session had queued before it answers a newer hello', async () => {
    const mesh = harness()
    const old = await greeted(mesh, how)
    mesh.store.hold()
    for (let i = 0; i < 300; i++) void old.ask(put(1, i % 64))
    await until(() => mesh.store.heldCalls === 256)
    const young = how === 'stream' ? await mesh.connect(V) : mesh.connectLocal(V)
    const hello = young.hello(2)
    await until(() => mesh.server.stats().shards[0]?.queued === 0)
    expect(young.answers).toEqual([])
    mesh.store.calls = []
    mesh.store.release()
    expect((await hello).status).toBe(Status.ok)
    await old.closed
    expect(mesh.store.calls).toEqual([])
  })
})

describe('tokens', () => {
  it('answers STALE_TOKEN, with the greatest counter, to a hello under any other token', async () => {
    const mesh = harness()
    await mesh.attach(V, token(5))
    for (const under of [token(4), token(6), token(5, 2), FIRST_TOKEN]) {
      const answer = await (await mesh.connect(V, under)).hello(1)
      expect([answer.status, answer.tokenCounter]).toEqual([Status.staleToken, 5])
    }
  })

  it('refuses everything of the old writer once a greater token is granted', async () => {
    const mesh = harness()
    const old = await greeted(mesh)
    await mesh.call({ call: 'open', volume: V, token: token(3), holder: holder(2) })
    for (const asked of [get(), put(1), { op: Op.flush }, { ...get(), lengthBytes: 0 }]) {
      const answer = await old.ask(asked)
      expect([answer.status, answer.tokenCounter]).toEqual([Status.staleToken, 3])
    }
  })

  it('answers an open only after what the old token had begun settled, and the rest is refused', async () => {
    const mesh = harness()
    const old = await greeted(mesh)
    mesh.store.hold()
    const begun = Array.from({ length: 300 }, (_, i) => old.ask(put(1, i % 64)))
    await until(() => mesh.store.heldCalls === 256)
    let isOpen = false
    const opened = mesh.server
      .control({ call: 'open', volume: V, token: token(3), holder: holder(2) })
      .then(answer => {
        isOpen = true
        return answer
      })
    await until(() => mesh.store.heldCalls === 257)
    mesh.store.release(256)
    await Promise.all(begun.slice(0, 256))
    expect(isOpen).toBe(false)
    mesh.store.release()
    expect((await opened).is).toBe('state')
    const statuses = (await Promise.all(begun)).map(answer => answer.status)
    expect(statuses.every(status => status === Status.ok || status === Status.staleToken)).toBe(
      true
    )
    expect((await old.ask(put(1))).status).toBe(Status.staleToken)
  })

  it('keeps a grant over a restart of the server', async () => {
    const medium = new MemoryMedium()
    await harness({ store: new MemoryChunkStore(medium) }).attach(V, token(7))
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium) })
    expect((await (await again.connect(V, token(6))).hello(9)).status).toBe(Status.staleToken)
    expect((await (await again.connect(V, token(7))).hello(1)).status).toBe(Status.ok)
  })
})

describe('bad peers and bad weather', () => {
  it('closes and counts a stream whose request its hello did not announce', async () => {
    const mesh = harness()
    const good = await greeted(mesh)
    const bad = [
      (client: IoClient) => client.ask(get()),
      async (client: IoClient) => {
        await client.hello(1)
        void client.ask({ ...get(), token: token(3) })
      },
      async (client: IoClient) => {
        await client.hello(2)
        void client.ask({ ...get(), chunk: request({ volume: V }).chunk })
      },
      async (client: IoClient) => {
        await client.hello(3)
        void client.hello(4)
      }
    ]
    await mesh.call(createCall(volumeId(2)))
    for (const misbehave of bad) {
      const client = await mesh.connect(volumeId(2), FIRST_TOKEN)
      void misbehave(client)
      await client.closed
    }
    expect(mesh.server.stats().violations.get(GATEWAY)).toBe(4)
    expect((await good.ask(get())).status).toBe(Status.ok)
  })

  it('closes a stream that asks beyond the end of its chunk', async () => {
    const mesh = harness()
    const client = await greeted(mesh)
    expect((await client.ask(get((512 * KiB) / BLOCK_BYTES - 1))).status).toBe(Status.ok)
    void client.ask(get((512 * KiB) / BLOCK_BYTES))
    await client.closed
    expect(mesh.server.stats().violations.get(GATEWAY)).toBe(1)
  })

  it('makes a sender wait beyond its queue, and loses nothing of what it sent', async () => {
    const mesh = harness()
    const client = await greeted(mesh)
    mesh.store.hold()
    const count = STREAM_QUEUE_REQUESTS * 4
    const answers = Array.from({ length: count }, (_, i) => client.ask(put(1, i % 64)))
    await until(() => (mesh.server.stats().shards[0]?.queued ?? 0) >= STREAM_QUEUE_REQUESTS)
    for (let tick = 0; tick < 50; tick++) await new Promise(resolve => setImmediate(resolve))
    expect(mesh.server.stats().shards[0]?.queued).toBeLessThan(STREAM_QUEUE_REQUESTS + 300)
    mesh.store.release()
    const statuses = await Promise.all(answers)
    expect(statuses.every(answer => answer.status === Status.ok)).toBe(true)
  })

  it('gives a volume with few requests its turn beside one with thousands', async () => {
    const mesh = harness()
    const greedy = await greeted(mesh)
    await mesh.call(createCall(volumeId(2)))
    const modest = await mesh.connect(volumeId(2), FIRST_TOKEN)
    await modest.hello(1)
    mesh.store.hold()
    const order: string[] = []
    for (let i = 0; i < 600; i++) void greedy.ask(get(0, 16)).then(() => order.push('greedy'))
    await until(() => mesh.store.heldCalls === 256)
    for (let i = 0; i < 8; i++) void modest.ask(get()).then(() => order.push('modest'))
    await until(() =>
      mesh.server.stats().shards.some(s => s.volume === volumeId(2) && s.queued === 8)
    )
    while (order.length < 608) {
      mesh.store.release(16)
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(order.lastIndexOf('modest')).toBeLessThan(256 + 64)
  })

  it('closes every stream when the store fails, answers nothing in flight, and refuses hellos', async () => {
    const mesh = harness()
    const client = await greeted(mesh)
    mesh.store.hold()
    void client.ask(put(1))
    await until(() => mesh.store.heldCalls === 1)
    mesh.store.fail(new Error('fdatasync failed'))
    mesh.store.release()
    await client.closed
    expect(client.answers.length).toBe(1)
    expect((await (await mesh.connect(V)).hello(2)).status).toBe(Status.ioError)
    expect((await mesh.call({ call: 'query', volume: V })).is).toBe('failed')
  })

  it('serves nothing in quarantine and says why', async () => {
    const mesh = harness()
    const client = await greeted(mesh)
    mesh.server.quarantine('restored from a copy')
    await client.closed
    expect((await (await mesh.connect(V)).hello(2)).status).toBe(Status.ioError)
    const answer = await mesh.call({ call: 'query', volume: V })
    expect(answer).toEqual({ is: 'failed', why: 'quarantined: restored from a copy' })
    expect(() => mesh.server.connectLocal()).toThrow('restored from a copy')
  })

  it('forgets a broken stream at once and resolves close when the store has settled', async () => {
    const mesh = harness()
    const client = await greeted(mesh)
    mesh.store.hold()
    void client.ask(put(1))
    await until(() => mesh.store.heldCalls === 1)
    mesh.mesh.cut(GATEWAY, SHARD_NODE)
    await until(() => mesh.server.stats().streams === 0)
    let isClosed = false
    const closed = mesh.server.close().then(() => {
      isClosed = true
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(isClosed).toBe(false)
    mesh.store.release()
    await closed
  })

  it('closes a stream that never says hello', async () => {
    const tasks: Array<() => void> = []
    const clock: Clock = {
      ...systemClock,
      after: (_delayMs, task) => {
        tasks.push(task)
        return { cancel: () => {} }
      }
    }
    const mesh = harness({ clock })
    const good = await greeted(mesh)
    const silent = await mesh.connect(V)
    await until(() => mesh.server.stats().streams === 2)
    for (const task of tasks.splice(0)) task()
    await silent.closed
    expect((await good.ask(get())).status).toBe(Status.ok)
  })

  it('answers a local caller BUSY that does not wait, and keeps what it took', async () => {
    const mesh = harness()
    const client = await greeted(mesh, 'local')
    mesh.store.hold()
    const count = STREAM_QUEUE_REQUESTS * (LOCAL_QUEUE_FACTOR + 1)
    const answers = Array.from({ length: count }, (_, i) => client.ask(put(1, i % 64)))
    await until(() => client.answers.length > 1)
    mesh.store.release()
    const statuses = (await Promise.all(answers)).map(answer => answer.status)
    expect(new Set(statuses)).toEqual(new Set([Status.ok, Status.busy]))
    expect((await client.ask(get())).status).toBe(Status.ok)
  })
})

describe('what was passed on', () => {
  it('answers MOVED with the node that holds it now, unless it came back', async () => {
    const store = new MemoryChunkStore()
    const { spec, sizeBytes, token: first } = createCall(V)
    const later = { token: FIRST_TOKEN, counter: 9 }
    await store.saveShard({
      spec,
      sizeBytes,
      token: first,
      writer: first,
      holder: undefined,
      mover: undefined,
      runs: [run(0, 2), run(3, 4, 0, later)],
      released: [{ run: run(2, 4, 0, { token: FIRST_TOKEN, counter: 5 }), to: GATEWAY }],
      receiving: []
    })
    const mesh = harness({ store })
    const client = await mesh.connect(V, FIRST_TOKEN)
    await client.hello(1)
    const at = (extent: number) => ({
      ...get(),
      chunk: { ...request({ volume: V }).chunk, extent }
    })
    expect((await client.ask(at(1))).status).toBe(Status.ok)
    const moved = await client.ask(at(2))
    const epoch = { token: FIRST_TOKEN, counter: 5 }
    expect([moved.status, moved.movedTo]).toEqual([Status.moved, { node: GATEWAY, epoch }])
    expect((await client.ask(at(3))).status).toBe(Status.noChunk)
    expect((await client.ask({ ...at(3), epoch: later })).status).toBe(Status.ok)
  })
})
