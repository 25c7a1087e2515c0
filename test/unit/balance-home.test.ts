// Goal: when nothing threatens, chunks come home near to the gateway that uses them, if they stay
// quiet there for the next day.
// Method: two whole nodes in one process; the way between them is made long.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NodeEntry } from '../../crdt/types.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { BalanceMesh, type BalanceNode, CHUNKS, untilReal } from '../support/balance-mesh.ts'
import { token } from '../support/shard-harness.ts'

const steady = () => 300

let mesh: BalanceMesh
let a: BalanceNode
let b: BalanceNode
let volume: VolumeId

/** `b` is the gateway of what is on `a`, 50 ms away. */
beforeEach(async () => {
  mesh = await BalanceMesh.start(['a', 'b'])
  a = mesh.node(0)
  b = mesh.node(1)
  for (const { node } of [a, b]) node.network.roundTripMs = () => 50
  volume = await mesh.createVolume(1, a)
  mesh.loads.set(volume, steady)
  await mesh.settle()
})

afterEach(() => mesh.close())

function attachAt(node: BalanceNode): void {
  a.node.parts.map.announceHolder(volume, token(5), node.id, mesh.clock.now())
}

describe('a node that nothing threatens', () => {
  it('gives chunks to the node of their gateway', async () => {
    attachAt(b)
    await a.learn(volume, steady)
    await mesh.until(() => b.holds(volume) === CHUNKS, 600)
    await untilReal(() => a.moves.list(1).moves[0]?.endedAt !== undefined)
    expect(a.moves.list(1).moves[0]?.why).toMatch(/comes home/)
  })

  it('keeps what is at home, and what has no gateway', async () => {
    await a.learn(volume, steady)
    for (let passed = 0; passed < 300; passed += 20) await mesh.pass(20)
    attachAt(a)
    for (let passed = 0; passed < 400; passed += 20) await mesh.pass(20)
    expect(a.holds(volume)).toBe(CHUNKS)
  })

  it('gives them to a node of the region of a gateway that keeps no data', async () => {
    const c = await mesh.add('c')
    c.node.network.roundTripMs = () => 2
    retold(b, { capacityBytes: 0 })
    retold(c, { region: b.region })
    await mesh.settle()
    attachAt(b)
    await a.learn(volume, steady)
    await mesh.until(() => c.holds(volume) === CHUNKS, 600)
    expect(b.holds(volume)).toBe(0)
  })
})

it('goes elsewhere for an overload at once, though it was refused at home', async () => {
  const c = await mesh.add('c')
  const other = await mesh.createVolume(2, b)
  await mesh.settle()
  attachAt(b)
  await b.learn(other, () => 790)
  await a.learn(volume, steady)
  await mesh.until(() => mesh.said.includes('an offer came to nothing'), 600)
  mesh.loads.set(volume, () => 1_600)
  await mesh.until(() => c.holds(volume) > 0)
  expect(a.moves.list(1).moves[0]?.why).toMatch(/units\/s now/)
})

/** What the mesh knows of a node, told otherwise. */
function retold({ id, node }: BalanceNode, what: Partial<NodeEntry>): void {
  const entry = node.parts.map.mesh().nodes.get(id)
  if (entry === undefined) throw new Error('a node announces itself')
  node.parts.map.announceNode({ ...entry, ...what })
}
