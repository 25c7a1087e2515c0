// Goal: nothing that was acknowledged is lost and no overlapping changes change places, whatever
// storage nodes do: killed, without power (what was not flushed is gone), slow, all under load.
// Method: random overlapping changes of any alignment, sixteen at a time, against a model, while
// nodes die and come back. SEED=n repeats a run.
import { describe, expect, it } from 'vitest'
import type { BlockDevice } from '../../node/block-device.ts'
import type { Random } from '../../node/ports.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import { FAST, GatewayMesh, joined, seededRandom } from '../support/gateway-mesh.ts'

const SIZE = 2 * MiB
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

/** What the device must hold: changes take effect in the order of the calls. */
class Model {
  readonly bytes = Buffer.alloc(SIZE)
  /** Changes begun per block, and how many of them have not ended. */
  readonly begun = new Uint32Array(SIZE / BLOCK_BYTES)
  readonly open = new Int32Array(SIZE / BLOCK_BYTES)

  change(from: number, to: number, delta: 1 | -1): void {
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < to; block++) {
      this.open[block] = (this.open[block] ?? 0) + delta
      if (delta === 1) this.begun[block] = (this.begun[block] ?? 0) + 1
    }
  }
}

class Chaos {
  readonly model = new Model()
  readonly device: BlockDevice
  readonly random: Random
  wrong: string[] = []
  #byte = 0

  constructor(device: BlockDevice, random: Random) {
    this.device = device
    this.random = random
  }

  int(below: number): number {
    return Math.floor(this.random.fraction() * below)
  }

  range(): [number, number] {
    const longest = this.int(10) === 0 ? 300 * KiB : this.int(3) === 0 ? 40 * KiB : 8 * KiB
    // Most of the load meets on few blocks, so that changes overlap.
    const within = this.int(2) === 0 ? 64 * KiB : SIZE - longest
    const isAligned = this.int(2) === 0
    const unit = isAligned ? BLOCK_BYTES : 1
    const from = Math.floor(this.int(within) / unit) * unit
    const length = Math.max(unit, Math.floor((1 + this.int(longest)) / unit) * unit)
    return [from, Math.min(SIZE, from + length)]
  }

  async step(): Promise<void> {
    const [from, to] = this.range()
    const kind = this.int(20)
    const fua = this.int(8) === 0
    if (kind < 9) {
      this.#byte = (this.#byte % 255) + 1
      const data = Buffer.alloc(to - from, this.#byte)
      this.model.bytes.set(data, from)
      await this.#tracked(from, to, this.device.write(from, data, { fua }))
    } else if (kind < 11) {
      const first = Math.ceil(from / BLOCK_BYTES) * BLOCK_BYTES
      const last = Math.floor(to / BLOCK_BYTES) * BLOCK_BYTES
      if (last > first) this.model.bytes.fill(0, first, last)
      await this.#tracked(from, to, this.device.trim(from, to - from, { fua }))
    } else if (kind < 13) {
      this.model.bytes.fill(0, from, to)
      const allocate = this.int(2) === 0
      await this.#tracked(from, to, this.device.zero(from, to - from, { fua, allocate }))
    } else if (kind < 19) await this.#check(from, to)
    else await this.device.flush()
  }

  async #tracked(from: number, to: number, change: Promise<void>): Promise<void> {
    this.model.change(from, to, 1)
    await change
    this.model.change(from, to, -1)
  }

  /** Blocks that nothing touched meanwhile must be as the model says. */
  async #check(from: number, to: number): Promise<void> {
    const before = this.model.begun.slice()
    const wasOpen = this.model.open.slice()
    const found = joined(await this.device.read(from, to - from))
    if (found.length !== to - from) this.wrong.push(`read ${found.length} of ${to - from}`)
    for (let at = from; at < to; at++) {
      const block = Math.floor(at / BLOCK_BYTES)
      if (wasOpen[block] !== 0 || before[block] !== this.model.begun[block]) continue
      if (found[at - from] === this.model.bytes[at]) continue
      this.wrong.push(`byte ${at} read ${found[at - from]}, written ${this.model.bytes[at]}`)
      return
    }
  }
}

async function load(chaos: Chaos, isOver: () => boolean): Promise<void> {
  const worker = async (): Promise<void> => {
    while (!isOver()) await chaos.step()
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}

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
  const chaos = new Chaos(device, random)
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
