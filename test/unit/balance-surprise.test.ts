// Goal: a load that no history foretold is taken to fade from now on, and one that was foretold, or
// that the forecast has seen, changes nothing.
// Method: paths of an hour, with loads measured at several times of them.
import { describe, expect, it } from 'vitest'
import { liftedPath } from '../../protocols/balance/surprise.ts'
import { MINUTE_MS } from '../../protocols/balance/time.ts'
import type { LoadPath } from '../../protocols/balance/types.ts'

const PATH: LoadPath = {
  ...{ atMs: 0, stepMs: 5 * MINUTE_MS },
  expected: Array(12).fill(100),
  high: Array(12).fill(200)
}

describe('a load above its band', () => {
  it('lifts the step of now by all of it, and each later one by 15 % less', () => {
    const { expected, high } = liftedPath(PATH, 300, MINUTE_MS)
    expect(expected.slice(0, 3)).toEqual([200, 185, 172.25])
    expect(high.slice(0, 3)).toEqual([300, 285, 272.25])
  })

  it('begins to fade now, however old the forecast is', () => {
    const { expected } = liftedPath(PATH, 300, 11 * MINUTE_MS)
    expect(expected.slice(2, 4)).toEqual([200, 185])
  })

  it('changes nothing that the forecast has seen', () => {
    expect(liftedPath(PATH, 300, MINUTE_MS / 4)).toBe(PATH)
  })
})

it('a load within its band changes nothing', () => {
  expect(liftedPath(PATH, 200, MINUTE_MS)).toBe(PATH)
})
