// Goal: nothing is read from, or written to, a store that is not the newest of its node.
// Method: a storage node in memory is put back to an earlier copy of its disk, while a volume is
// attached, while it is being attached, and before; the map and the machine know other starts.
import { describe, expect, it } from 'vitest'
import type { NodeEntry } from '../../crdt/types.ts'
import { type Attempt, start, step } from '../../protocols/attach/machine.ts'
import { startProblem } from '../../protocols/attach/starts.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import {
  eventually,
  FAST,
  GatewayMesh,
  joined,
  nodeId,
  type StorageNode
} from '../support/gateway-mesh.ts'
import { FIRST_TOKEN, run, spec, volumeId } from '../support/shard-harness.ts'

const QUARANTINED = { fault: { code: 'QUARANTINED' } }
const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte)

/** Copies the node's disk; the result puts the copy back, and starts the node on it. */
function copyOf({ medium }: StorageNode): (node: StorageNode) => void {
  const durable = [...medium.durable].map(([name, blocks]) => [name, [...blocks]] as const)
  const records = [...medium.records]
  const { incarnations } = medium
  return node => {
    node.stop('power')
    medium.durable = new Map(durable.map(([name, blocks]) => [name, new Map(blocks)]))
    medium.losePower()
    medium.records.clear()
    for (const [id, record] of records) medium.records.set(id, record)
    medium.incarnations = incarnations
    node.start()
  }
}

async function prepared() {
  const mesh = new GatewayMesh(1)
  const volume = await mesh.createVolume(1, 4 * MiB)
  const node = mesh.node(0)
  for (let i = 0; i < 3; i++) {
    node.stop('kill')
    node.start()
  }
  return { mesh, volume, node, gateway: mesh.gateway('vm-host', FAST) }
}

function entry(node: StorageNode, number: number): NodeEntry {
  return {
    id: node.id,
    name: 'storage',
    region: 'eu-west',
    host: 'storage',
    role: 'node',
    capacityBytes: MiB,
    addresses: [],
    incarnation: { number, nonce: number.toString(16).padStart(16, '0') as Nonce },
    version: '0.0.0'
  }
}

describe('a store that was restored from an older copy', () => {
  it('is never read again by the gateway that met a later start of it', async () => {
    const { volume, node, gateway } = await prepared()
    const device = await gateway.attach(volume)
    await device.write(0, block(1), { fua: true })
    const restore = copyOf(node)
    for (let i = 0; i < 2; i++) {
      node.stop('kill')
      node.start() // starts that the copy does not know
    }
    await device.write(0, block(2), { fua: true })
    await device.flush()
    restore(node)
    await expect(device.read(0, BLOCK_BYTES)).rejects.toMatchObject(QUARANTINED)
    expect(device.state()).toBe('failed')
    expect(device.reason()).toContain(node.id)
    expect(device.reason()).toContain('--rebind')
    await expect(device.write(0, block(3), { fua: false })).rejects.toMatchObject(QUARANTINED)
    await device.detach()
    expect(gateway.attachments().size).toBe(0)
    await gateway.close()
  })

  it('is found out by its start alone, though the shard was idle since the attach', async () => {
    const { volume, node, gateway } = await prepared()
    const restore = copyOf(node)
    node.stop('kill')
    node.start()
    const device = await gateway.attach(volume)
    const { records } = node.medium
    const granted = [...records]
    restore(node)
    node.stop('kill')
    for (const [id, record] of granted) records.set(id, record)
    node.medium.incarnations -= 2
    node.start()
    await expect(device.read(0, BLOCK_BYTES)).rejects.toMatchObject(QUARANTINED)
    await gateway.close()
  })

  it('that forgot the grant is not taken for the work of another gateway', async () => {
    const { volume, node, gateway } = await prepared()
    const restore = copyOf(node)
    const device = await gateway.attach(volume)
    restore(node)
    await eventually(() => device.state() !== 'serving')
    expect(device.state()).toBe('failed')
    expect(device.reason()).toMatch(/forgot the token/)
    await gateway.close()
  })

  it('is not attached where the map knows a later start, and is once it was told to go on', async () => {
    const { mesh, volume, node, gateway } = await prepared()
    mesh.entries.set(node.id, entry(node, 9))
    await expect(gateway.attach(volume)).rejects.toThrow(node.id)
    await expect(gateway.attach(volume)).rejects.toMatchObject(QUARANTINED)
    const answer = await node.server.control({ call: 'query', volume })
    expect(answer).toMatchObject({ is: 'state', state: { token: FIRST_TOKEN } })
    node.stop('kill')
    node.medium.incarnations = 9
    node.start()
    const device = await gateway.attach(volume)
    await device.write(0, block(1), { fua: true })
    await gateway.close()
  })

  it('is refused between the answer and the grant of one attach', () => {
    const volume = volumeId(1)
    const node = nodeId('Storage')
    const attempt: Attempt = {
      volume,
      attach: 'aaaaaaaaaaaaaaaa' as Nonce,
      self: nodeId('Gateway'),
      takeOver: false,
      holderTimeoutMs: 1,
      starts: new Map()
    }
    const shape = { ...spec(volume), columns: 1 }
    const answer = (number: number, nonce: string) => ({
      type: 'answer' as const,
      node,
      answer: {
        is: 'state' as const,
        state: {
          spec: shape,
          sizeBytes: 4 * MiB,
          token: FIRST_TOKEN,
          writer: FIRST_TOKEN,
          incarnation: { number, nonce: nonce as Nonce },
          runs: [run(0, 4, 0)],
          released: [],
          receiving: [],
          allocatedBytes: 0
        }
      }
    })
    const asked = step(start(attempt, [node]).state, answer(4, '0000000000000004'))
    expect(asked.state.at).toBe('opening')
    for (const other of [answer(3, '0000000000000003'), answer(4, '00000000000000ff')]) {
      const { state } = step(asked.state, other)
      expect(state).toMatchObject({ at: 'refused', fault: { code: 'QUARANTINED' } })
    }
  })
})

describe('a start of a store', () => {
  it('may follow itself and any earlier start, and nothing else', () => {
    const incarnation = (number: number, nonce: string) => ({ number, nonce: nonce as Nonce })
    const known = incarnation(5, '0000000000000005')
    const problem = (number: number, nonce: string): string | undefined =>
      startProblem('a' as NodeId, known, incarnation(number, nonce))
    expect(problem(5, '0000000000000005')).toBeUndefined()
    expect(problem(6, '0000000000000001')).toBeUndefined()
    expect(problem(5, '0000000000000006')).toMatch(/runs twice/)
    expect(problem(4, '0000000000000004')).toMatch(/older copy/)
    expect(startProblem('a' as NodeId, undefined, known)).toBeUndefined()
  })

  it('that is a later one goes on with what was written', async () => {
    const { volume, node, gateway } = await prepared()
    const device = await gateway.attach(volume)
    await device.write(0, block(1), { fua: false })
    node.stop('power')
    node.start()
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(block(1))).toBe(true)
    await gateway.close()
  })
})
