// Goal: a volume with --max-iops begins so many requests a second and no more, whoever asks and however
// large they are; a change of the limit holds at once; nothing waits for ever, nothing changes order.
// Method: the real gateway over storage nodes in memory, on a clock that the test drives; NBD clients.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { DeviceUser } from '../../node/block-device.ts'
import { systemClock } from '../../node/clock.ts'
import { connectNbd } from '../../node/nbd/client.ts'
import { createNbdServer } from '../../node/nbd/server.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { DrivenClock } from '../support/driven-clock.ts'
import { eventually, FAST, GatewayMesh, joined } from '../support/gateway-mesh.ts'
import { quietLog } from '../support/shard-harness.ts'

const PLAIN = { fua: false }

async function limited(maxIops: number | undefined, clock = new DrivenClock()) {
  const mesh = new GatewayMesh(2, clock)
  const volume = await mesh.createVolume(1, 16 * MiB)
  mesh.setPolicy(volume, maxIops === undefined ? { isOn: true } : { isOn: true, maxIops })
  const gateway = mesh.gateway('vm-host', { ...FAST, ioTimeoutMs: 1e9, keepAliveMs: 1e9 })
  const device = await gateway.attach(volume)
  return { mesh, volume, gateway, device, clock }
}

/** Reads of one block each; how many were answered so far. */
function readMany(user: DeviceUser, count: number, lengthBytes = 4 * KiB) {
  const state = { done: 0, refused: 0 }
  for (let n = 0; n < count; n++) {
    user.read(0, lengthBytes).then(
      () => state.done++,
      () => state.refused++
    )
  }
  return state
}

