// Goal: a chunk passes from node to node with everything that was written to it, attached or not,
// and afterwards exactly one node holds it, and the bytes are given back where it was.
// Method: whole nodes in one process over the memory network and disks; real gateways read and
// write before, during and after.
import { afterEach, describe, expect, it } from 'vitest'
import {
  type HandoffStep,
  MOVER_STEPS,
  SOURCE_STEPS,
  TARGET_STEPS
} from '../../protocols/handoff/steps.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { eventually, joined, seededRandom } from '../support/gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode, passed } from '../support/handoff-mesh.ts'

const meshes: HandoffMesh[] = []

async function mesh(names: readonly string[]): Promise<HandoffMesh> {
  const made = await HandoffMesh.start(names)
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
