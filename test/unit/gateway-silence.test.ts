// Goal: what a gateway does while a storage node does not answer, and when it gives up.
// Method: nodes cut off, held still or full, with short time-outs on the real clock.
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { eventually, FAST, GatewayMesh, joined } from '../support/gateway-mesh.ts'

const PLAIN = { fua: false }
const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte)

async function attached(options = {}, clock = systemClock) {
  const mesh = new GatewayMesh(3, clock)
  const volume = await mesh.createVolume(1, 4 * MiB)
  const gateway = mesh.gateway('vm-host', { ...FAST, ...options })
  const device = await gateway.attach(volume)
  return { mesh, volume, gateway, device }
}

describe('a node that does not answer', () => {
  it('makes requests wait, and answers them when it is back', async () => {
    const { mesh, gateway, device } = await attached()
    await device.write(0, block(1), PLAIN)
    mesh.mesh.cut(gateway.id, mesh.node(0).id)
    const reading = device.read(0, BLOCK_BYTES)
    const writing = device.write(BLOCK_BYTES, block(2), { fua: true })
    await device.write(16 * KiB, block(3), PLAIN) // another node: does not wait
    expect(device.stats().silent.map(({ node }) => node)).toEqual([mesh.node(0).id])
    mesh.mesh.heal(gateway.id, mesh.node(0).id)
    expect(joined(await reading).equals(block(1))).toBe(true)
    await writing
    await gateway.close()
  })

  it('fails them after the I/O time-out, and serves again when it is back', async () => {
    const { mesh, gateway, device } = await attached({ ioTimeoutMs: 200 })
    await device.write(0, block(1), PLAIN)
    mesh.node(0).stop('kill')
    const timeout = { fault: { code: 'TIMEOUT' } }
    await expect(device.read(0, 1)).rejects.toMatchObject(timeout)
    await expect(device.write(0, block(2), PLAIN)).rejects.toMatchObject(timeout)
    await expect(device.flush()).rejects.toMatchObject(timeout)
    expect(device.stats().replayEntries).toBe(1)
    mesh.node(0).start()
    await device.write(0, block(3), PLAIN)
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(block(3))).toBe(true)
    await device.flush()
    expect(device.stats().replayEntries).toBe(0)
    await gateway.close()
  })

  it('is not blamed for the time in which the gateway itself stood still', async () => {
    let stoodStillMs = 0
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + stoodStillMs }
    const { mesh, gateway, device } = await attached({}, clock)
    mesh.node(0).store.hold()
    const writing = device.write(0, block(1), PLAIN)
    await eventually(() => mesh.node(0).store.heldCalls > 0)
    stoodStillMs = 120_000
    let hasSwept = false
    clock.after(FAST.sweepMs ?? 0, () =>
      clock.after((FAST.sweepMs ?? 0) * 2, () => (hasSwept = true))
    )
    await eventually(() => hasSwept)
    expect(device.stats().inFlight).toBe(1)
    mesh.node(0).store.release()
    await writing
    await gateway.close()
  })

  it('lets no later change pass one that was given up and may still be applied', async () => {
    const { mesh, gateway, device } = await attached({ ioTimeoutMs: 300 })
    const { store } = mesh.node(0)
    store.hold()
    const timeout = { fault: { code: 'TIMEOUT' } }
    const first = expect(device.write(0, block(1), PLAIN)).rejects.toMatchObject(timeout)
    await eventually(() => store.heldCalls > 0)
    await first
    const second = device.write(0, block(2), PLAIN)
    const third = device.write(100, Buffer.alloc(10, 3), PLAIN)
    await new Promise(resolve => setImmediate(resolve))
    expect(device.stats().inFlight).toBe(2)
    store.release()
    await Promise.all([second, third])
    const expected = block(2)
    expected.fill(3, 100, 110)
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(expected)).toBe(true)
    await gateway.close()
  })

  it('fails a chain of overlapping changes one by one, each once, and none is applied later', async () => {
    const { mesh, gateway, device } = await attached({ ioTimeoutMs: 200 })
    await device.write(0, Buffer.alloc(64 * KiB, 9), PLAIN)
    mesh.node(0).stop('kill')
    const chain = Array.from({ length: 30 }, (_, i) =>
      device.write((i % 3) * BLOCK_BYTES, Buffer.alloc(2 * BLOCK_BYTES, i), PLAIN)
    )
    const results = await Promise.allSettled(chain)
    expect(results.every(result => result.status === 'rejected')).toBe(true)
    mesh.node(0).start()
    const found = joined(await device.read(0, 4 * BLOCK_BYTES))
    expect(found.every(byte => byte === 9)).toBe(true)
    await gateway.close()
  })

  it('fails a chain of overlapping changes when the volume is taken, each once', async () => {
    const { mesh, volume, gateway, device } = await attached()
    mesh.node(0).store.hold()
    const chain = Array.from({ length: 3000 }, (_, i) =>
      device.write((i % 3) * BLOCK_BYTES, Buffer.alloc(2 * BLOCK_BYTES, i), PLAIN)
    )
    const settled = Promise.allSettled(chain)
    await eventually(() => mesh.node(0).store.heldCalls > 0)
    const taking = mesh.gateway('other-host').attach(volume, { takeOver: true })
    await eventually(() => device.state() === 'fenced')
    mesh.node(0).store.release()
    const next = await taking
    expect((await settled).every(result => result.status === 'rejected')).toBe(true)
    await next.write(0, block(7), PLAIN)
    await Promise.all([gateway.close(), next.detach()])
  })

  it('holds back a flush until every shard with changes has flushed', async () => {
    const { mesh, gateway, device } = await attached()
    await device.write(0, Buffer.alloc(64 * KiB, 1), PLAIN)
    for (const node of mesh.nodes) node.store.calls = []
    mesh.node(2).store.hold()
    let isFlushed = false
    const flushing = device.flush().then(() => {
      isFlushed = true
    })
    await eventually(() => mesh.node(2).store.heldCalls > 0)
    await eventually(() => device.stats().replayBytes < 20_000)
    expect(isFlushed).toBe(false)
    mesh.node(2).store.release()
    await flushing
    for (const { store } of mesh.nodes) expect(store.calls).toContain('flush')
    await gateway.close()
  })

  it('shares one flush among all that wait for it', async () => {
    const { mesh, gateway, device } = await attached()
    await device.write(0, block(1), PLAIN)
    const { store } = mesh.node(0)
    store.calls = []
    store.hold()
    const first = device.flush()
    await eventually(() => store.heldCalls === 1)
    const more = Array.from({ length: 20 }, () => device.flush())
    store.release()
    await Promise.all([first, ...more])
    expect(store.calls.filter(call => call === 'flush').length).toBeLessThanOrEqual(2)
    await gateway.close()
  })

  it('makes changes wait when nothing more can be kept for replay, but not reads', async () => {
    const { mesh, gateway, device } = await attached({ replayBytes: 64 * KiB })
    const { store } = mesh.node(0)
    await device.write(0, block(1), PLAIN)
    store.failNext('flush', 'IO_ERROR')
    const writes = Array.from({ length: 40 }, (_, i) =>
      device.write((i % 4) * BLOCK_BYTES, block(i), PLAIN)
    )
    await device.read(0, BLOCK_BYTES)
    await Promise.all(writes)
    expect(device.stats().replayBytes).toBeLessThanOrEqual(64 * KiB)
    expect(joined(await device.read(3 * BLOCK_BYTES, 1))[0]).toBe(39)
    await gateway.close()
  })

  it('gets room back from a full disk before it replays what needs room', async () => {
    const { mesh, gateway, device } = await attached()
    const node = mesh.node(0)
    const kept = 16 * KiB
    await device.write(0, Buffer.alloc(kept, 1), { fua: true })
    await device.flush()
    node.medium.capacityBytes = kept + BLOCK_BYTES
    const next = 3 * kept // on the same node, in the next stripe
    await device.write(next, block(2), PLAIN)
    await device.trim(0, kept, PLAIN)
    await device.write(next + BLOCK_BYTES, Buffer.alloc(2 * BLOCK_BYTES, 3), PLAIN)
    node.stop('power')
    node.medium.capacityBytes = kept
    node.start()
    const calls: string[] = []
    node.store.calls = calls
    expect(joined(await device.read(next, BLOCK_BYTES)).equals(block(2))).toBe(true)
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(block(0))).toBe(true)
    const changes = calls.filter(call => call === 'trim' || call === 'write')
    expect(changes).toEqual(['trim', 'write', 'write'])
    await gateway.close()
  })

  it('says why a node cannot take back what it forgot, until it can', async () => {
    const { mesh, gateway, device } = await attached()
    const node = mesh.node(0)
    await device.write(0, block(1), PLAIN)
    node.stop('power')
    node.medium.capacityBytes = 0
    node.start()
    const silent = () => device.stats().silent.find(entry => entry.node === node.id)
    await eventually(() => silent()?.why !== undefined)
    expect(silent()?.why).toMatch(/no space/)
    node.medium.capacityBytes = MiB
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(block(1))).toBe(true)
    expect(silent()).toBeUndefined()
    await gateway.close()
  })

  it('passes on that a disk is full, and that a request failed, without asking twice', async () => {
    const { mesh, gateway, device } = await attached()
    const { medium, store } = mesh.node(0)
    medium.capacityBytes = 0
    const full = { fault: { code: 'NO_SPACE' } }
    await expect(device.write(0, block(1), PLAIN)).rejects.toMatchObject(full)
    medium.capacityBytes = MiB
    await device.write(0, block(1), PLAIN)
    store.failNext('write', 'IO_ERROR')
    store.calls = []
    const failed = { fault: { code: 'IO_ERROR' } }
    await expect(device.write(0, block(2), PLAIN)).rejects.toMatchObject(failed)
    expect(store.calls.filter(call => call === 'write').length).toBeLessThanOrEqual(1)
    await gateway.close()
  })
})
