// Goal: chunks move from node to node and back while a gateway reads and writes them, and nothing
// is lost, torn or reordered; a gateway that only reads is never served old data.
// Method: the load and the model of gateway-chaos; every chunk of the volume goes round three
// nodes. SEED=n repeats a run.
import { afterEach, describe, expect, it } from 'vitest'
import { MiB } from '../../protocols/limits.ts'
import { Chaos, load } from '../support/gateway-chaos.ts'
import { joined, seededRandom } from '../support/gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode } from '../support/handoff-mesh.ts'

const SIZE = 3 * MiB
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const worlds: HandoffMesh[] = []

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

/** Moves one chunk to the next of the first three nodes; failures that may be retried are. */
async function moveOn(world: HandoffMesh, chunk: ReturnType<typeof chunkAt>): Promise<void> {
  for (let attempt = 0; attempt < 40; attempt++) {
    const [from] = world.holders(chunk)
    if (from === undefined) throw new Error('nobody holds the chunk')
    const end = await from.pass(chunk, next(world, from))
    if (end.is === 'passed') return
    expect(end.mayRetry, end.why).toBe(true)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('a chunk never moved')
}

function next(world: HandoffMesh, from: HandoffNode): HandoffNode {
  return world.node((world.nodes.indexOf(from) + 1) % 3)
}

async function run(seed: number, on: 'gateway' | 'storage node'): Promise<void> {
  const world = await HandoffMesh.start(['a', 'b', 'c', 'gate'], undefined, seed)
  worlds.push(world)
  const volume = await world.createVolume(1, SIZE, 2)
  const gate = world.node(on === 'gateway' ? 3 : 0)
  const device = await gate.parts.gateway.attach(volume)
  const chaos = new Chaos(device, SIZE, seededRandom(seed))
  let isOver = false
  const working = load(chaos, () => isOver)
  for (let lap = 0; lap < 3; lap++) {
    for (const extent of [0, 1, 2]) {
      await Promise.all([0, 1].map(column => moveOn(world, chunkAt(volume, extent, column))))
    }
  }
  isOver = true
  await working
  expect(chaos.wrong).toEqual([])
  expect(joined(await device.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
  await device.detach()
  const again = await world.node(1).parts.gateway.attach(volume)
  expect(joined(await again.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
}

describe(`a volume whose chunks move under load (SEED=${SEED})`, () => {
  it('holds exactly what was written', () => run(SEED, 'gateway'), 60_000)
  it('does so for a gateway on a storage node', () => run(SEED + 1, 'storage node'), 60_000)
})
