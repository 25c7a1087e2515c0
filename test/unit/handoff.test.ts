// Goal: a chunk passes from node to node with everything that was written to it, attached or not,
// and afterwards exactly one node holds it, and the bytes are given back where it was.
// Method: whole nodes in one process over the memory network and disks; real gateways read and
// write before, during and after.
import { afterEach, describe, expect, it } from 'vitest'
import { checksum } from '../../protocols/checksum.ts'
import {
  type HandoffStep,
  MOVER_STEPS,
  SOURCE_STEPS,
  TARGET_STEPS
} from '../../protocols/handoff/steps.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { SHARD_IO_PROTOCOL } from '../../protocols/shard-io/messages.ts'
import { eventually, FAST, joined, seededRandom } from '../support/gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode, passed } from '../support/handoff-mesh.ts'

const meshes: HandoffMesh[] = []

async function mesh(names: readonly string[], options = FAST): Promise<HandoffMesh> {
  const made = await HandoffMesh.start(names, options)
  meshes.push(made)
  return made
}

afterEach(async () => {
  for (const made of meshes.splice(0)) await made.close()
})

function bytes(length: number, seed: number): Buffer {
  return Buffer.from(seededRandom(seed).bytes(length))
}

describe('a volume that nobody has attached', () => {
  it('moves chunk by chunk, and reads as before', async () => {
    const world = await mesh(['a', 'b', 'c'])
    const [a, b, c] = [world.node(0), world.node(1), world.node(2)]
    const volume = await world.createVolume(1, 3 * MiB)
    const data = bytes(3 * MiB, 7)
    const first = await a.parts.gateway.attach(volume)
    await first.write(0, data, { fua: false })
    await first.trim(MiB, 64 * KiB, { fua: false })
    data.fill(0, MiB, MiB + 64 * KiB)
    await first.detach()
    for (const extent of [0, 1, 2]) passed(await a.pass(chunkAt(volume, extent), b))
    expect(world.holders(chunkAt(volume, 1)).map(node => node.name)).toEqual(['b'])
    const later = await c.parts.gateway.attach(volume)
    expect(joined(await later.read(0, 3 * MiB)).equals(data)).toBe(true)
    await later.detach()
    await eventually(() => (a.parts.store?.allocatedBytes(volume) ?? 0) === 0)
    passed(await b.pass(chunkAt(volume, 0), a))
    const again = await c.parts.gateway.attach(volume)
    expect(joined(await again.read(0, 3 * MiB)).equals(data)).toBe(true)
  })
})

describe('a handoff', () => {
  it('passes a chunk on that its gateway has not used since it came', async () => {
    // Nobody becomes a mover in the meantime: only the gateway can approve.
    const world = await mesh(['a', 'b', 'c', 'gate'], { ...FAST, holderTimeoutMs: 60_000 })
    const [a, b, c, gate] = [0, 1, 2, 3].map(at => world.node(at)) as Four
    const volume = await world.createVolume(1, MiB)
    const device = await gate.parts.gateway.attach(volume)
    const { token } = device
    passed(await a.pass(chunkAt(volume, 0), b))
    passed(await b.pass(chunkAt(volume, 0), c))
    expect(device.token).toEqual(token)
    await device.detach()
  })

  it('to a node that held chunks before costs one connection, however often it was left', async () => {
    const world = await mesh(['a', 'b', 'gate'])
    const [a, b, gate] = [world.node(0), world.node(1), world.node(2)]
    const volume = await world.createVolume(1, MiB)
    const device = await gate.parts.gateway.attach(volume)
    const opened = new Map([a, b].map(({ id }) => [id, 0]))
    const open = gate.network.open.bind(gate.network)
    gate.network.open = (peer, protocol) => {
      if (protocol === SHARD_IO_PROTOCOL) opened.set(peer, (opened.get(peer) ?? 0) + 1)
      return open(peer, protocol)
    }
    for (let there = 0; there < 4; there++) {
      for (const [from, to] of [[a, b] as const, [b, a] as const]) {
        passed(await from.pass(chunkAt(volume, 0), to))
        await device.write(0, bytes(BLOCK_BYTES, there), { fua: false })
        await device.flush()
        // It holds nothing of the volume any more: the gateway gives its connection up.
        await eventually(() => from.parts.shards?.stats().streams === 0)
      }
    }
    expect([...opened.values()]).toEqual([4, 4])
    await device.detach()
  })

  it('sends a changed block whose checksum is the same', async () => {
    const world = await mesh(['a', 'b', 'gate'])
    const [a, b, gate] = [world.node(0), world.node(1), world.node(2)]
    const volume = await world.createVolume(1, MiB)
    const device = await gate.parts.gateway.attach(volume)
    const [older, newer] = [withOwnChecksum(1), withOwnChecksum(2)]
    expect(checksum(older)).toBe(checksum(newer))
    await device.write(0, older, { fua: false })
    let writing: Promise<void> | undefined
    a.observe = step => {
      if (step === 'source: verifying') writing ??= device.write(0, newer, { fua: false })
    }
    passed(await a.pass(chunkAt(volume, 0), b))
    expect(writing).toBeDefined()
    await writing
    expect(joined(await device.read(0, BLOCK_BYTES)).equals(newer)).toBe(true)
    await device.detach()
  })

  it('leaves alone what a newer attempt stored, however late an older one fails', async () => {
    const world = await mesh(['a', 'b', 'gate'])
    const [a, b, gate] = [world.node(0), world.node(1), world.node(2)]
    const volume = await world.createVolume(1, MiB)
    const device = await gate.parts.gateway.attach(volume)
    const data = bytes(MiB, 9)
    await device.write(0, data, { fua: false })
    const { store } = b.parts
    if (store === undefined) throw new Error('b has a store')
    const read = store.read.bind(store)
    let fail: (error: Error) => void = () => {}
    const calledOff = new AbortController()
    // The first attempt is called off while it reads back; that read never gets anywhere.
    store.read = () => {
      store.read = read
      calledOff.abort()
      return new Promise((_, reject) => {
        fail = reject
      })
    }
    expect(await a.pass(chunkAt(volume, 0), b, calledOff.signal)).toMatchObject({ is: 'failed' })
    passed(await a.pass(chunkAt(volume, 0), b))
    fail(new Error('a read that failed at last'))
    await new Promise(resolve => setImmediate(resolve))
    expect(joined(await device.read(0, MiB)).equals(data)).toBe(true)
    await device.detach()
  })
})