describe('a volume with a limit', () => {
  it('begins what comes in within 100 ms at once, and the rest at the rate', async () => {
    const { device, clock, gateway } = await limited(100)
    const reads = readMany(device.user(), 130)
    expect(device.stats().held).toBe(120)
    await eventually(() => reads.done === 10)
    for (let second = 1; second <= 2; second++) {
      clock.advance(500)
      expect(device.stats().held).toBe(120 - second * 50)
      await eventually(() => reads.done === 10 + second * 50)
    }
    clock.advance(200)
    await eventually(() => reads.done === 130)
    await gateway.close()
  })

  it('counts a request of more than 256 KiB once for each, and a trim by what is sent', async () => {
    const { device, clock, gateway } = await limited(100)
    const user = device.user()
    const writes = [256 * KiB, 256 * KiB + 1].map(size => user.write(0, Buffer.alloc(size), PLAIN))
    const wipes = [user.trim(0, 8 * MiB, PLAIN), user.zero(0, MiB, { ...PLAIN, allocate: false })]
    await Promise.all([...writes, ...wipes]) // 1 + 2, and 2 + 1 of 10
    const reads = readMany(user, 4, 256 * KiB)
    expect(device.stats().held).toBe(0)
    const large = readMany(user, 2, 4 * MiB) // each is 16, more than the burst
    expect(device.stats().held).toBe(2)
    await eventually(() => reads.done === 4)
    clock.advance(100)
    expect(device.stats().held).toBe(1)
    clock.advance(159)
    expect(device.stats().held).toBe(1)
    clock.advance(1)
    await eventually(() => large.done === 2)
    await gateway.close()
  })

  it('never holds up a flush or a question for block status', async () => {
    const { device, gateway } = await limited(1)
    const user = device.user()
    readMany(user, 5)
    expect(device.stats().held).toBe(4)
    await user.flush()
    expect(await user.status(0, MiB)).toHaveLength(1)
    expect(device.stats().held).toBe(4)
    await gateway.close()
  })

  it('takes a new limit, or none, while requests wait', async () => {
    const { device, clock, gateway, mesh, volume } = await limited(10)
    const reads = readMany(device.user(), 31)
    expect(device.stats().held).toBe(30)
    clock.advance(50)
    mesh.setPolicy(volume, { isOn: true, maxIops: 100 })
    clock.advance(100)
    expect(device.stats().held).toBe(20)
    mesh.setPolicy(volume, { isOn: true, maxIops: 1 })
    clock.advance(1_000)
    expect(device.stats().held).toBe(19)
    mesh.setPolicy(volume, { isOn: true })
    expect(device.stats().held).toBe(0)
    await eventually(() => reads.done === 31)
    await gateway.close()
  })

  it('is without one until the map says so', async () => {
    const { device, gateway, mesh, volume } = await limited(undefined)
    const user = device.user()
    const before = readMany(user, 500)
    expect(device.stats().held).toBe(0)
    mesh.setPolicy(volume, { isOn: true, maxIops: 10 })
    readMany(user, 10)
    expect(device.stats().held).toBe(9)
    await eventually(() => before.done === 500)
    await gateway.close()
  })

  it('is shared fairly by its users, by what their requests count', async () => {
    const { device, clock, gateway } = await limited(100)
    const [greedy, large, modest] = [device.user(), device.user(), device.user()]
    const many = readMany(greedy, 1_000)
    const few = readMany(large, 300, 512 * KiB)
    const one = readMany(modest, 3)
    clock.advance(100)
    await eventually(() => one.done === 3)
    clock.advance(3_900)
    await eventually(() => device.stats().inFlight === 0)
    const given = [many.done, few.done * 2]
    expect(Math.abs((given[0] ?? 0) - (given[1] ?? 0))).toBeLessThan(20)
    await gateway.close()
  })

  it('keeps the order of the changes of one user', async () => {
    const { device, clock, gateway, mesh, volume } = await limited(100)
    const user = device.user()
    const writes = Array.from({ length: 200 }, (_, n) =>
      user.write(100, Buffer.alloc(50, n), PLAIN)
    )
    clock.advance(1_000)
    mesh.setPolicy(volume, { isOn: true })
    writes.push(user.write(100, Buffer.alloc(50, 222), PLAIN))
    await Promise.all(writes)
    expect(joined(await user.read(100, 50)).every(byte => byte === 222)).toBe(true)
    await gateway.close()
  })

  it('refuses what waits when it is detached, or when its user is gone', async () => {
    const { device, clock, gateway } = await limited(10)
    const [one, other] = [device.user(), device.user()]
    const [left, kept] = [readMany(one, 20), readMany(other, 20)]
    expect(device.stats().held).toBe(39)
    one.leave()
    expect(device.stats().held).toBe(20)
    clock.advance(1_000)
    expect(device.stats().held).toBe(10)
    await device.detach()
    expect([device.stats().held, left.done, left.refused]).toEqual([0, 1, 19])
    expect([kept.done, kept.refused]).toEqual([10, 10])
    await expect(other.read(0, 1)).rejects.toMatchObject({ fault: { code: 'CLOSED' } })
    await gateway.close()
  })
})

describe('an NBD client of a volume with a limit', () => {
  it('takes with it what it had asked for, and holds up neither others nor the end of the export', async () => {
    const { device, gateway } = await limited(4, new SteadyClock())
    const directory = await mkdtemp(join(tmpdir(), 'shoal-nbd-'))
    const socketPath = join(directory, 'nbd.sock')
    const server = createNbdServer({ clock: systemClock, log: quietLog })
    server.addExport('web', device)
    await server.listenUnix(socketPath)
    const [greedy, modest] = await Promise.all(
      [0, 1].map(() => connectNbd({ socketPath, exportName: 'web', timeoutMs: 20_000 }))
    )
    const reads = Array.from({ length: 60 }, () => greedy?.read(0, 4096).catch(() => undefined))
    await eventually(() => device.stats().held >= 58)
    expect((await modest?.read(0, 4096))?.length).toBe(4096)
    await server.removeExport('web')
    expect(device.stats().held).toBe(0)
    await device.detach()
    await Promise.all(reads)
    await Promise.all([greedy?.close(), modest?.close()])
    await server.close()
    await gateway.close()
    await rm(directory, { recursive: true })
  })
})

/** Time passes by itself, as in production. */
class SteadyClock extends DrivenClock {
  override monotonicMs = () => systemClock.monotonicMs()
  override after = (ms: number, task: () => void) => systemClock.after(ms, task)
}
