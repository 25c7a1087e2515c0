// Goal: nothing that was acknowledged is lost, torn or reordered while chunks move under load and
// nodes die, lose power, or lose sight of the gateway for so long that movers act in its absence.
// Method: the load and the model of gateway-chaos on whole nodes in memory. SEED=n repeats a run.
import { describe, expect, it } from 'vitest'
import type { VolumeId } from '../../protocols/ids.ts'
import { MiB } from '../../protocols/limits.ts'
import { Chaos, load } from '../support/gateway-chaos.ts'
import { eventually, FAST, joined, seededRandom } from '../support/gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode } from '../support/handoff-mesh.ts'

const SIZE = 3 * MiB
const COLUMNS = 2
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const OPTIONS = { ...FAST, ioTimeoutMs: 40_000 }

/** Some chunk goes from where it is to some other node, in the background. */
function moveSome(chaos: Chaos, world: HandoffMesh, volume: VolumeId): void {
  const chunk = chunkAt(volume, chaos.int(SIZE / MiB), chaos.int(COLUMNS))
  const [from] = world.holders(chunk)
  const to = world.node(chaos.int(3))
  if (from === undefined || from === to || !to.isUp) return
  void from.pass(chunk, to).catch(() => {})
}

async function disturb(
  chaos: Chaos,
  world: HandoffMesh,
  gate: HandoffNode,
  volume: VolumeId
): Promise<void> {
  const storage = [0, 1, 2].map(index => world.node(index))
  for (let i = 0; i < 14; i++) {
    for (let moves = chaos.int(3); moves > 0; moves--) moveSome(chaos, world, volume)
    await pause(40 + chaos.int(200))
    const kind = chaos.int(8)
    const node = world.node(chaos.int(3))
    if (kind === 0) {
      for (const { id } of storage) world.mesh.cut(gate.id, id)
      await silence(storage)
      for (let moves = 0; moves < 3; moves++) moveSome(chaos, world, volume)
      await pause(200 + chaos.int(400))
      for (const { id } of storage) world.mesh.heal(gate.id, id)
    } else if (kind < 5) {
      node.die(chaos.int(3) === 0 ? 'kill' : 'power')
      await pause(chaos.int(60))
      await node.start()
    }
  }
}

/** Until movers may act. */
function silence(nodes: readonly HandoffNode[]): Promise<void> {
  const limitMs = FAST.holderTimeoutMs ?? 0
  return eventually(() =>
    nodes.every(node =>
      (node.parts.shards?.stats().shards ?? []).every(
        ({ holderSilentMs = limitMs }) => holderSilentMs >= limitMs
      )
    )
  )
}

async function run(seed: number): Promise<void> {
  const world = await HandoffMesh.start(['a', 'b', 'c', 'gate'], OPTIONS, seed)
  const volume = await world.createVolume(1, SIZE, COLUMNS)
  const gate = world.node(3)
  const device = await gate.parts.gateway.attach(volume)
  const tokens = new Set([device.token.counter])
  device.onToken(({ counter }) => tokens.add(counter))
  const chaos = new Chaos(device, SIZE, seededRandom(seed))
  let isOver = false
  const working = load(chaos, () => isOver)
  await disturb(chaos, world, gate, volume)
  isOver = true
  await working
  expect(chaos.wrong).toEqual([])
  expect(device.state()).toBe('serving')
  expect(joined(await device.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
  await device.flush()
  for (let index = 0; index < 3; index++) {
    world.node(index).die('power')
    await world.node(index).start()
  }
  const again = await world.node(1).parts.gateway.attach(volume, { takeOver: true })
  expect(joined(await again.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
  await world.close()
}

/** Ticks, not time: the load goes on in between. */
async function pause(ticks: number): Promise<void> {
  for (let i = 0; i < ticks; i++) await new Promise(resolve => setImmediate(resolve))
}

describe(`a volume whose chunks move while its nodes die (SEED=${SEED})`, () => {
  for (let i = 0; i < 2; i++) {
    it(`holds exactly what was acknowledged, in order (${i})`, () => run(SEED + i), 120_000)
  }
})
