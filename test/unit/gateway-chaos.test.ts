// Goal: nothing that was acknowledged is lost and no overlapping changes change places, whatever
// storage nodes do: killed, without power (what was not flushed is gone), slow, all under load.
// Method: random overlapping changes of any alignment, sixteen at a time, against a model, while
// nodes die and come back. SEED=n repeats a run.
import { describe, expect, it } from 'vitest'
import type { NodeId } from '../../protocols/ids.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { Chaos, load } from '../support/gateway-chaos.ts'
import { FAST, GatewayMesh, joined, seededRandom } from '../support/gateway-mesh.ts'

const SIZE = 2 * MiB
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

/** Nodes die or are cut off, sometimes two at a time, and come back a few ticks later. */
async function kill(chaos: Chaos, mesh: GatewayMesh, gateway: NodeId): Promise<void> {
  for (let i = 0; i < 40; i++) {
    await pause(20 + chaos.int(80))
    const node = mesh.node(chaos.int(3))
    if (chaos.int(3) === 0) {
      mesh.mesh.cut(gateway, node.id)
      await pause(chaos.int(30))
      mesh.mesh.heal(gateway, node.id)
      continue
    }
    node.stop(chaos.int(4) === 0 ? 'kill' : 'power', chaos.int(4))
    await pause(chaos.int(30))
    if (chaos.int(3) > 0) node.start()
    else mesh.node(chaos.int(3)).start()
  }
}

async function run(seed: number, replayBytes: number): Promise<void> {
  const random = seededRandom(seed)
  const mesh = new GatewayMesh(3)
  const volume = await mesh.createVolume(1, SIZE)
  const options = { ...FAST, ioTimeoutMs: 20_000, replayBytes }
  const gateway = mesh.gateway('vm-host', options, random)
  const device = await gateway.attach(volume)
  const chaos = new Chaos(device, SIZE, random)
  let isOver = false
  const working = load(chaos, () => isOver)
  await kill(chaos, mesh, gateway.id)
  isOver = true
  for (const node of mesh.nodes) node.start()
  await working
  expect(chaos.wrong).toEqual([])
  expect(joined(await device.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
  await device.flush()
  for (const node of mesh.nodes) node.stop('power')
  for (const node of mesh.nodes) node.start()
  const next = await mesh.gateway('other-host', options, random).attach(volume, { takeOver: true })
  expect(joined(await next.read(0, SIZE)).equals(chaos.model.bytes)).toBe(true)
  await next.detach()
  await gateway.close()
}

/** Ticks, not time: the load goes on in between. */
async function pause(ticks: number): Promise<void> {
  for (let i = 0; i < ticks; i++) await new Promise(resolve => setImmediate(resolve))
}

describe(`a volume whose storage nodes die under load (SEED=${SEED})`, () => {
  for (let i = 0; i < 2; i++) {
    it(
      `holds exactly what was acknowledged, in order, and keeps what was flushed (${i})`,
      () => run(SEED + i, 8 * MiB),
      60_000
    )
  }

  it(
    'does so with room for replay of hardly more than one change',
    () => run(SEED + 100, 600 * KiB),
    60_000
  )
})
