// Goal: a node with --max-load begins so many units of load a second and no more, fairly between
// volumes; what waits for it is seen in the measured latency; what was set last holds after a restart.
// Method: a real shard server over the in-memory store, on a clock that the test drives.
import { describe, expect, it } from 'vitest'
import { openNodeLimit } from '../../node/load/node-limit.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import { capacityWithin, shareWithin } from '../../protocols/load/limit.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { Op, Status } from '../../protocols/shard-io/messages.ts'
import { DrivenClock } from '../support/driven-clock.ts'
import { MapDisk } from '../support/map-disk.ts'
import { harness, type IoClient, quietLog, until, volumeId } from '../support/shard-harness.ts'

const [V, W] = [volumeId(1), volumeId(2)]
const UNITS_OF_BLOCK = 1 + (4 * KiB) / (32 * KiB)

const settled = () => new Promise<void>(resolve => setImmediate(() => setImmediate(resolve)))

async function bounded(maxLoad: number | undefined) {
  const clock = new DrivenClock()
  const mesh = harness({ clock })
  const clients = await Promise.all(
    [V, W].map(async volume => {
      await mesh.attach(volume)
      const client = mesh.connectLocal(volume)
      expect((await client.hello(1)).status).toBe(Status.ok)
      return client
    })
  )
  const [first, second] = clients
  if (first === undefined || second === undefined) throw new Error('two clients')
  mesh.server.limitLoad(maxLoad)
  return { clock, mesh, first, second, server: mesh.server }
}

/** Reads of so many blocks each; how many were answered so far. */
function readMany(client: IoClient, count: number, blocks = 1) {
  const state = { done: 0 }
  const lengthBytes = blocks * BLOCK_BYTES
  for (let n = 0; n < count; n++) {
    void client.ask({ op: Op.read, lengthBytes }).then(() => state.done++)
  }
  return state
}

describe('a bounded node', () => {
  it('begins what comes in within 100 ms at once, and the rest at the rate', async () => {
    const { clock, first, server } = await bounded(1125)
    const reads = readMany(first, 400)
    await until(() => reads.done === 100)
    for (const done of [150, 200, 250]) {
      clock.advance(50)
      await until(() => reads.done === done)
    }
    server.limitLoad(undefined)
    await until(() => reads.done === 400)
    await server.close()
  })

  it('counts what is moved, and neither flushes nor questions nor signs of life', async () => {
    const { clock, first, server } = await bounded(1000)
    const data = Buffer.alloc(32 * BLOCK_BYTES, 1) // 5 units
    const crcs = blockChecksums(data)
    const write = { op: Op.write, lengthBytes: data.length, data, crcs }
    const written = await Promise.all(Array.from({ length: 20 }, () => first.ask(write)))
    expect(written.every(answer => answer.status === Status.ok)).toBe(true)
    const free = [{ op: Op.flush }, { op: Op.map, lengthBytes: 4096 }, { op: Op.read }]
    for (const asked of free) expect((await first.ask(asked)).status).toBe(Status.ok)
    const trim = readMany(first, 0)
    void first.ask({ op: Op.trim, lengthBytes: 32 * BLOCK_BYTES }).then(() => trim.done++)
    await settled()
    expect(trim.done).toBe(0)
    clock.advance(1) // one unit
    await until(() => trim.done === 1)
    await server.close()
  })

  it('is shared fairly by the volumes, however much one asks for', async () => {
    const { clock, first, second, server } = await bounded(1125)
    const greedy = readMany(first, 500)
    await until(() => greedy.done === 100)
    const modest = readMany(second, 50)
    await settled()
    for (let n = 0; n < 20; n++) {
      clock.advance(10)
      await settled()
    }
    await until(() => greedy.done + modest.done === 300)
    expect(modest.done).toBe(50)
    await server.close()
  })

  it('shows the wait in what is measured, and hides it from the pace of copying', async () => {
    const { clock, mesh, first, server } = await bounded(1125)
    server.monitor.turn(6_000_000)
    const reads = readMany(first, 300)
    await until(() => reads.done === 100)
    for (let ms = 0; ms < 200; ms++) {
      await settled() // the time of answers is read once per turn of the event loop
      clock.advance(1)
    }
    await until(() => reads.done === 300)
    clock.advance(800)
    const record = server.monitor.turn(6_000_001).second?.node ?? IDLE
    expect(record.reads).toBe(300)
    expect(record.p99Us).toBeGreaterThan(150_000)
    expect(mesh.server.replicas.clientLoad().latencyMsSum).toBeLessThan(300)
    await server.close()
  })

  it('lets one request through that alone is more than the burst', async () => {
    const { clock, first, server } = await bounded(100)
    const large = readMany(first, 2, 128) // 512 KiB each: 17 units, more than the 10 of the burst
    await until(() => large.done === 1)
    clock.advance(160)
    await settled()
    expect(large.done).toBe(1)
    clock.advance(10)
    await until(() => large.done === 2)
    await server.close()
  })

  it('touches nothing without a limit', async () => {
    const { first, server } = await bounded(undefined)
    const reads = readMany(first, 500)
    await until(() => reads.done === 500)
    expect(UNITS_OF_BLOCK).toBe(1.125)
    await server.close()
  })
})

