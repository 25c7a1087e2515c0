// Goal: the plot of a forecast is exactly what its numbers say: line, band, threshold, axes, times.
// Method: pictures small enough to check by eye, sign by sign.
import { describe, expect, it } from 'vitest'
import { short } from '../../cli/output.ts'
import { isAbove, type Plot, plot } from '../../cli/plot.ts'
import { resampled, scaleOf } from '../../cli/plot-scale.ts'
import { timeTicks } from '../../cli/plot-times.ts'
import { Calendar } from '../../protocols/forecast/calendar.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const NOW = Date.UTC(2026, 0, 15, 13, 0)

function picture(more: Partial<Plot>): Plot {
  return {
    width: 30,
    height: 8,
    ascii: true,
    nowMs: NOW,
    history: { stepMs: 15 * MINUTE_MS, values: [] },
    ahead: { stepMs: 15 * MINUTE_MS, q50: [], q90: [], q95: [] },
    offsetMinutes: () => 0,
    label: short,
    ...more
  }
}

const rising = picture({
  history: { stepMs: 15 * MINUTE_MS, values: [1, 1, 2, 2, 3, 3, null, 4, 4, 5, 5, 6] },
  ahead: {
    stepMs: 15 * MINUTE_MS,
    q50: [6, 6, 7, 7, 6, 6, 5, 5],
    q90: [7, 7, 8, 8, 8, 8, 7, 7],
    q95: [8, 8, 10, 10, 11, 11, 9, 9]
  }
})

/** Without the blanks at the ends, which are there to fill the width. */
const trimmed = (lines: readonly string[]): string[] => lines.map(line => line.trimEnd())

describe('the picture', () => {
  it('of a rise, in ASCII', () => {
    expect(trimmed(plot({ ...rising, threshold: 4 }))).toEqual([
      '10+                |   .....',
      '  |                |...::::...',
      '  |               *|ooooooo:::',
      '  |---------******-|-------ooo',
      '  |  ******        |',
      ' 0+**              |',
      '  ++---------+-----+-----+----',
      ' 10:00     12:00  now  14:00'
    ])
  })

  it('of a rise, in braille and blocks', () => {
    expect(trimmed(plot({ ...rising, ascii: false, threshold: 4 }))).toEqual([
      '10┤                │   ░░░░░',
      '  │                │░░▒▒▒▒▒▒░░',
      '  │              ⢀⠤│⠤⠤⠜⠉⠉⠦⠤⢄▒▒',
      '  │╌╌╌╌╌╌╌╌╌⣀⣀⣀⠖⠒⠊╌│╌╌╌╌╌╌╌⠘⠒⠒',
      '  │   ⣀⣀⠔⠒⠒        │',
      ' 0┤⠒⠒⠊             │',
      '  └┬─────────┬─────┴─────┬────',
      ' 10:00     12:00  now  14:00'
    ])
  })

  it('of nothing but a past', () => {
    expect(trimmed(plot(picture({ history: { stepMs: HOUR_MS, values: [1, 0, 1] } })))).toEqual([
      '  1+********         ********|',
      '   |        *        *       |',
      '0.5+        *        *       |',
      '   |        *       *        |',
      '   |         *      *        |',
      '  0+         *******         |',
      '   ++-------+-------+--------+',
      '  10:00   11:00   12:00    now'
    ])
  })

  it('of nothing at all', () => {
    expect(trimmed(plot(picture({ height: 5 })))).toEqual([
      '  1+                         |',
      '0.5+                         |',
      '  0+                         |',
      '   +-------------------------+',
      '                           now'
    ])
  })

  it('of zeros lies on the axis', () => {
    const zeros = new Array<number>(8).fill(0)
    const ahead = { stepMs: 15 * MINUTE_MS, q50: zeros, q90: zeros, q95: zeros }
    const history = { stepMs: 15 * MINUTE_MS, values: zeros }
    expect(trimmed(plot(picture({ history, ahead, height: 5 })))).toEqual([
      '  1+             |',
      '0.5+             |',
      '  0+*************|oooooooooooo',
      '   +------+------+------+-----',
      '        12:00   now   14:00'
    ])
  })

  it('leaves a threshold out that is far above, and can say so', () => {
    const far = { ...rising, threshold: 1000 }
    expect(plot(far)).toEqual(plot(rising))
    expect(isAbove(far)).toBe(true)
    expect(isAbove({ ...rising, threshold: 9 })).toBe(false)
    expect(isAbove(rising)).toBe(false)
  })

  it('draws what goes beyond it in its first line', () => {
    const wild = rising.ahead.q95.map(() => 1e9)
    const lines = plot({ ...rising, ahead: { ...rising.ahead, q95: wild } })
    expect(lines[0]).toMatch(/\|\.{10}$/)
  })
})

