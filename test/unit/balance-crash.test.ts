// Goal: no target takes more than it can when several nodes award at once; what was awarded goes on
// after a crash of the source and is settled, what was only offered is forgotten.
// Method: three whole nodes in one process; their loads are imported, and time is turned by hand.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BALANCE_MOVES_FILE } from '../../node/balance/past.ts'
import { NEGOTIATE_PROTOCOL } from '../../protocols/negotiate/messages.ts'
import { CHUNKS, morning, untilReal } from '../support/balance-mesh.ts'
import {
  ended,
  foretellTooMuch,
  hasMoved,
  held,
  isOver,
  startTrio,
  type Trio
} from '../support/balance-trio.ts'

let trio: Trio

beforeEach(async () => {
  trio = await startTrio()
})

afterEach(() => trio.mesh.close())

describe('two nodes that foresee too much', () => {
  it('do not together give a third more than it can take', async () => {
    const { mesh, a, b, c, one, two } = trio
    const three = await mesh.createVolume(3, c)
    const four = await mesh.createVolume(4, c)
    await foretellTooMuch(trio)
    await c.learn(three, morning(700))
    await c.learn(four, morning(600))
    await mesh.until(() => [a, c].some(node => ended(node).length > 0))
    for (let passed = 0; passed < 120; passed += 10) await mesh.pass(10)
    await mesh.until(() => [a, c].every(isOver))
    const taken = [one, two, three, four].map(volume => b.holds(volume) / CHUNKS)
    const peaks = [700, 600, 700, 600]
    const peak = taken.reduce((sum, part, i) => sum + part * (peaks[i] ?? 0), 0)
    expect(peak).toBeGreaterThan(0)
    // An hour ahead is what bids are about: at nine, three quarters of the peak.
    expect(peak * 0.78).toBeLessThanOrEqual(800)
    expect(b.balance.plan().excess).toBeUndefined()
  })
})

describe('a restart', () => {
  it('goes on with the move, and settles it with its target', async () => {
    const { mesh, a, b, c } = trio
    let isDown = false
    a.node.observe = step => {
      if (step !== 'source: copying' || isDown) return
      isDown = true
      a.die()
    }
    await foretellTooMuch(trio)
    await mesh.until(() => isDown)
    await a.restart()
    await untilReal(() => ended(a).length > 0)
    expect(ended(a)[0]).toMatchObject({ state: 'done' })
    await mesh.until(
      () => isOver(a) && [b, c].every(node => node.balance.status().promises.length === 0)
    )
    expect(a.balance.status().movesLeft).toBe(11)
  })

  it('forgets what was only offered: the bids expire', async () => {
    const { mesh, a, b, c } = trio
    const reservations: string[] = []
    for (const node of [b, c])
      node.node.network.handle(NEGOTIATE_PROTOCOL, () => void reservations.push(node.name))
    await foretellTooMuch(trio)
    await mesh.until(() => reservations.length > 0)
    await a.restart()
    expect(a.balance.status().underWay).toEqual([])
    expect(held(trio, a)).toBe(2 * CHUNKS)
  })

  it('keeps a chunk from coming back for six hours', async () => {
    const { a } = trio
    await foretellTooMuch(trio)
    await hasMoved(trio)
    await a.restart()
    const disk = a.node.mapDisk
    const file = await disk.open(BALANCE_MOVES_FILE)
    const bytes = Buffer.alloc(await file.size())
    await file.read(bytes, 0)
    await file.close()
    expect(
      JSON.parse(bytes.toString()).events.some((one: { is: string }) => one.is === 'left')
    ).toBe(true)
  })
})
