// Goal: exponentials and logarithms are the same bits on every Node, and right.
// Method: compare with Math's within rounding, over the whole range and at its ends; and pin the
// bits of a sum over many arguments, which any change of V8 or of ours would move.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exp, expm1, ln, ln1p, round6, sigmoid, tanh } from '../../protocols/forecast/numeric.ts'
import { Random } from '../../protocols/forecast/random.ts'

const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true })

function close(actual: number, expected: number): boolean {
  return actual === expected || Math.abs(actual - expected) <= 1e-13 * Math.abs(expected)
}

describe('numbers out of + - * /', () => {
  it('agree with Math within rounding', () => {
    fc.assert(
      fc.property(finite(-700, 700), finite(1e-300, 1e300), (x, y) => {
        expect(close(exp(x), Math.exp(x))).toBe(true)
        expect(close(ln(y), Math.log(y))).toBe(true)
        expect(close(ln1p(y), Math.log1p(y))).toBe(true)
      })
    )
  })

  it('agree with Math where differences would cancel', () => {
    fc.assert(
      fc.property(finite(-0.5, 0.5), x => {
        expect(close(expm1(x), Math.expm1(x))).toBe(true)
        expect(close(ln1p(x), Math.log1p(x))).toBe(true)
        expect(Math.abs(tanh(x) - Math.tanh(x))).toBeLessThan(1e-15)
      })
    )
  })

  it('saturate at the ends and keep NaN', () => {
    expect([exp(1000), exp(-1000), ln(0), ln(-1), tanh(50), tanh(-50)]).toEqual([
      Number.POSITIVE_INFINITY,
      0,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      1,
      -1
    ])
    expect([sigmoid(800), sigmoid(-800), exp(Number.NaN)]).toEqual([1, 0, Number.NaN])
    expect(ln(5e-324)).toBeCloseTo(Math.log(5e-324), 9)
  })

  it('give the same bits on every version of Node', () => {
    const random = new Random(7)
    let sum = 0
    for (let i = 0; i < 100_000; i++) {
      const x = random.unit() * 40 - 20
      sum += exp(x / 4) + ln(exp(x)) + ln1p(Math.abs(x)) + tanh(x) + sigmoid(x) + random.normal()
    }
    expect(sum).toBe(GOLDEN)
  })

  it('publish six decimals and no negative zero', () => {
    expect(round6(1.23456789)).toBe(1.234568)
    expect(Object.is(round6(-1e-9), 0)).toBe(true)
  })
})

const GOLDEN = 1756302.7392971467
