// Goal: any finite numbers give a picture of exactly the size that was asked for, which shows every
// column that has data, and nothing that is not a sign of the plot.
// Method: random series with gaps, zeros, constants and huge values; SEED=n repeats a run.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { short } from '../../cli/output.ts'
import { type Plot, plot } from '../../cli/plot.ts'
import { resampled } from '../../cli/plot-scale.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff)
console.log(`cli-plot: SEED=${SEED}`)
const options = { seed: SEED, numRuns: 500 }

const number = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: 0, max: 10_000, noNaN: true }) },
  { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1, Number.MAX_VALUE, Number.MIN_VALUE, -1) }
)
const values = fc.oneof(
  fc.array(fc.option(number, { freq: 5 }), { maxLength: 200 }),
  fc.tuple(number, fc.nat(300)).map(([one, length]) => new Array<number>(length).fill(one))
)
const numbers = fc.array(number, { maxLength: 60 })
const stepMs = fc.oneof(fc.integer({ min: 1, max: 3_600_000 }), number)

const pictures: fc.Arbitrary<Plot> = fc
  .record({
    width: fc.integer({ min: 1, max: 160 }),
    height: fc.integer({ min: 1, max: 40 }),
    ascii: fc.boolean(),
    nowMs: fc.oneof(fc.integer({ min: 0, max: 2e12 }), number),
    history: fc.record({ stepMs, values }),
    ahead: fc.record({ stepMs, q50: numbers, q90: numbers, q95: numbers }),
    threshold: fc.option(number, { nil: undefined }),
    offset: fc.integer({ min: -720, max: 840 })
  })
  .map(({ threshold, offset, ...rest }) => ({
    ...rest,
    ...(threshold === undefined ? {} : { threshold }),
    offsetMinutes: () => offset,
    label: short
  }))

it('has exactly its width and height, and only its signs', () => {
  fc.assert(
    fc.property(pictures, picture => {
      const lines = plot(picture)
      expect(lines).toHaveLength(picture.height)
      for (const line of lines) {
        expect(line.length).toBe(picture.width)
        expect(line).toMatch(picture.ascii ? /^[ -~]*$/ : /^[ -~\u2800-\u28ff▒░╌│┤└─┬┴]*$/)
        expect(line).not.toMatch(/NaN|Infinity|undefined|null/)
      }
    }),
    options
  )
})

it('shows something in every column that has data, and no line where there is none', () => {
  const big = fc.record({
    picture: pictures,
    width: fc.integer({ min: 40, max: 160 }),
    height: fc.integer({ min: 6, max: 40 })
  })
  fc.assert(
    fc.property(big, ({ picture, width, height }) => {
      const { threshold: _, ...rest } = picture
      const { past, ahead, pastColumns, aheadColumns } = columnsOf({ ...rest, width, height })
      const means = resampled(picture.history.values, pastColumns)
      expect(past.map(isBlank)).toEqual(means.map(mean => mean === null))
      const { q50, q90, q95 } = picture.ahead
      const steps = Math.max(q50.length, q90.length, q95.length)
      const known = Array.from({ length: steps }, (_one, step) =>
        [q50, q90, q95].some(list => step < list.length) ? 1 : null
      )
      const expected = steps === 0 ? [] : resampled(known, aheadColumns)
      expect(ahead.map(isBlank)).toEqual(expected.map(mean => mean === null))
    }),
    options
  )
})

/** The columns left and right of the rule that is now, each as the text from top to bottom. */
function columnsOf(picture: Plot) {
  const lines = plot(picture).slice(0, -2)
  const axis = (lines[0] ?? '').search(/[+|│┤]/)
  const bare = lines.map(line => line.slice(axis + 1))
  const width = picture.width - axis - 1
  const columns = Array.from({ length: width }, (_, x) => bare.map(line => line[x] ?? '').join(''))
  const now = columns.findIndex(column => /^[|│]+$/.test(column))
  expect(now).toBeGreaterThanOrEqual(0)
  const [past, ahead] = [columns.slice(0, now), columns.slice(now + 1)]
  return { past, ahead, pastColumns: past.length, aheadColumns: ahead.length }
}

function isBlank(column: string): boolean {
  return /^ *$/.test(column)
}
