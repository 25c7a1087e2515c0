// Goal: a node that sees an overload coming has found a home for the right chunks and moved them
// before it comes; nothing moves that should not.
// Method: three whole nodes in one process; their loads are imported, and load time is turned by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VolumeId } from '../../protocols/ids.ts'
import {
  BalanceMesh,
  type BalanceNode,
  CHUNKS,
  morning,
  untilReal
} from '../support/balance-mesh.ts'

let mesh: BalanceMesh
let a: BalanceNode
let b: BalanceNode
let c: BalanceNode
let one: VolumeId
let two: VolumeId

beforeEach(async () => {
  mesh = await BalanceMesh.start(['a', 'b', 'c'])
  a = mesh.node(0)
  b = mesh.node(1)
  c = mesh.node(2)
  one = await mesh.createVolume(1, a)
  two = await mesh.createVolume(2, a)
})

afterEach(() => mesh.close())

/** The peak of both together is above what `a` should have; each alone is not. */
async function learn(): Promise<void> {
  await a.learn(one, morning(700))
  await a.learn(two, morning(600))
}

describe('a predicted overload', () => {
  it('leads to an offer, bids, an award and a move that is over before it would come', async () => {
    await mesh.gossip()
    await learn()
    console.log(a.balance.status(), a.balance.plan())
    await mesh.turn(25_000)
    await untilReal(() => a.holds(one) + a.holds(two) < 2 * CHUNKS)
    await untilReal(() => a.balance.status().underWay.length === 0)
    const moves = a.moves.list(10).moves
    console.log(
      moves,
      [a, b, c].map(n => [n.holds(one), n.holds(two)])
    )
    expect(moves[0]?.state).toBe('done')
  })
})
