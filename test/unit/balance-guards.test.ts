// Goal: a node never has more under way than its file takes, nor moves more than its hour may, however
// late that becomes known; what is refused is kept, said in words, and done when there is room.
// Method: three whole nodes in one process; their loads are imported, and time is turned by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openPast } from '../../node/balance/past.ts'
import type { NodeSettingsChange } from '../../node/balance/types.ts'
import type { Nonce, VolumeId } from '../../protocols/ids.ts'
import { MAX_OPEN_OFFERS } from '../../protocols/negotiate/limits.ts'
import { NEGOTIATE_PROTOCOL, negotiateRequestSchema } from '../../protocols/negotiate/messages.ts'
import { CHUNKS } from '../support/balance-mesh.ts'
import {
  ended,
  foretellTooMuch,
  held,
  isOver,
  startTrio,
  type Trio
} from '../support/balance-trio.ts'
import { quietLog } from '../support/shard-harness.ts'

const MINUTE_MS = 60_000

let trio: Trio

beforeEach(async () => {
  trio = await startTrio()
})

afterEach(() => trio.mesh.close())

describe('a node with as many orders as its file takes', () => {
  it('offers nothing more, says why, and does so when one is over', async () => {
    const { mesh, a, b, c, one, two } = trio
    a.die()
    await writeOrders(trio)
    // Their target does not answer: they stay open as long as it is waited for.
    b.node.network.handle(NEGOTIATE_PROTOCOL, () => undefined)
    await a.restart()
    expect(a.balance.status().underWay).toHaveLength(MAX_OPEN_OFFERS)
    await foretellTooMuch(trio)
    // Time of load alone passes: nobody is waited for any longer by that.
    const words = 'nothing more is offered: as much as may be is under way'
    for (let minute = 0; minute < 20 && !mesh.said.includes(words); minute++) {
      await mesh.turn(MINUTE_MS)
    }
    expect(mesh.said).toContain(words)
    expect(a.balance.status().underWay).toHaveLength(MAX_OPEN_OFFERS)
    expect([held(trio, a), ended(a)]).toEqual([2 * CHUNKS, []])
    await mesh.until(() => isOver(a))
    await mesh.turn(5 * MINUTE_MS)
    await mesh.until(() => ended(a).length > 0 && isOver(a))
    expect(ended(a)[0]).toMatchObject({ to: c.id, state: 'done' })
    expect(held(trio, a) + c.holds(one) + c.holds(two)).toBe(2 * CHUNKS)
  })
})

/** Of moves that this node does not know any more: all that is left is to tell the target. */
async function writeOrders({ mesh, a, b }: Trio): Promise<void> {
  const past = await openPast(a.node.mapDisk, quietLog, mesh.clock)
  const since = mesh.clock.now()
  for (let i = 1; i <= MAX_OPEN_OFFERS; i++) {
    past.put({
      id: i.toString(16).padStart(12, '0'),
      volume: i.toString(16).padStart(32, 'e') as VolumeId,
      to: b.id,
      reservation: i.toString(16).padStart(16, '0') as Nonce,
      reason: 'predicted',
      ...{ since, bytes: 1 },
      ranges: [{ column: 0, generation: 0, replica: 0, from: 0, to: 1 }],
      path: { atMs: since, stepMs: 5 * MINUTE_MS, expected: [0], high: [0] }
    })
  }
  await past.save()
}

describe('the budget of a node', () => {
  const changes: NodeSettingsChange[] = [{ movesPerHour: 0 }, { bytesPerHour: 0 }]
  for (const change of changes) {
    it(`that is set to ${JSON.stringify(change)} after the offer holds at the award`, async () => {
      const { mesh, a, b, c } = trio
      const asked: string[] = []
      c.node.parts.rpc.serve(NEGOTIATE_PROTOCOL, negotiateRequestSchema, async (_, { call }) => {
        asked.push(call)
        // `b` has bid, or will: whatever it bids is awarded after this.
        await a.balance.set(change)
        return { is: 'refused', code: 'unknown', why: 'never heard' }
      })
      await foretellTooMuch(trio)
      await mesh.until(() => asked.length > 0)
      await mesh.until(() => isOver(a))
      expect(mesh.said).toContain('what was awarded did not begin')
      expect([held(trio, a), ended(a)]).toEqual([2 * CHUNKS, []])
      await mesh.until(() => b.balance.status().promises.length === 0)
      expect(a.balance.status()).toMatchObject({ idle: 'budget', underWay: [] })
    })
  }
})
