// Goal: an hour after a move both its ends know what became of it, from what their keepers measured;
// also when the source's process died meanwhile, and when the target was away for a while.
// Method: whole nodes in one process; load time is turned by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { askReceipts, askScore } from '../../node/balance/ask.ts'
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { BalanceMesh, type BalanceNode, CAPACITY, untilReal } from '../support/balance-mesh.ts'
import { chunkAt } from '../support/handoff-mesh.ts'

const MINUTE_MS = 60_000

let mesh: BalanceMesh
let a: BalanceNode
let b: BalanceNode
let volume: VolumeId

beforeEach(async () => {
  mesh = await BalanceMesh.start(['a', 'b'])
  a = mesh.node(0)
  b = mesh.node(1)
  volume = await mesh.createVolume(1, a)
  // They move nothing by themselves: the move of the test is the only one.
  for (const node of [a, b]) await node.balance.set({ isPaused: true })
})
afterEach(() => mesh.close())

/** What the node keeps of the move, as another one is told it. */
async function keptAt(node: BalanceNode): Promise<Receipt | undefined> {
  const { rpc, map } = node.node.parts
  const [receipt] = await askReceipts({ rpc, map }, node.id, {}, 10)
  return receipt
}

/** Questions take turns of the real clock. */
async function judged(node: BalanceNode): Promise<Receipt> {
  for (let turn = 0; turn < 20; turn++) {
    const receipt = await keptAt(node)
    if (receipt?.outcome !== undefined) return receipt
    await mesh.turn(MINUTE_MS)
  }
  throw new Error(`no verdict at ${node.name}`)
}

async function moveHalf(): Promise<string> {
  const chunks = [0, 1, 2, 3].map(extent => chunkAt(volume, extent))
  const order = { id: '3fa9c2d01b7e', volume, to: b.id, chunks, bytes: 1, why: 'a test' }
  const move = await a.moves.order({ ...order, reason: 'reactive' })
  await untilReal(() => a.holds(volume) === 4 && b.holds(volume) === 4)
  await untilReal(() => a.moves.list(1).moves[0]?.endedAt !== undefined)
  return move.id
}

/**
 * The shard of the volume there had this load since the move ended, but in some minutes, in which it
 * was measured while the hand went by: then it was idle.
 */
async function had(node: BalanceNode, load: number): Promise<void> {
  const now = Math.floor(mesh.clock.now() / MINUTE_MS)
  const rows = Array.from({ length: 66 }, (_, i) => ({
    slot: now - 66 + i,
    record: { ...IDLE, reads: load }
  }))
  node.load.subjects.look()
  await node.load.ask({ ask: 'import', key: volume, rows })
}

describe('a move that a node decided', () => {
  it('is judged by its source from what both measured, and its target is told', async () => {
    const id = await moveHalf()
    await mesh.turn(1)
    for (const node of [a, b]) {
      expect(await keptAt(node)).toMatchObject({ id, reason: 'reactive', why: 'a test' })
    }
    await mesh.turn(64 * MINUTE_MS)
    await had(a, 100)
    await had(b, 5_000)
    const { outcome } = await judged(a)
    expect(outcome).toMatchObject({
      wasNeeded: true,
      sourceThreshold: 0.8 * CAPACITY,
      targetThreshold: 0.8 * CAPACITY,
      targetStayedWell: false
    })
    expect(outcome?.sourcePeak).toBeLessThanOrEqual(100)
    expect(outcome?.sourcePeakWithout).toBeGreaterThanOrEqual(outcome?.targetPeak ?? 0)
    expect(await judged(b)).toMatchObject({ keptBy: 'target', movedChunks: 4, outcome })
    const { rpc, map } = a.node.parts
    const { totals } = await askScore({ rpc, map }, a.id, 1)
    expect(totals).toMatchObject({ needed: 1, unneeded: 0 })
    expect(totals.avoidedMinutes).toBe(outcome?.avoidedMinutes)
  })

  it('is judged by the next start of its source, once its target is back', async () => {
    await moveHalf()
    await mesh.turn(MINUTE_MS)
    await a.restart()
    await mesh.turn(64 * MINUTE_MS)
    await had(a, 100)
    await had(b, 5_000)
    b.die()
    await mesh.turn(5 * MINUTE_MS)
    expect(await keptAt(a)).toMatchObject({ state: 'done' })
    expect((await keptAt(a))?.outcome).toBeUndefined()
    await b.restart()
    expect((await judged(a)).outcome).toMatchObject({ wasNeeded: true })
    expect((await judged(b)).outcome).toMatchObject({ wasNeeded: true })
  })
})
