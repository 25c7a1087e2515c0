// Goal: what moves chunks sees and changes shards only as their turns and their durable heads
// allow; a frozen chunk changes nothing, and a tracked one misses no change.
// Method: a real server on a memory mesh; the store is held back where the order matters.
import { describe, expect, it } from 'vitest'
import { HEAT_CHUNKS, HEAT_HALF_LIFE_MS } from '../../node/limits.ts'
import type { Clock } from '../../node/ports.ts'
import { chunkNumber } from '../../node/shard/chunk-number.ts'
import { HeatMeter } from '../../node/shard/heat.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { ChunkKey, HandoffId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import {
  GATEWAY,
  HandClock,
  harness,
  holder,
  run,
  spec,
  token,
  until,
  volumeId
} from '../support/shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from '../support/shard-memory-store.ts'

const V = volumeId(1)
const FIRST = '00000000000000a1' as HandoffId
const SECOND = '00000000000000a2' as HandoffId
const at = (extent: number): ChunkKey => ({
  volume: V,
  extent,
  generation: 1,
  column: 0,
  replica: 0
})
const range = (first: number, count: number) => ({
  offsetBytes: first * BLOCK_BYTES,
  lengthBytes: count * BLOCK_BYTES
})

function put(extent: number, first = 0, count = 1) {
  const data = Buffer.alloc(count * BLOCK_BYTES, 7)
  return {
    op: Op.write,
    chunk: at(extent),
    ...range(first, count),
    data,
    crcs: blockChecksums(data)
  }
}

const empty: ShardHead = {
  spec: spec(V),
  sizeBytes: 4 * MiB,
  token: token(1),
  writer: token(1),
  holder: undefined,
  mover: undefined,
  runs: [],
  released: [],
  receiving: []
}

async function greeted(options: { store?: MemoryChunkStore; clock?: Clock } = {}) {
  const mesh = harness(options)
  await mesh.attach(V)
  const client = await mesh.connect(V)
  await client.hello(1)
  return { mesh, client, replicas: mesh.server.replicas }
}

