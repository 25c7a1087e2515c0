// Goal: a mover that took the token while a gateway was silent costs that gateway nothing but time;
// another gateway in between ends it, as ever.
// Method: the gateway is cut off, movers pass chunks on by hand, then it is let back in.
import { describe, expect, it } from 'vitest'
import type { Token } from '../../protocols/ids.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { HandoffByHand } from '../support/gateway-handoff.ts'
import { eventually, FAST, GatewayMesh, joined } from '../support/gateway-mesh.ts'

const PLAIN = { fua: false }
const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte)

async function attached(options = {}) {
  const mesh = new GatewayMesh(3)
  const volume = await mesh.createVolume(1, 4 * MiB)
  const gateway = mesh.gateway('vm-host', { ...FAST, ...options })
  const device = await gateway.attach(volume)
  const tokens: Token[] = []
  device.onToken(token => tokens.push(token))
  const [source, target] = [mesh.node(0), mesh.node(1)]
  const passing = { volume, source, target, gateway: gateway.id }
  const read = async (offset: number): Promise<number | undefined> =>
    joined(await device.read(offset, BLOCK_BYTES))[0]
  const cut = (): void => mesh.nodes.forEach(node => void mesh.mesh.cut(gateway.id, node.id))
  const heal = (): void => mesh.nodes.forEach(node => void mesh.mesh.heal(gateway.id, node.id))
  const silent = (): Promise<void> =>
    eventually(() =>
      mesh.nodes.every(node =>
        node.server
          .stats()
          .shards.every(({ holderSilentMs = 0 }) => holderSilentMs >= (FAST.holderTimeoutMs ?? 0))
      )
    )
  return { mesh, volume, gateway, device, source, target, passing, read, cut, heal, silent, tokens }
}

/** A mover passes the chunk on, from the taking of its token to the letting go. */
async function move(handoff: HandoffByHand, counter: number): Promise<void> {
  const epoch = await handoff.moverTakes(counter)
  await handoff.commit(epoch)
  await handoff.moverLetsGo(epoch)
}