describe('means over the time of a column', () => {
  it('are of all that lies in it, and of nothing else', () => {
    expect(resampled([1, 2, 3, 4], 2)).toEqual([1.5, 3.5])
    expect(resampled([1, 2], 4)).toEqual([1, 1, 2, 2])
    expect(resampled([3, 6, 9], 2)).toEqual([4, 8])
    expect(resampled([null, 6, null, null], 2)).toEqual([6, null])
    expect(resampled([], 2)).toEqual([null, null])
    expect(resampled([1], 0)).toEqual([])
  })
})

describe('the scale', () => {
  it('has round ticks, 0 among them', () => {
    expect(scaleOf([3, 11], [], { threshold: undefined, rows: 6 })).toEqual({
      low: 0,
      high: 11,
      ticks: [0, 10]
    })
    const { ticks } = scaleOf([-40, 100], [], { threshold: undefined, rows: 12 })
    expect(ticks.map(tick => tick + 0)).toEqual([0, 50, 100])
  })

  it('grows for a quantile and a threshold, but not until nothing else can be seen', () => {
    const high = (tops: number[], threshold: number | undefined): number =>
      scaleOf([10], tops, { threshold, rows: 10 }).high
    expect(high([15, 20], undefined)).toBe(20)
    expect(high([15, 2000], undefined)).toBe(30)
    expect(high([], 25)).toBe(25)
    expect(high([], 250)).toBe(10)
  })
})

describe('the times below', () => {
  const ticks = (from: string, to: string, columns: number, zone: string): string[] => {
    const calendar = new Calendar(zone)
    const offsetMinutes = (timeMs: number) => calendar.offsetMinutes(timeMs)
    return timeTicks(Date.parse(from), Date.parse(to), { columns, offsetMinutes }).map(
      ({ timeMs, label }) => `${new Date(timeMs).toISOString().slice(11, 16)} ${label}`
    )
  }

  it('are round where the volume is, and the day stands at midnight', () => {
    expect(ticks('2026-01-15T13:07Z', '2026-01-16T13:07Z', 40, 'Asia/Kolkata')).toEqual([
      '18:30 Fri 16',
      '00:30 06:00',
      '06:30 12:00',
      '12:30 18:00'
    ])
    expect(ticks('2026-01-15T13:07Z', '2026-01-15T13:57Z', 50, 'UTC')).toEqual([
      '13:10 13:10',
      '13:20 13:20',
      '13:30 13:30',
      '13:40 13:40',
      '13:50 13:50'
    ])
  })

  it('stay round when the clocks change', () => {
    expect(ticks('2026-03-29T00:00Z', '2026-03-29T06:00Z', 24, 'Europe/Berlin')).toEqual([
      '02:00 04:00',
      '04:00 06:00'
    ])
    expect(ticks('2026-10-24T20:00Z', '2026-10-25T08:00Z', 32, 'Europe/Berlin')).toEqual([
      '22:00 Sun 25',
      '02:00 03:00',
      '05:00 06:00'
    ])
  })

  it('are none where there is no room or no time', () => {
    expect(ticks('2026-01-15T13:07Z', '2026-01-16T13:07Z', 7, 'UTC')).toEqual([])
    expect(ticks('2026-01-15T13:07Z', '2026-01-15T13:07Z', 70, 'UTC')).toEqual([])
  })
})
