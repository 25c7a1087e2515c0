// Goal: what the block device of a gateway promises: bytes come back, edges merge, holes are holes.
// Method: a volume over three storage nodes in memory, read and written through the real gateway.
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { GatewayMesh, joined } from '../support/gateway-mesh.ts'

const PLAIN = { fua: false }

async function attached(nodes = 3, sizeBytes = 8 * MiB, shape = {}) {
  const mesh = new GatewayMesh(nodes)
  const volume = await mesh.createVolume(1, sizeBytes, shape)
  const gateway = mesh.gateway('vm-host')
  const device = await gateway.attach(volume)
  return { mesh, volume, gateway, device }
}

describe('an attached volume', () => {
  it.each([4 * KiB, 64 * KiB])(
    'reads what was written, across blocks, stripe units of %i and extents',
    async stripeUnitBytes => {
      const { device, gateway } = await attached(3, 8 * MiB, { stripeUnitBytes })
      const data = Buffer.alloc(3 * MiB + 1234)
      for (let i = 0; i < data.length; i++) data[i] = (i * 7 + (i >> 12)) & 0xff
      await device.write(777, data, PLAIN)
      expect(joined(await device.read(777, data.length)).equals(data)).toBe(true)
      const middle = joined(await device.read(MiB + 5, 9000))
      expect(middle.equals(data.subarray(MiB + 5 - 777, MiB + 5 - 777 + 9000))).toBe(true)
      expect(joined(await device.read(0, 777)).every(byte => byte === 0)).toBe(true)
      await device.flush()
      expect(device.stats().replayEntries).toBe(0)
      await gateway.close()
    }
  )

  it('trims whole blocks only, and zeroes to the byte', async () => {
    const { device, gateway } = await attached()
    await device.write(0, Buffer.alloc(64 * KiB, 1), PLAIN)
    await device.trim(100, 2 * BLOCK_BYTES, PLAIN)
    const trimmed = joined(await device.read(0, 4 * BLOCK_BYTES))
    expect(trimmed.subarray(0, BLOCK_BYTES).every(byte => byte === 1)).toBe(true)
    expect(trimmed.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES).every(byte => byte === 0)).toBe(true)
    expect(trimmed.subarray(2 * BLOCK_BYTES).every(byte => byte === 1)).toBe(true)
    await device.zero(5 * BLOCK_BYTES + 10, 3 * BLOCK_BYTES, { fua: true, allocate: false })
    const zeroed = joined(await device.read(0, 64 * KiB))
    const from = 5 * BLOCK_BYTES + 10
    expect(zeroed[from - 1]).toBe(1)
    expect(zeroed.subarray(from, from + 3 * BLOCK_BYTES).every(byte => byte === 0)).toBe(true)
    expect(zeroed[from + 3 * BLOCK_BYTES]).toBe(1)
    await gateway.close()
  })

  it('tells data from holes in the order of the volume', async () => {
    const { device, gateway } = await attached()
    await device.write(16 * KiB, Buffer.alloc(32 * KiB, 1), PLAIN)
    expect(await device.status(0, MiB)).toEqual([
      { lengthBytes: 16 * KiB, hole: true },
      { lengthBytes: 32 * KiB, hole: false },
      { lengthBytes: MiB - 48 * KiB, hole: true }
    ])
    expect(await device.status(17 * KiB, 2 * KiB)).toEqual([{ lengthBytes: 2 * KiB, hole: false }])
    await gateway.close()
  })

  it('refuses ranges outside it', async () => {
    const { device, gateway } = await attached()
    const refused = { fault: { code: 'OUT_OF_RANGE' } }
    await expect(device.read(8 * MiB - 1, 2)).rejects.toMatchObject(refused)
    await expect(device.write(-1, Buffer.alloc(2), PLAIN)).rejects.toMatchObject(refused)
    await expect(device.trim(0, 9 * MiB, PLAIN)).rejects.toMatchObject(refused)
    await gateway.close()
  })

  it('grows while attached, and is as large for the next gateway', async () => {
    const { device, gateway, mesh, volume } = await attached()
    await device.grow(20 * MiB)
    expect(device.sizeBytes()).toBe(20 * MiB)
    await device.write(19 * MiB, Buffer.alloc(MiB, 9), PLAIN)
    expect(mesh.views.get(volume)?.sizeBytes).toBe(20 * MiB)
    await device.detach()
    const next = await mesh.gateway('other-host').attach(volume)
    expect(next.sizeBytes()).toBe(20 * MiB)
    expect(joined(await next.read(19 * MiB, MiB)).every(byte => byte === 9)).toBe(true)
    await next.detach()
    await gateway.close()
  })

  it('reaches the replica on its own node by calls', async () => {
    const mesh = new GatewayMesh(2)
    const volume = await mesh.createVolume(1, 4 * MiB)
    const gateway = mesh.gateway('vm-host', undefined, undefined, mesh.node(0))
    const device = await gateway.attach(volume)
    const data = Buffer.alloc(MiB, 3)
    await device.write(1000, data, PLAIN)
    expect(joined(await device.read(1000, MiB)).equals(data)).toBe(true)
    await device.flush()
    await gateway.close()
  })

  it('never merges into a block that fails its checksum', async () => {
    const { device, gateway, mesh, volume } = await attached()
    await device.write(0, Buffer.alloc(16 * KiB, 1), PLAIN)
    const chunk = { volume, extent: 0, generation: 0, column: 0, replica: 0 }
    mesh.node(0).store.rot(chunk, 1)
    const refused = { fault: { code: 'BAD_CHECKSUM' } }
    await expect(device.read(BLOCK_BYTES, 10)).rejects.toMatchObject(refused)
    await expect(device.write(BLOCK_BYTES + 5, Buffer.alloc(9), PLAIN)).rejects.toMatchObject(
      refused
    )
    await expect(device.read(BLOCK_BYTES, 10)).rejects.toMatchObject(refused)
    await device.write(BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 2), PLAIN)
    expect(joined(await device.read(BLOCK_BYTES, 10)).every(byte => byte === 2)).toBe(true)
    await gateway.close()
  })
})