describe('a gateway that only a mover fenced', () => {
  it('goes on under a new token, with the chunk at its new place', async () => {
    const { gateway, device, passing, read, cut, heal, silent, tokens, target } = await attached()
    await device.write(0, Buffer.alloc(2 * MiB, 1), PLAIN)
    cut()
    const writing = device.write(0, block(2), PLAIN)
    const reading = read(MiB)
    await silent()
    await move(new HandoffByHand(passing), 9)
    const before = target.server.stats().shards[0]?.writeOperations ?? 0
    heal()
    await writing
    expect(await reading).toBe(1)
    expect([await read(0), await read(BLOCK_BYTES), await read(32 * KiB)]).toEqual([2, 1, 1])
    expect(device.state()).toBe('serving')
    expect(device.token.counter).toBe(10)
    expect(tokens).toEqual([device.token])
    expect(target.server.stats().shards[0]?.writeOperations).toBeGreaterThan(before)
    await device.flush()
    expect(device.stats().replayEntries).toBe(0)
    const next = await new HandoffByHand({ ...passing, extent: 1 }).pass()
    expect(next).toEqual({ token: device.token, counter: 1 })
    expect(await read(MiB)).toBe(1)
    await gateway.close()
  })

  it('brings what the source forgot before it was moved to where the chunk is now', async () => {
    const { gateway, device, passing, read, cut, heal, silent, source } = await attached()
    await device.write(0, block(1), PLAIN)
    await device.flush()
    await device.write(0, block(2), PLAIN)
    await device.write(BLOCK_BYTES, block(3), PLAIN)
    cut()
    source.stop('power')
    source.start()
    await silent()
    const handoff = new HandoffByHand(passing)
    await move(handoff, 9)
    heal()
    expect([await read(0), await read(BLOCK_BYTES)]).toEqual([2, 3])
    await device.flush()
    passing.target.stop('power')
    passing.target.start()
    expect([await read(0), await read(BLOCK_BYTES)]).toEqual([2, 3])
    await gateway.close()
  })

  it('follows a chunk that several movers passed on, one after the other', async () => {
    const { mesh, gateway, device, passing, read, cut, heal, silent } = await attached()
    await device.write(0, block(5), PLAIN)
    cut()
    await silent()
    await move(new HandoffByHand(passing), 9)
    const on = { ...passing, source: mesh.node(1), target: mesh.node(2) }
    await move(new HandoffByHand(on), 20)
    heal()
    expect(await read(0)).toBe(5)
    expect(device.token.counter).toBe(21)
    await gateway.close()
  })

  it('sends nothing while a shard is missing: what waits fails in time, and then it goes on', async () => {
    const { mesh, gateway, device, passing, read, cut, heal, silent, tokens } = await attached({
      ioTimeoutMs: 300
    })
    await device.write(0, block(1), PLAIN)
    cut()
    await silent()
    await move(new HandoffByHand(passing), 9)
    mesh.node(2).stop('kill')
    heal()
    const late = device.write(16 * KiB, block(2), PLAIN)
    await expect(late).rejects.toMatchObject({ fault: { code: 'TIMEOUT' } })
    expect([tokens.length, device.state()]).toEqual([0, 'serving'])
    mesh.node(2).start()
    await eventually(() => tokens.length === 1)
    await device.write(16 * KiB, block(3), PLAIN)
    expect([await read(0), await read(16 * KiB)]).toEqual([1, 3])
    await gateway.close()
  })

  it('approves nothing meanwhile, and knows nothing of what it had approved', async () => {
    const { mesh, gateway, device, passing, read, cut, heal, silent } = await attached()
    await device.write(0, block(1), PLAIN)
    const handoff = new HandoffByHand(passing)
    const epoch = await handoff.approved()
    const writing = device.write(0, block(2), PLAIN)
    cut()
    await silent()
    await move(new HandoffByHand({ ...passing, target: mesh.node(2) }), 9)
    heal()
    await writing
    expect(await read(0)).toBe(2)
    expect(await handoff.settle({ is: 'released', to: passing.target.id, epoch })).toEqual({
      is: 'noted'
    })
    expect(await read(0)).toBe(2)
    await gateway.close()
  })

  it('lets go under the new token', async () => {
    const { mesh, volume, device, passing, cut, heal, silent } = await attached()
    cut()
    await silent()
    await move(new HandoffByHand(passing), 9)
    heal()
    await device.detach()
    const other = mesh.gateway('other-host')
    await (await other.attach(volume)).write(0, block(1), PLAIN)
    await other.close()
  })
})

describe('a gateway that another gateway fenced', () => {
  it('stops for good, whatever movers did before or after', async () => {
    const { mesh, volume, gateway, device, passing, cut, heal, silent } = await attached()
    await device.write(0, block(1), PLAIN)
    cut()
    await silent()
    await move(new HandoffByHand(passing), 9)
    const other = mesh.gateway('second-host')
    const taken = await other.attach(volume)
    await taken.write(0, block(7), PLAIN)
    await taken.detach()
    const back = { ...passing, source: mesh.node(1), target: mesh.node(2) }
    await move(new HandoffByHand(back), 30)
    const writing = device.write(0, block(2), PLAIN)
    const refused = expect(writing).rejects.toMatchObject({ fault: { code: 'FENCED' } })
    heal()
    await refused
    expect(device.state()).toBe('fenced')
    const last = await other.attach(volume)
    expect(joined(await last.read(0, BLOCK_BYTES)).equals(block(7))).toBe(true)
    await Promise.all([gateway.close(), other.close()])
  })

  it('names it, if it is still there', async () => {
    const { mesh, volume, gateway, device } = await attached()
    const other = mesh.gateway('second-host')
    await other.attach(volume, { takeOver: true })
    await eventually(() => device.state() === 'fenced')
    expect(device.reason()).toContain('second-host')
    await Promise.all([gateway.close(), other.close()])
  })
})
