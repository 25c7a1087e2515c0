// Goal: what the monitor says of a shard is what the shard was asked, whatever the clocks do.
// Method: a real shard server over the in-memory store, known requests, and a clock that stands
// until it is moved.
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { LATENCY_ERROR } from '../../protocols/load/histogram.ts'
import { IDLE, LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import { Flag, Op, Status } from '../../protocols/shard-io/messages.ts'
import {
  createCall,
  FIRST_TOKEN,
  HandClock,
  harness,
  token,
  until,
  volumeId
} from '../support/shard-harness.ts'

/** A minute begins with it. */
const FIRST_SECOND = 6_000_000
const V = volumeId(1)
const W = volumeId(2)

const chunk = (extent: number, volume = V) => ({
  volume,
  extent,
  generation: 1,
  column: 0,
  replica: 0
})
const range = (offsetBlocks: number, blocks: number) => ({
  offsetBytes: offsetBlocks * BLOCK_BYTES,
  lengthBytes: blocks * BLOCK_BYTES
})
const get = (offsetBlocks = 0, blocks = 1, extent = 0) => ({
  op: Op.read,
  chunk: chunk(extent),
  ...range(offsetBlocks, blocks)
})
const put = (offsetBlocks = 0, blocks = 1, extent = 0) => ({
  op: Op.write,
  chunk: chunk(extent),
  ...range(offsetBlocks, blocks),
  data: Buffer.alloc(blocks * BLOCK_BYTES, 1)
})

async function watched(options: { monitor?: boolean } = {}) {
  const clock = new HandClock()
  const mesh = harness({ clock, ...options })
  await mesh.attach(V)
  const client = mesh.connectLocal(V)
  expect((await client.hello(1)).status).toBe(Status.ok)
  const { monitor } = mesh.server
  let second = FIRST_SECOND - 2
  /** The clock goes on by `ms`, the wall clock by as many seconds. */
  const turn = (ms = 1000) => {
    clock.nowMs += ms
    second += Math.round(ms / 1000)
    return monitor.turn(second)
  }
  turn()
  return { clock, mesh, client, monitor, turn }
}

/** The server reads its clock once a tick. */
function tickOver(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function recordOf(tick: { shards: ReadonlyArray<{ record: LoadRecord }> } | undefined): LoadRecord {
  expect(tick?.shards.length).toBe(1)
  return tick?.shards[0]?.record ?? IDLE
}

function expectFinite(record: LoadRecord): void {
  for (const field of LOAD_FIELDS) {
    expect(Number.isFinite(record[field]), `${field} ${record[field]}`).toBe(true)
    expect(record[field]).toBeGreaterThanOrEqual(0)
  }
}

describe('the load of a second', () => {
  it('is what was asked, per second of the time that passed', async () => {
    const { client, mesh, turn } = await watched()
    for (let i = 0; i < 6; i++) await client.ask(get(8 * i, 4))
    for (let i = 0; i < 4; i++) await client.ask(put(8 * i + 1, 2, 1))
    const { second } = turn(2000)
    const expected = {
      ...{ reads: 3, writes: 2, readBytes: 48 * KiB, writtenBytes: 16 * KiB },
      // Answered in the tick in which they came: in less than the clock tells, but not in nothing.
      ...{ sequential: 0, queue: 0, p50Us: 1, p99Us: 1 }
    }
    expect(second?.shards).toEqual([{ volume: V, record: expected }])
    expect(second?.node).toEqual(expected)
    const [stats] = mesh.server.stats().shards
    expect(stats).toMatchObject({ readOperations: 6, writeOperations: 4, writtenBytes: 32 * KiB })
  })

  it('counts trims and zeroes as writes of nothing, and no flush, refusal or sign of life', async () => {
    const { client, clock, mesh, monitor, turn } = await watched()
    await client.ask({ op: Op.trim, ...range(0, 8) })
    await client.ask({ op: Op.zero, ...range(8, 8) })
    await client.ask({ op: Op.zero, flags: Flag.allocate, ...range(8, 8) })
    mesh.store.hold()
    const others = [client.ask({ op: Op.flush }), client.ask({ op: Op.map, ...range(0, 8) })]
    await until(() => mesh.store.heldCalls === 2)
    await tickOver()
    clock.nowMs += 300
    mesh.store.release()
    await Promise.all(others)
    await client.ask(get(0, 0))
    expect((await client.ask(get(0, 1, 9))).status).toBe(Status.noChunk)
    expect((await client.ask({ ...put(), crcs: Uint32Array.of(1) })).status).toBe(
      Status.badChecksum
    )
    // The first zeroes begin where the trim ended.
    const record = { ...IDLE, writes: 3, sequential: 1 / 3, p50Us: 1, p99Us: 1 }
    expect(recordOf(turn(700).second)).toEqual(record)
    expect(turn().second?.shards).toEqual([])
    expect(monitor.details(V)?.sizes.writes.every(count => count === 0)).toBe(true)
  })

  it('counts a request whose store fails, too: it was asked', async () => {
    const { client, mesh, turn } = await watched()
    mesh.store.failNext('read', 'IO_ERROR')
    expect((await client.ask(get())).status).toBe(Status.ioError)
    expect(recordOf(turn().second).reads).toBe(1)
    expect(turn().second?.shards).toEqual([])
  })

  it('knows streams that take turns as sequential, and scattered requests not', async () => {
    const { client, monitor, turn } = await watched()
    for (let step = 0; step < 10; step++) {
      for (const extent of [0, 1, 2]) await client.ask(get(2 * step, 2, extent))
      await client.ask(put(64 + ((step * 7) % 60), 1, 3))
    }
    // Of each stream all but its first; a chunk does not go on where another one ends.
    expect(recordOf(turn().second).sequential).toBeCloseTo(27 / 40, 9)
    for (let i = 0; i < 40; i++) await client.ask(get((i * 37) % 61, 1, 3))
    expect(recordOf(turn().second).sequential).toBe(0)
    expect(monitor.details(V)).toMatchObject({ requests: 80, sequential: 27 / 80 })
  })

  it('measures from arrival to answer, and how many wait by the time they spend', async () => {
    const { client, clock, mesh, turn } = await watched()
    mesh.store.hold()
    const asked = Array.from({ length: 10 }, (_, i) => client.ask(get(i * 3)))
    await until(() => mesh.store.heldCalls === 10)
    clock.nowMs += 200
    mesh.store.release(9)
    await Promise.all(asked.slice(0, 9))
    // One hangs: after this second it has been here for all of it, and nine for a fifth.
    const first = recordOf(turn(800).second)
    expect(Math.abs(first.p50Us / 200_000 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(first.queue).toBeCloseTo(9 * 0.2 + 1, 9)
    await tickOver()
    const hanging = recordOf(turn().second)
    expect(hanging).toEqual({ ...IDLE, queue: 1 })
    clock.nowMs += 500
    mesh.store.release()
    await Promise.all(asked)
    const last = recordOf(turn(500).second)
    expect(last).toMatchObject({ reads: 0, queue: 0.5 })
    expect(Math.abs(last.p99Us / 2_500_000 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(turn().second?.shards).toEqual([])
  })

  it('counts what waits for its turn here, not only what the store has', async () => {
    const { client, clock, mesh, turn } = await watched()
    mesh.store.hold()
    const asked = Array.from({ length: 300 }, (_, i) => client.ask(get(i % 64)))
    await until(() => mesh.store.heldCalls === 256)
    clock.nowMs += 100
    mesh.store.release()
    await Promise.all(asked)
    expect(recordOf(turn(900).second).queue).toBeCloseTo(30, 9)
  })

  it('is of each shard for itself, and of the node over all', async () => {
    const { client, mesh, turn } = await watched()
    await mesh.call(createCall(W))
    const other = mesh.connectLocal(W, FIRST_TOKEN)
    await other.hello(1)
    await client.ask(get())
    for (let i = 0; i < 3; i++) await other.ask({ ...put(i * 2), chunk: chunk(0, W) })
    const { second } = turn()
    const loads = new Map(second?.shards.map(({ volume, record }) => [volume, record]))
    expect(loads.get(V)).toMatchObject({ reads: 1, writes: 0 })
    expect(loads.get(W)).toMatchObject({ reads: 0, writes: 3 })
    expect(second?.node).toMatchObject({ reads: 1, writes: 3, writtenBytes: 12 * KiB })
  })

  it('has no record of a shard that is idle or gone', async () => {
    const { client, mesh, turn } = await watched()
    for (let i = 10; i < 200; i++) await mesh.call(createCall(volumeId(i)))
    expect(turn().second).toEqual({ shards: [], node: IDLE })
    await client.ask(get())
    await mesh.call({ call: 'remove', volume: V, token: token(9) })
    await until(() => mesh.server.stats().shards.every(({ volume }) => volume !== V))
    const { second } = turn()
    expect(second?.shards).toEqual([])
    expect(mesh.server.monitor.details(V)).toBeUndefined()
  })
})

describe('the load of a minute', () => {
  it('is told once the next one begins, with the quantiles of all its requests', async () => {
    const { client, clock, mesh, turn } = await watched()
    for (let second = 0; second < 60; second++) {
      if (second < 30) {
        mesh.store.hold()
        const asked = client.ask(put(second * 2))
        await until(() => mesh.store.heldCalls === 1)
        await tickOver()
        // One in ten takes long.
        clock.nowMs += second % 10 === 0 ? 100 : 10
        mesh.store.release()
        await asked
        const tick = turn(second % 10 === 0 ? 900 : 990)
        expect(tick.second?.shards.length).toBe(1)
        if (second > 0) expect(tick.minute).toBeUndefined()
      } else turn()
    }
    const { minute } = turn()
    expect(minute?.minute).toBe(FIRST_SECOND / 60)
    expect(minute?.lengthMs).toBe(60_000)
    const record = recordOf(minute)
    expect(record).toMatchObject({ reads: 0, writes: 0.5, writtenBytes: 2 * KiB })
    expect(record.queue).toBeCloseTo((27 * 10 + 3 * 100) / 60_000, 9)
    expect(Math.abs(record.p50Us / 10_000 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(Math.abs(record.p99Us / 100_000 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(minute?.node).toEqual(record)
    const idle = turn(60_000)
    expect(idle.minute?.shards).toEqual([])
    expect(idle.minute?.node).toEqual(IDLE)
  })
})

describe('the wall clock', () => {
  it.each([
    ['stands', 0],
    ['goes back', -7200],
    ['jumps ahead', 86_400],
    ['is before 1970', -7_000_000]
  ])('may %s: rates are over the time that passed', async (_what, jump) => {
    const { client, clock, monitor } = await watched()
    let second = 6_000_100
    monitor.turn(second)
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 4; j++) await client.ask(put(i * 8 + j * 2))
      clock.nowMs += 1000
      second += jump
      const tick = monitor.turn(second)
      const record = recordOf(tick.second)
      expect(record.writes).toBe(4)
      expectFinite(record)
      if (tick.minute !== undefined && tick.minute.shards.length > 0) {
        expect(recordOf(tick.minute).writes).toBe(4)
      }
    }
  })

  it('may make a turn come at once: its load comes with the next', async () => {
    const { client, clock, monitor, turn } = await watched()
    await client.ask(put())
    clock.nowMs += 1000
    expect(recordOf(monitor.turn(6_000_002).second).writes).toBe(1)
    await client.ask(put(4))
    for (const second of [6_000_002, 6_000_003, 5_000_000]) {
      const tick = monitor.turn(second)
      expect(tick.second).toBeUndefined()
      for (const { record } of tick.minute?.shards ?? []) expectFinite(record)
    }
    expect(recordOf(turn(500).second).writes).toBe(2)
  })

  it('may stand still for long: rates are over all of it', async () => {
    const { client, turn } = await watched()
    await client.ask(put())
    expect(recordOf(turn(10_000).second).writes).toBe(0.1)
  })
})

describe('a server that measures nothing', () => {
  it('serves as ever, and has no load and no heat to tell', async () => {
    const { client, mesh, monitor, turn } = await watched({ monitor: false })
    expect((await client.ask(put())).status).toBe(Status.ok)
    expect(turn().second).toEqual({ shards: [], node: IDLE })
    expect(monitor.details(V)).toBeUndefined()
    expect(mesh.server.replicas.hottest(V, 5)).toEqual([])
    expect(mesh.server.stats().shards[0]?.writeOperations).toBe(1)
  })
})