describe('the limit of a node', () => {
  async function opened(disk: MapDisk, thisTime?: number | null) {
    const applied: Array<number | undefined> = []
    const apply = (maxLoad: number | undefined) => void applied.push(maxLoad)
    return { applied, limit: await openNodeLimit({ disk, log: quietLog, thisTime, apply }) }
  }

  it('is kept once it is set, and what a start was told is not', async () => {
    const disk = new MapDisk()
    const first = await opened(disk, 500)
    expect([first.limit.maxLoad(), first.limit.kept(), first.applied]).toEqual([
      500,
      undefined,
      [500]
    ])
    await first.limit.set(2000)
    expect(first.applied).toEqual([500, 2000])
    const second = await opened(disk)
    expect([second.limit.maxLoad(), second.applied]).toEqual([2000, [2000]])
    const third = await opened(disk, null)
    expect([third.limit.maxLoad(), third.limit.kept(), third.applied]).toEqual([
      undefined,
      2000,
      []
    ])
    await third.limit.set(undefined)
    expect((await opened(disk)).limit.maxLoad()).toBeUndefined()
  })

  it('refuses what nobody can mean, and is not lost if it cannot be saved', async () => {
    const disk = new MapDisk()
    const { limit, applied } = await opened(disk)
    for (const bad of [0, 49, Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      await expect(limit.set(bad)).rejects.toMatchObject({ fault: { code: 'BAD_INPUT' } })
    }
    await expect(opened(disk, 1)).rejects.toMatchObject({ fault: { code: 'BAD_INPUT' } })
    await limit.set(700)
    disk.failWith = 'ENOSPC'
    await expect(limit.set(800)).rejects.toThrow()
    expect([limit.maxLoad(), applied]).toEqual([700, [700]])
  })

  it('of a file that cannot be read is named, and the node serves', async () => {
    const disk = new MapDisk()
    for (const text of ['', '{', '{"version":2,"maxLoad":100}', '{"version":1,"maxLoad":1}']) {
      const file = await disk.open('limits.json', 'if-absent')
      await file.truncate(0)
      await file.write([Buffer.from(text)], 0)
      const { limit } = await opened(disk)
      expect(limit.maxLoad()).toBeUndefined()
      expect(limit.problems()).toHaveLength(1)
      await limit.set(100)
      expect(limit.problems()).toEqual([])
    }
  })

  it('is what the node can do, for forecasts and shares, if that is less', () => {
    expect([capacityWithin(undefined, undefined), capacityWithin(900, undefined)]).toEqual([
      undefined,
      900
    ])
    expect([capacityWithin(undefined, 500), capacityWithin(900, 500)]).toEqual([500, 500])
    const record = { ...IDLE, reads: 250 }
    expect(shareWithin(undefined, record, undefined)).toBeUndefined()
    expect([shareWithin(0.2, record, 1000), shareWithin(0.3, record, 1000)]).toEqual([0.25, 0.3])
  })
})