type Four = [HandoffNode, HandoffNode, HandoffNode, HandoffNode]

/** Ends with the CRC32C of what is before it, so that all such blocks have one checksum. */
function withOwnChecksum(fill: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES, fill)
  block.writeUInt32LE(checksum(block.subarray(0, BLOCK_BYTES - 4)), BLOCK_BYTES - 4)
  return block
}

/** Steps that a handoff between two healthy nodes does not take. */
const NOT_HERE: readonly HandoffStep[] = ['source: aborted', 'target: dropping']

describe('a node that dies at a step of a handoff', () => {
  const steps = [...SOURCE_STEPS, ...MOVER_STEPS, ...TARGET_STEPS].filter(
    step => !NOT_HERE.includes(step)
  )
  for (const step of steps) {
    for (const how of ['kill', 'power'] as const) {
      it(`${step}, ${how}: one holder in the end, with every flushed byte`, () => die(step, how))
    }
  }
})

async function die(step: HandoffStep, how: 'kill' | 'power'): Promise<void> {
  const world = await mesh(['a', 'b', 'gate'])
  const [a, b, gate] = [world.node(0), world.node(1), world.node(2)]
  const volume = await world.createVolume(1, MiB)
  const chunk = chunkAt(volume, 0)
  const data = bytes(MiB, 3)
  const first = await gate.parts.gateway.attach(volume)
  await first.write(0, data, { fua: false })
  await first.detach()
  const dying = step.startsWith('target') ? b : a
  let hasDied = false
  dying.observe = reached => {
    if (reached !== step || hasDied) return
    hasDied = true
    dying.die(how)
  }
  void a.pass(chunk, b)
  await eventually(() => hasDied)
  await dying.start()
  // An attach waits until the replica is accounted for, whichever way it went.
  const later = await gate.parts.gateway.attach(volume, { timeoutMs: 20_000 })
  expect(joined(await later.read(0, MiB)).equals(data)).toBe(true)
  expect(world.holders(chunk)).toHaveLength(1)
  await later.detach()
  await passOn(world.holders(chunk)[0] ?? a, a, b, chunk)
  const last = await gate.parts.gateway.attach(volume, { timeoutMs: 20_000 })
  expect(joined(await last.read(0, MiB)).equals(data)).toBe(true)
}

/** Whatever is left of the first attempt does not stop a second one, to the other node. */
async function passOn(
  from: HandoffNode,
  a: HandoffNode,
  b: HandoffNode,
  chunk: ReturnType<typeof chunkAt>
): Promise<void> {
  const to = from === a ? b : a
  for (let attempt = 0; attempt < 40; attempt++) {
    const end = await from.pass(chunk, to)
    if (end.is === 'passed') return
    expect(end.mayRetry, end.why).toBe(true)
    await new Promise(resolve => setTimeout(resolve, 250))
  }
  throw new Error('the second attempt never came through')
}