describe('update', () => {
  it('takes its turn after grants that wait, and decides on what they left', async () => {
    const { mesh, replicas } = await greeted()
    mesh.store.hold()
    const opened = mesh.server.control({
      call: 'open',
      volume: V,
      token: token(3),
      holder: holder(2)
    })
    await until(() => mesh.store.heldCalls === 1)
    const seen: Array<number | undefined> = []
    const updated = replicas.update(V, head => {
      seen.push(head?.token.counter)
      return 'void'
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(seen).toEqual([])
    mesh.store.release()
    expect([(await opened).is, await updated]).toEqual(['state', 'void'])
    expect(seen).toEqual([3])
  })

  it('is in force only once it is durable, and not at all if it cannot be', async () => {
    const medium = new MemoryMedium()
    const { mesh, client, replicas } = await greeted({ store: new MemoryChunkStore(medium) })
    const epoch = { token: token(2), counter: 3 }
    const away = (head: ShardHead | undefined): ShardHead => ({
      ...(head ?? empty),
      runs: [run(0, 3)],
      released: [{ run: run(3, 4, 0, epoch), to: GATEWAY, handoff: FIRST }]
    })
    mesh.store.failNext('saveShard', 'IO_ERROR')
    await expect(replicas.update(V, away)).rejects.toThrow()
    expect((await client.ask(put(3))).status).toBe(Status.ok)
    mesh.store.hold()
    const updated = replicas.update(V, away)
    await until(() => mesh.store.heldCalls === 1)
    expect(replicas.head(V)?.released).toEqual([])
    mesh.store.release()
    expect(await updated).toBe(replicas.head(V))
    const moved = await client.ask({ op: Op.read, chunk: at(3), ...range(0, 1) })
    expect([moved.status, moved.movedTo]).toEqual([Status.moved, { node: GATEWAY, epoch }])
    medium.losePower()
    const again = harness({ store: new MemoryChunkStore(medium) })
    expect(again.server.replicas.head(V)?.released.length).toBe(1)
  })

  it('saves nothing where nothing changes', async () => {
    const { mesh, replicas } = await greeted()
    mesh.store.calls = []
    const head = replicas.head(V)
    expect(await replicas.update(V, present => present ?? 'gone')).toBe(head)
    expect(mesh.store.calls).toEqual([])
  })

  it('makes a shard that holds nothing, which answers everything sanely', async () => {
    const mesh = harness()
    const { replicas } = mesh.server
    expect(await replicas.update(V, () => empty)).toEqual(empty)
    const opened = await mesh.call({
      call: 'open',
      volume: V,
      token: token(2),
      holder: holder()
    })
    expect(opened).toMatchObject({ is: 'state', state: { runs: [], token: token(2) } })
    const grow = { call: 'grow', volume: V, token: token(2), sizeBytes: 8 * MiB, runs: [] } as const
    expect(await mesh.call({ ...grow, runs: [] })).toMatchObject({ state: { sizeBytes: 8 * MiB } })
    const client = await mesh.connect(V)
    expect((await client.hello(1)).status).toBe(Status.ok)
    expect((await client.ask(put(0))).status).toBe(Status.noChunk)
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
    expect(mesh.server.volumes()).toEqual([V])
  })

  it('never brings a removed volume back, and does nothing out of service', async () => {
    const { mesh, replicas } = await greeted()
    await mesh.call({ call: 'remove', volume: V, token: token(3) })
    expect(await replicas.update(V, () => empty)).toBe('removed')
    expect(mesh.server.volumes()).toEqual([])
    mesh.server.quarantine('a copy')
    expect(await replicas.update(V, () => empty)).toBe('quarantined: a copy')
  })

  it('forgets an empty shard alone, and its streams with it', async () => {
    const { mesh, client, replicas } = await greeted()
    let erased = 0
    const erase = async () => {
      erased += 1
    }
    expect(await replicas.forget(V, erase)).toBe('the shard still holds something')
    await replicas.update(V, head => ({ ...(head ?? empty), runs: [] }))
    await expect(replicas.forget(V, () => Promise.reject(new Error('full')))).rejects.toThrow(
      'full'
    )
    expect((await client.ask({ op: Op.flush })).status).toBe(Status.ok)
    expect(await replicas.forget(V, erase)).toBeUndefined()
    await client.closed
    expect([erased, mesh.server.volumes()]).toEqual([1, []])
  })
})

describe('a chunk on its way', () => {
  it('is not served before it is held, not even named, and then at its epoch alone', async () => {
    const { client, replicas } = await greeted()
    const [gone, back] = [5, 9].map(counter => ({ token: token(2), counter }))
    if (gone === undefined || back === undefined) throw new Error('two epochs')
    const receiving = {
      run: run(3, 4, 0, back),
      from: GATEWAY,
      handoff: FIRST,
      isPrepared: true,
      reservedBytes: 0
    }
    const released = [
      { run: run(2, 4, 0, gone), to: GATEWAY },
      { run: run(2, 3, 0, { ...gone, counter: 4 }), to: GATEWAY, handoff: SECOND }
    ]
    const runs = [run(0, 2)]
    await replicas.update(V, head => ({
      ...(head ?? empty),
      runs,
      released,
      receiving: [receiving]
    }))
    const read = (extent: number) => ({ op: Op.read, chunk: at(extent), ...range(0, 1) })
    expect((await client.ask(read(2))).movedTo).toEqual({ node: GATEWAY, epoch: gone })
    for (const asked of [read(3), put(3), { ...put(3), epoch: back }]) {
      expect((await client.ask(asked)).status).toBe(Status.noChunk)
    }
    const held = [...runs, receiving.run]
    await replicas.update(V, head => ({ ...(head ?? empty), runs: held, receiving: [] }))
    expect((await client.ask(put(3))).status).toBe(Status.noChunk)
    expect((await client.ask({ ...put(3), epoch: back })).status).toBe(Status.ok)
  })
})

describe('a frozen chunk', () => {
  it('is read and not changed until everyone who froze it has thawed it', async () => {
    const { client, replicas } = await greeted()
    replicas.freeze(at(1), FIRST)
    replicas.freeze(at(1), FIRST)
    replicas.freeze(at(1), SECOND)
    const changes = [put(1), { ...put(1), op: Op.trim, data: Buffer.alloc(0) }].map(asked => ({
      ...asked,
      crcs: asked.op === Op.write ? asked.crcs : new Uint32Array(0)
    }))
    for (const change of changes) {
      const answer = await client.ask(change)
      expect(answer.status).toBe(Status.busy)
      expect(answer.retryAfterMs).toBeGreaterThan(0)
    }
    const read = await client.ask({ op: Op.read, chunk: at(1), ...range(0, 1) })
    expect([read.status, read.data[0]]).toEqual([Status.ok, 0])
    expect((await client.ask(put(0))).status).toBe(Status.ok)
    replicas.thaw(at(1), FIRST)
    expect((await client.ask(put(1))).status).toBe(Status.busy)
    replicas.thaw(at(1), SECOND)
    replicas.thaw(at(1), SECOND)
    expect((await client.ask(put(1))).status).toBe(Status.ok)
  })

  it('freezes what waits in the queue as well', async () => {
    const { mesh, client, replicas } = await greeted()
    mesh.store.hold()
    const begun = Array.from({ length: 256 }, () => client.ask(put(0)))
    await until(() => mesh.store.heldCalls === 256)
    const queued = client.ask(put(1))
    await until(() => mesh.server.stats().shards[0]?.queued === 1)
    replicas.freeze(at(1), FIRST)
    mesh.store.release()
    expect((await queued).status).toBe(Status.busy)
    await Promise.all(begun)
  })
})

describe('a tracked chunk', () => {
  it('marks what every change touches before the store settles it, or fails it', async () => {
    const { mesh, client, replicas } = await greeted()
    await client.ask(put(1, 0))
    const dirty = replicas.track(at(1))
    if (dirty === undefined) throw new Error('the chunk is held')
    expect([dirty.blocks, dirty.count]).toEqual([128, 0])
    expect(() => replicas.track(at(1))).toThrow('broken invariant')
    mesh.store.hold()
    const flags = Flag.allocate
    const asked = [
      client.ask(put(1, 3, 2)),
      client.ask({ op: Op.trim, chunk: at(1), ...range(8, 1) }),
      client.ask({ op: Op.zero, flags, chunk: at(1), ...range(10, 4) }),
      client.ask({ op: Op.read, chunk: at(1), ...range(20, 1) }),
      client.ask(put(0, 30))
    ]
    await until(() => mesh.store.heldCalls === 5)
    expect(dirty.count).toBe(7)
    mesh.store.release()
    await Promise.all(asked)
    const taken = [dirty.take(0, 100), dirty.take(5, 100), dirty.take(9, 3), dirty.take(13, 3)]
    expect(taken).toEqual([
      { first: 3, count: 2 },
      { first: 8, count: 1 },
      { first: 10, count: 3 },
      { first: 13, count: 1 }
    ])
    mesh.store.failNext('write', 'NO_SPACE')
    expect((await client.ask(put(1, 50))).status).toBe(Status.noSpace)
    expect(dirty.take(0, 9)).toEqual({ first: 50, count: 1 })
    dirty.close()
    await client.ask(put(1, 60))
    expect(dirty.count).toBe(0)
    expect(replicas.track(at(1))?.count).toBe(0)
    expect(replicas.track(at(9))).toBeUndefined()
  })

  it('is known to have settled once all that had begun has, whatever begins later', async () => {
    const { mesh, client, replicas } = await greeted()
    await replicas.settled(V)
    mesh.store.hold()
    const first = client.ask(put(0))
    await until(() => mesh.store.heldCalls === 1)
    let settled = 0
    const count = () => {
      settled += 1
    }
    const waits = [replicas.settled(V).then(count), replicas.settled(V).then(count)]
    const second = client.ask(put(1))
    await until(() => mesh.store.heldCalls === 2)
    const third = replicas.settled(V)
    expect(settled).toBe(0)
    mesh.store.release(1)
    await Promise.all([first, ...waits])
    expect(client.answers.length).toBe(2)
    mesh.store.release()
    await Promise.all([second, third])
  })
})

describe('what clients notice', () => {
  it('is counted from the arrival of a request to its answer', async () => {
    const clock = new HandClock()
    const { mesh, client, replicas } = await greeted({ clock })
    expect(replicas.clientLoad()).toMatchObject({ requests: 0, bytes: 0 })
    mesh.store.hold()
    const asked = [client.ask(put(0, 0, 2)), client.ask({ op: Op.flush })]
    await until(() => mesh.store.heldCalls === 2)
    await new Promise(resolve => setImmediate(resolve))
    clock.nowMs += 30
    mesh.store.release()
    await Promise.all(asked)
    const load = { requests: 2, latencyMsSum: 60, bytes: 2 * BLOCK_BYTES }
    expect(replicas.clientLoad()).toEqual({ ...load, latencyMsMax: 30 })
    await client.ask({ op: Op.read, lengthBytes: 0 })
    clock.nowMs += 250
    expect(replicas.clientLoad()).toEqual({ ...load, latencyMsMax: 0 })
  })

  it('names the hottest held chunks, by requests of the last minutes', async () => {
    const clock = new HandClock()
    const { client, replicas } = await greeted({ clock })
    for (let i = 0; i < 40; i++) await client.ask(put(2, i))
    clock.nowMs += 4 * HEAT_HALF_LIFE_MS
    for (let i = 0; i < 10; i++) await client.ask(put(1, i))
    const [first, second] = replicas.hottest(V, 5)
    expect([first?.chunk, second?.chunk]).toEqual([at(1), at(2)])
    expect((first?.perSecond ?? 0) / (second?.perSecond ?? 1)).toBeCloseTo(4, 1)
    await replicas.update(V, head => ({ ...(head ?? empty), runs: [run(2, 3)] }))
    expect(replicas.hottest(V, 5).map(one => one.chunk)).toEqual([at(2)])
  })

  it('measures a steady rate as it is, and keeps the hottest within its bound', () => {
    const meter = new HeatMeter(0)
    const map = meter.add()
    const end = 1000 * HEAT_HALF_LIFE_MS
    // Ten a second for the last four half-lives, after a time so long that sums began anew.
    for (let ms = end - 4 * HEAT_HALF_LIFE_MS; ms < end; ms += 100) {
      meter.touch(map, chunkNumber(at(0)), false, 4096, ms)
    }
    const rate = meter.hottest(map, spec(V), () => true, 1, end)[0]?.perSecond ?? 0
    expect(rate).toBeGreaterThan(9)
    expect(rate).toBeLessThan(10.1)
    for (let extent = 1; extent < 2 * HEAT_CHUNKS; extent++) {
      meter.touch(map, chunkNumber(at(extent)), false, 4096, end)
    }
    expect(meter.count).toBeLessThanOrEqual(HEAT_CHUNKS)
    expect(meter.hottest(map, spec(V), () => true, 1, end)[0]?.chunk).toEqual(at(0))
    meter.remove(map)
    expect(meter.count).toBe(0)
  })
})
