// Goal: what a node decides to move by itself is moved exactly so, once, also after a restart, and
// gives way to people.
// Method: as in moves.test.ts; the orders that node/balance would give are given by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DrainDocument } from '../../node/control/documents.ts'
import type { MoveOrder, MovesWatcher } from '../../node/moves/types.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import { until } from '../support/cli-mesh.ts'
import {
  a,
  ask,
  b,
  c,
  chunk,
  ended,
  homes,
  id,
  mesh,
  move,
  restartSource,
  setUp,
  untilAsync
} from '../support/moves-mesh.ts'

const ID = '0123456789ab'

beforeEach(setUp)
afterEach(() => mesh.close())

function order(extents: readonly number[], more: Partial<MoveOrder> = {}): Promise<Move> {
  const chunks = extents.map(extent => chunk(extent, 0))
  const what = { id: ID, volume: id, to: c.id, chunks, bytes: 1, why: 'it gets hot' }
  if (a.moves === undefined) throw new Error('a storage node has moves')
  return a.moves.order({ ...what, reason: 'predicted', ...more })
}

describe('an order', () => {
  it('moves exactly its chunks under its id, and whoever watches hears of it', async () => {
    const seen: string[] = []
    const watcher: MovesWatcher = {
      started: (one, reason) => void seen.push(`${one.id} started ${reason}`),
      ended: (one, reason) => void seen.push(`${one.id} ${one.state} ${reason}`)
    }
    a.moves?.watch(watcher)
    await order([2, 9, 3])
    expect((await ended(ID)).chunks).toEqual({ total: 3, done: 3 })
    const there = (await homes(0)).map((name, extent) => (name === c.name ? extent : -1))
    expect(there.filter(extent => extent >= 0)).toEqual([2, 3, 9])
    expect(seen).toEqual([`${ID} started predicted`, `${ID} done predicted`])
  })

  it('takes no chunk that is being moved or gone, and nothing while the node is drained', async () => {
    a.handoffs.hold()
    await move({ extents: { from: 0, to: 2 } })
    await expect(order([1, 5])).rejects.toMatchObject({ fault: { code: 'CONFLICT' } })
    await expect(order([99])).rejects.toMatchObject({ fault: { code: 'NOT_FOUND' } })
    await ask('POST', `/v1/nodes/${a.name}/drain`, {})
    await expect(order([5])).rejects.toMatchObject({ fault: { code: 'CONFLICT' } })
    a.handoffs.release()
  })

  it('gives way to a person who moves one of its chunks', async () => {
    a.handoffs.hold()
    await order([4, 5])
    const { status, body } = await move({ extents: { from: 5, to: 6 }, to: b.name })
    expect(status).toBe(201)
    expect(await ended(ID)).toMatchObject({ state: 'cancelled', chunks: { done: 0 } })
    a.handoffs.release()
    await ended(body.id)
    expect((await homes(0)).slice(4, 6)).toEqual([a.name, b.name])
  })

  it('gives way to a drain, which moves its chunks with all others', async () => {
    a.handoffs.hold()
    await order([4, 5])
    const asked = ask<DrainDocument>('POST', `/v1/nodes/${a.name}/drain`, {})
    expect(await ended(ID)).toMatchObject({ state: 'cancelled' })
    expect((await asked).status).toBe(200)
    a.handoffs.release()
    const path = `/v1/nodes/${a.name}/drain`
    await untilAsync(
      async () => (await ask<DrainDocument>('GET', path)).body.drain.state === 'drained'
    )
  })

  it('goes on after a restart, still as what the node decided', async () => {
    a.handoffs.hold()
    await order([0, 1, 2, 3])
    await until(() => a.handoffs.begun.length > 0)
    await restartSource()
    expect((await ended(ID)).chunks).toEqual({ total: 4, done: 4 })
    a.handoffs.hold()
    await order([6, 7], { id: 'bbbbbbbbbbbb', reason: 'home' })
    await restartSource()
    const open = a.moves?.ordered() ?? []
    const over = a.moves?.list(10).moves.find(one => one.id === 'bbbbbbbbbbbb')
    expect(over?.state === 'done' || open[0]?.reason === 'home').toBe(true)
  })
})
