// Goal: one writer per volume: who may attach, who is refused, and what a fenced gateway still does.
// Method: several gateways and three storage nodes in memory.
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import { eventually, GatewayMesh, joined, seededRandom } from '../support/gateway-mesh.ts'

const PLAIN = { fua: false }
const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte)

async function prepared() {
  const mesh = new GatewayMesh(3)
  return { mesh, volume: await mesh.createVolume(1, 4 * MiB) }
}

async function tokens(mesh: GatewayMesh, volume: Parameters<typeof query>[1]): Promise<number[]> {
  return Promise.all(mesh.nodes.filter(node => node.isUp).map(node => query(node, volume)))
}

async function query(
  node: GatewayMesh['nodes'][number],
  volume: Awaited<ReturnType<typeof prepared>>['volume']
): Promise<number> {
  const answer = await node.server.control({ call: 'query', volume })
  return answer.is === 'state' ? answer.state.token.counter : -1
}

describe('attach', () => {
  it('raises nothing while a shard is missing, and names its node in the end', async () => {
    const { mesh, volume } = await prepared()
    mesh.node(1).stop('kill')
    const attaching = mesh.gateway('vm-host').attach(volume, { timeoutMs: 300 })
    const peer = mesh.node(1).id
    await expect(attaching).rejects.toMatchObject({ fault: { code: 'UNREACHABLE', peer } })
    expect(await tokens(mesh, volume)).toEqual([1, 1])
  })

  it('waits for a node that comes back in time', async () => {
    const { mesh, volume } = await prepared()
    mesh.node(1).stop('power')
    const gateway = mesh.gateway('vm-host')
    const attaching = gateway.attach(volume, { timeoutMs: 5_000 })
    await new Promise(resolve => setImmediate(resolve))
    mesh.node(1).start()
    const device = await attaching
    await device.write(0, Buffer.alloc(MiB, 1), PLAIN)
    expect(await tokens(mesh, volume)).toEqual([2, 2, 2])
    await gateway.close()
  })

  it('refuses while another gateway renews its hold, and says who and since when', async () => {
    const { mesh, volume } = await prepared()
    const holder = mesh.gateway('first-host')
    const held = await holder.attach(volume)
    const other = mesh.gateway('second-host')
    const fault = { code: 'VOLUME_ATTACHED', host: 'first-host', since: held.since }
    await expect(other.attach(volume)).rejects.toMatchObject({
      fault: { code: fault.code, host: fault.host }
    })
    await held.write(0, block(1), PLAIN)
    expect(held.state()).toBe('serving')
    await holder.close()
    const next = await other.attach(volume)
    expect(joined(await next.read(0, BLOCK_BYTES)).equals(block(1))).toBe(true)
    await other.close()
  })

  it('takes a volume whose holder died, once it has been silent for the holder time-out', async () => {
    const { mesh, volume } = await prepared()
    const dead = mesh.gateway('dead-host')
    const held = await dead.attach(volume)
    await held.write(0, block(7), PLAIN)
    for (const node of mesh.nodes) mesh.mesh.cut(dead.id, node.id)
    const other = mesh.gateway('second-host')
    const refused = { fault: { code: 'VOLUME_ATTACHED' } }
    await expect(other.attach(volume)).rejects.toMatchObject(refused)
    let next: Awaited<ReturnType<typeof other.attach>> | undefined
    while (next === undefined) next = await other.attach(volume).catch(() => undefined)
    expect(joined(await next.read(0, BLOCK_BYTES)).equals(block(7))).toBe(true)
    for (const node of mesh.nodes) mesh.mesh.heal(dead.id, node.id)
    await eventually(() => held.state() === 'fenced')
    await Promise.all([other.close(), dead.close()])
  })

  it('fences the old gateway on take-over: it stops, reads included, and says who took it', async () => {
    const { mesh, volume } = await prepared()
    const first = mesh.gateway('first-host')
    const old = await first.attach(volume)
    await old.write(0, block(1), PLAIN)
    const second = mesh.gateway('second-host')
    const fresh = await second.attach(volume, { takeOver: true })
    await fresh.write(0, block(2), PLAIN)
    const refused = { fault: { code: 'FENCED' } }
    await expect(old.write(0, block(3), PLAIN)).rejects.toMatchObject(refused)
    await expect(old.read(0, 1)).rejects.toMatchObject(refused)
    await expect(old.flush()).rejects.toMatchObject(refused)
    expect(old.state()).toBe('fenced')
    await eventually(() => old.reason()?.includes('second-host') === true)
    expect(joined(await fresh.read(0, BLOCK_BYTES)).equals(block(2))).toBe(true)
    await first.close()
    expect(first.attachments().size).toBe(0)
    await second.close()
  })

  it('fences an idle gateway too', async () => {
    const { mesh, volume } = await prepared()
    const first = mesh.gateway('first-host')
    const old = await first.attach(volume)
    const second = mesh.gateway('second-host')
    await second.attach(volume, { takeOver: true })
    await eventually(() => old.state() === 'fenced')
    await Promise.all([first.close(), second.close()])
  })

  it('lets exactly one of two racing gateways write', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const { mesh, volume } = await prepared()
      const gateways = [1, 2].map(n =>
        mesh.gateway(`host-${n}`, undefined, seededRandom(seed * 10 + n))
      )
      const raced = await Promise.allSettled(
        gateways.map(g => g.attach(volume, { takeOver: true }))
      )
      const devices = raced.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
      const everywhere = Buffer.alloc(MiB, seed)
      const written = await Promise.allSettled(devices.map(d => d.write(0, everywhere, PLAIN)))
      expect(written.filter(result => result.status === 'fulfilled').length).toBe(1)
      await Promise.all(gateways.map(gateway => gateway.close()))
    }
  })

  it('is the same attachment for whoever asks the same gateway again', async () => {
    const { mesh, volume } = await prepared()
    const gateway = mesh.gateway('vm-host')
    const both = await Promise.all([gateway.attach(volume), gateway.attach(volume)])
    expect(both[0]).toBe(both[1])
    expect(await gateway.attach(volume)).toBe(both[0])
    await gateway.close()
    expect(gateway.attachments().size).toBe(0)
  })

  it('says that a deleted volume is gone', async () => {
    const { mesh, volume } = await prepared()
    const token = { counter: 9, attach: '0000000000000009' as never }
    for (const node of mesh.nodes) await node.server.control({ call: 'remove', volume, token })
    const attaching = mesh.gateway('vm-host').attach(volume)
    await expect(attaching).rejects.toMatchObject({ fault: { code: 'NOT_FOUND' } })
  })
})
