// Goal: `shoal forecast` shows past and future on the terminal that there is, and says in words how
// sure it is; what cannot be asked is refused before anybody is asked.
// Method: the real command over a real socket, with forecasts as a daemon sends them.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ForecastDocument } from '../../node/control/load-documents.ts'
import {
  type Asked,
  AT,
  forecastDocument,
  recordedApi,
  topDocument
} from '../support/cli-load-documents.ts'
import { MemoryScreen } from '../support/cli-screen.ts'
import { type RunOptions, Terminal } from '../support/cli-terminal.ts'

const UTF8 = { LC_ALL: '', LANG: 'de_DE.utf8' }
const HOUR_MS = 3_600_000

let forecast: ForecastDocument
let asked: Asked[]
let terminal: Terminal

beforeEach(async () => {
  forecast = forecastDocument()
  const api = recordedApi({
    top: topDocument,
    forecast: () => forecast,
    csv: async function* () {},
    imported: () => ({ volumes: [] })
  })
  asked = api.asked
  terminal = await Terminal.open(api)
})
afterEach(() => terminal.close())

const shoal = (line: string, options: RunOptions = {}) => terminal.run(line.split(' '), options)

/** Everything below the plot. */
async function words(more: Partial<ForecastDocument>): Promise<string[]> {
  forecast = forecastDocument(more)
  const { out } = await shoal('forecast web')
  return out.trimEnd().split('\n').slice(24)
}

describe('what it shows', () => {
  it('is a plot of 80 by 20, times of the zone of the subject, and sentences', async () => {
    const { code, out, err } = await shoal('forecast web', { env: UTF8 })
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = out.trimEnd().split('\n')
    expect(lines[0]).toBe('web (volume), load in units per second, 14:07 Europe/Berlin')
    const picture = lines.slice(2, 22)
    expect(picture.every(line => line.length === 80)).toBe(true)
    expect(picture.join('')).toMatch(/[\u2800-\u28ff]/)
    expect(picture.at(-1)).toMatch(/^ +18:00 +Thu 15 +06:00 +12:00 +now +18:00 +$/)
    expect(lines.slice(22)).toEqual([
      'line: past, expected   ▒ up to q90   ░ up to q95   ╌ threshold',
      '',
      'model: seasonal autoregression, 31 % less error than the better of last value and yesterday',
      'threshold: 1.6k/s, a part of the capacity that was measured',
      'chance of crossing it within the hour: 12 %, within 6 h: 64 %',
      'crossing: expected load 2026-01-16 02:07, high load (q90) 15:37',
      'rests on 12 days of history',
      'declared patterns: mon-fri 02:00'
    ])
  })

  it('is ASCII where the locale is not UTF-8, or if it is asked for', async () => {
    for (const run of [
      await shoal('forecast web', { env: { LANG: 'C' } }),
      await shoal('forecast web', { env: { LC_ALL: 'POSIX', LANG: 'en_US.UTF-8' } }),
      await shoal('forecast web --ascii', { env: UTF8 })
    ]) {
      expect(run.out).toMatch(/^[ -~\n]+$/)
      expect(run.out).toContain('* past   o expected   : up to q90   . up to q95   - threshold')
    }
  })

  it('is as wide as the terminal, and leaves room for the words', async () => {
    const screen = new MemoryScreen(120, 40)
    const { out } = await shoal('forecast web', { screen })
    const lines = out.trimEnd().split('\n')
    expect(lines[2]).toHaveLength(120)
    expect(lines.length).toBeLessThanOrEqual(39)
    const tiny = await shoal('forecast web', { screen: new MemoryScreen(10, 4) })
    expect(tiny.out.split('\n')[2]).toHaveLength(40)
  })

  it('is the document with --json', async () => {
    const { out } = await shoal('forecast web --json')
    expect(JSON.parse(out)).toEqual(forecast)
  })
})

describe('what it says', () => {
  it('of a model without skill', async () => {
    for (const skill of [0, -0.2]) {
      const [model] = await words({ model: 'seasonal naive', skill })
      expect(model).toBe('model: seasonal naive, no better than naive, so naive is used')
    }
    expect((await words({ skill: 0.001 }))[0]).toContain('1 % less error')
  })

  it('of a threshold that load itself gives, far above, or that is not known', async () => {
    const [, usual] = await words({ threshold: { load: 99_000, from: 'usual' } })
    expect(usual).toBe(
      'threshold: 99k/s, what this load seldom exceeds by itself (above the picture)'
    )
    const { threshold: _threshold, chance: _chance, ...rest } = forecastDocument()
    forecast = rest
    const { out } = await shoal('forecast web')
    expect(out).toContain('threshold: none is known yet\nrests on')
    expect(out).not.toContain('- threshold')
  })

  it('of crossings that are not to be expected, and of a short horizon', async () => {
    const short = forecastDocument()
    const [, , chance, crossing] = await words({
      path: short.path.slice(0, 12),
      crossing: {}
    })
    expect(chance).toBe('chance of crossing it within the hour: 12 %')
    expect(crossing).toBe('crossing: neither the expected load nor the high one (q90) in this time')
    const half = await words({ crossing: { highAt: AT + HOUR_MS } })
    expect(half[3]).toBe('crossing: expected load not in this time, high load (q90) 15:07')
  })

  it('of a subject without any history, in a zone that is not known here', async () => {
    forecast = forecastDocument({
      path: [],
      bands: { q50: [], q90: [], q95: [] },
      history: { stepMs: 60_000, loads: [] },
      historyDays: 0,
      patterns: [],
      zone: 'Moon/Tycho'
    })
    const { code, out } = await shoal('forecast web')
    expect(code).toBe(0)
    expect(out).toContain('13:07 UTC\n')
    expect(out).toContain('no forecast yet: there is too little history')
    expect(out).toMatch(/rests on 0 days of history\n$/)
  })

  it('without control characters, whatever it was told', async () => {
    forecast = forecastDocument({ model: 'x\u001b[2J', patterns: ['a\u0007'], subject: 'w\u009b' })
    const { out } = await shoal('forecast web')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  })
})

describe('what it asks', () => {
  it('is the subject as it was typed, and whole minutes', async () => {
    await shoal('forecast web@eu-1 --horizon 90m --history 7d')
    await shoal('forecast node:eu-1 --horizon 330s')
    expect(asked.map(({ what }) => decodeURIComponent(what))).toEqual([
      'GET /v1/load/forecast?subject=web@eu-1&horizonMinutes=90&historyMinutes=10080',
      'GET /v1/load/forecast?subject=node:eu-1&horizonMinutes=6&historyMinutes=1440'
    ])
  })

  it.each([
    ['forecast web --horizon 4m', '--horizon must be from 5m to 24h'],
    ['forecast web --horizon 25h', '--horizon must be from 5m to 24h'],
    ['forecast web --horizon soon', 'for example 24h'],
    ['forecast web --history 15d', '--history must be from 5m to 14d'],
    ['forecast ../web', 'is no volume, node or shard'],
    ['forecast web@eu@us', 'is no volume, node or shard'],
    ['forecast disk:web', 'is no volume, node or shard'],
    ['forecast', 'subject']
  ])('%s is bad usage', async (line, why) => {
    const run = await shoal(line)
    expect(run.code).toBe(2)
    expect(run.err).toContain(why)
    expect(asked).toEqual([])
  })
})
