// Goal: `shoal top` says who is loaded, where that goes and what is not known, on any screen; it
// leaves the terminal as it found it, and outlives a daemon that starts again.
// Method: the real command over a real socket with documents as a daemon sends them, on a terminal in
// memory that draws what it is sent.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { latency, type TopView, topLines } from '../../cli/top-view.ts'
import type { TopDocument } from '../../node/control/load-documents.ts'
import {
  type Asked,
  forecastDocument,
  loadDocument,
  recordedApi,
  topDocument
} from '../support/cli-load-documents.ts'
import { MemoryScreen } from '../support/cli-screen.ts'
import { Terminal } from '../support/cli-terminal.ts'

const UTF8 = { LANG: 'en_US.UTF-8' }
const ALL = { parts: ['nodes', 'volumes', 'shards'], sort: 'load', limit: 20 } as const

let top: () => TopDocument
let asked: Asked[]
let terminal: Terminal

beforeEach(async () => {
  top = topDocument
  const api = recordedApi({
    top: () => top(),
    forecast: forecastDocument,
    csv: async function* () {},
    imported: () => ({ volumes: [] })
  })
  asked = api.asked
  terminal = await Terminal.open(api)
})
afterEach(() => terminal.close())

const lines = (document: TopDocument, more: Partial<TopView> = {}): string[] =>
  topLines(document, { ...ALL, columns: Infinity, rows: Infinity, unicode: true, ...more })

/** A table with as many shards, of loads 1 to `count`. */
function shards(count: number): TopDocument {
  const list = Array.from({ length: count }, (_, i) => {
    return { ...loadDocument(i + 1), volume: `v${String(i + 1).padStart(3, '0')}`, node: 'eu-1' }
  })
  return { ...topDocument(), shards: list }
}

describe('the tables', () => {
  it('show loads, what is ahead as a share where the capacity is known, risks and ages', () => {
    expect(lines(topDocument()).slice(1)).toEqual([
      '',
      'NODE         REGION  IOPS R/W    BYTES/S    P50    P99  QUEUE  LOAD  SHARE      15 MIN       60 MIN    RISK  AGE',
      'eu-1 (here)  eu       500/250  7.8 MiB/s  180us  2.1ms    3.2    1k   50 %  60..80 % ↑  85..100 % ↑  73 % !',
      'eu-2         eu        150/75  2.3 MiB/s      -      -      0   300         300..320 →   305..330 →   1 %    3 min',
      'us-1         us             -          -      -      -      -     -      -           -            -       -  unknown',
      '',
      'VOLUME  SHARDS  IOPS R/W    BYTES/S    P50    P99  QUEUE  LOAD        15 MIN      60 MIN    RISK',
      'web     2        500/250  7.8 MiB/s  180us  2.1ms    3.2    1k  1.2k..1.6k ↑  1.7k..2k ↑  50 % !',
      'db      1         150/75  2.3 MiB/s      -      -      0   300    240..340 ↓  100..250 ↓   2 %',
      '',
      'SHARD     IOPS R/W    BYTES/S    P50    P99  QUEUE  LOAD  SHARE      15 MIN      60 MIN  RISK',
      'web@eu-1   500/250  7.8 MiB/s  180us  2.1ms    3.2    1k   50 %           -           -     -',
      'db@eu-2     150/75  2.3 MiB/s      -      -      0   300         240..340 ↓  100..250 ↓     -',
      '',
      'still reading the past: eu-1 (3 of 40 shards)',
      'no answer from eu-2, us-1'
    ])
    expect(lines(topDocument())[0]).toMatch(/^\d\d:\d\d:05 {2}3 nodes, 2 volumes, 2 shards$/)
  })

  it.each([40, 60, 80, 100, 120])(
    'are at most %d columns wide, and keep name and load',
    columns => {
      const shown = lines(topDocument(), { columns, unicode: false })
      for (const line of shown) expect(line.length).toBeLessThanOrEqual(columns)
      expect(shown.join('\n')).toMatch(/^[ -~\n]*$/)
      expect(shown.filter(line => / LOAD\b/.test(line))).toHaveLength(3)
      expect(shown.join('\n')).toContain('web@eu-1')
      if (columns >= 60) expect(shown.join('\n')).toMatch(/^eu-2.* 3 min$/m)
    }
  )

  it('are cut to the rows that there are, and say how many are left', () => {
    for (const rows of [5, 8, 12, 16, 24, 50]) {
      const shown = lines(shards(40), { rows })
      expect(shown.length).toBeLessThanOrEqual(rows)
    }
    const shown = lines(shards(40), { rows: 24 })
    expect(shown).toHaveLength(24)
    expect(shown.filter(line => line.startsWith('v0'))).toHaveLength(8)
    expect(shown).toContain('  and 32 more')
    expect(lines(shards(40), { limit: 3 })).toContain('  and 37 more')
    expect(lines(shards(20)).join('\n')).not.toContain('more')
  })

  it('count what the daemon left out as well', () => {
    const document = { ...shards(5), leftOut: { nodes: 0, volumes: 1, shards: 95 } }
    const shown = lines(document, { limit: 5 })
    expect(shown[0]).toMatch(/3 nodes, 3 volumes, 100 shards/)
    expect(shown).toContain('  and 95 more')
    expect(shown).toContain('  and 1 more')
  })

  it('are in order of load, requests, p99 or name, the unknown last', () => {
    const names = (sort: TopView['sort']): string[] =>
      lines(topDocument(), { sort, parts: ['nodes'] })
        .slice(3, 6)
        .map(line => line.split(' ')[0] ?? '')
    expect(names('load')).toEqual(['eu-1', 'eu-2', 'us-1'])
    const busy = lines(shards(3), { sort: 'name', parts: ['shards'] })
    expect(busy.slice(3, 6).map(line => line.slice(0, 4))).toEqual(['v001', 'v002', 'v003'])
    const slow = { ...shards(3) }
    const last = { ...loadDocument(0, { p99Us: 9 }), volume: 'slow', node: 'eu-1' }
    const order = lines({ ...slow, shards: [...slow.shards, last] }, { sort: 'p99' })
    expect(order.findIndex(line => line.startsWith('slow'))).toBeLessThan(
      order.findIndex(line => line.startsWith('v001'))
    )
  })

  it('cannot be drawn over by what others name themselves', () => {
    const document = { ...topDocument(), silent: ['\u001b[2Jx'] }
    const [node] = document.nodes
    if (node === undefined) throw new Error('a node')
    const text = lines({ ...document, nodes: [{ ...node, node: 'a\u001b[1mb\n' }] }).join('\n')
    expect(text).toContain('a?[1mb?')
    expect(text).toContain('no answer from ?[2Jx')
  })

  it('say so when there is nothing', () => {
    const none = { at: 0, nodes: [], volumes: [], shards: [], silent: [] }
    expect(lines(none).slice(1)).toEqual(['', 'no nodes', '', 'no volumes', '', 'no shards'])
  })

  it('write a latency in the unit in which it is short', () => {
    const texts = [0, 0.5, 180.4, 999.6, 2140, 999_600, 30_000_000].map(latency)
    expect(texts).toEqual(['-', '0.5us', '180us', '1ms', '2.1ms', '1s', '30s'])
  })
})

describe('shoal top --once', () => {
  it('prints the tables, only those that are asked for, and asks for no more rows', async () => {
    const run = await terminal.run(['top', '--once', '--volumes', '--limit', '1'])
    expect(run).toMatchObject({ code: 0, err: '' })
    expect(run.out).toMatch(/^VOLUME .*\nweb .*1\.2k\.\.1\.6k \^ .*\n {2}and 1 more\n/m)
    expect(run.out).not.toMatch(/^(NODE|SHARD) /m)
    await terminal.run(['top', '--once', '--sort', 'p99'])
    expect(asked.map(({ what }) => what)).toEqual(['GET /v1/load?top=1', 'GET /v1/load'])
  })

  it('prints the document with --json', async () => {
    const run = await terminal.run(['top', '--json'])
    expect(JSON.parse(run.out)).toEqual(topDocument())
    expect(asked.map(({ what }) => what)).toEqual(['GET /v1/load'])
  })

  it('is as wide as the terminal', async () => {
    const screen = new MemoryScreen(50, 24)
    const run = await terminal.run(['top', '--once'], { screen })
    expect(Math.max(...run.out.split('\n').map(line => line.length))).toBeLessThanOrEqual(50)
    expect(screen.lines).toEqual([])
  })
})

describe('shoal top into a pipe', () => {
  it('prints again and again until ctrl-C, also past a failure', async () => {
    let interrupt: () => void = () => undefined
    let count = 0
    const run = await terminal.run(['top', '--interval', '500ms', '--nodes'], {
      onInterruptible: press => {
        interrupt = press
      },
      onOutput: () => {
        count++
        if (count === 1) {
          top = () => {
            top = topDocument
            throw new Error('not now')
          }
        }
        if (count === 3) interrupt()
      }
    })
    expect(run.code).toBe(0)
    expect(run.out.match(/^NODE /gm)).toHaveLength(3)
    expect(run.out).toMatch(/unknown\n\nstill .*\nno answer .*\n\n\d\d:/)
    expect(run.err).toMatch(/^shoal: not now\n$/)
  })
})

describe('shoal top on a terminal', () => {
  const begin = (screen: MemoryScreen, ...words: string[]) =>
    terminal.run(['top', '--interval', '500ms', ...words], { screen, env: UTF8 })

  it('draws in place, follows the size, and gives the screen back when q is pressed', async () => {
    const screen = new MemoryScreen(80, 24)
    const over = begin(screen)
    await screen.until(shown => shown.some(line => line.startsWith('web@eu-1')))
    expect([screen.isOther, screen.isCursorShown]).toEqual([true, false])
    top = () => ({ ...shards(200), silent: [] })
    await screen.until(shown => shown.some(line => line.startsWith('v200')))
    expect(screen.lines).toHaveLength(24)
    expect(screen.lines.at(-1)).toMatch(/^still reading/)
    expect(screen.lines.join('\n')).not.toContain('no answer')
    screen.resize(60, 14)
    await screen.until(shown => shown.slice(0, 14).every(line => line.length <= 60))
    expect(screen.lines.filter(line => / LOAD\b/.test(line))).not.toHaveLength(0)
    screen.press('q')
    expect(await over).toEqual({ code: 0, out: '', err: '' })
    expect(screen).toMatchObject({ isOther: false, isCursorShown: true, overflows: 0 })
    expect(screen.listeners).toBe(0)
    expect(asked[0]?.what).toBe('GET /v1/load?top=24')
  })

  it.each([
    ['ctrl-C as a key', (screen: MemoryScreen) => screen.press('\u0003')],
    ['a signal', (screen: MemoryScreen) => screen.terminate()]
  ])('gives the screen back after %s', async (_title, end) => {
    const screen = new MemoryScreen(80, 24)
    const over = begin(screen, '--shards')
    await screen.until(shown => shown.length > 2)
    end(screen)
    expect(await over).toMatchObject({ code: 0 })
    expect(screen).toMatchObject({ isOther: false, isCursorShown: true, listeners: 0 })
  })

  it('keeps what it has while the daemon does not answer, and says so', async () => {
    const screen = new MemoryScreen(80, 24)
    const over = begin(screen)
    await screen.until(shown => shown.length > 2)
    top = () => {
      throw new Error('not now')
    }
    await screen.until(shown => shown[0] === 'not now')
    expect(screen.lines.join('\n')).toContain('web@eu-1')
    top = topDocument
    await screen.until(shown => /3 nodes/.test(shown[0] ?? ''))
    screen.press('q')
    await over
  })

  it('draws nothing if the daemon does not run', async () => {
    const screen = new MemoryScreen(80, 24)
    const run = await terminal.run(['top', '--dir', '/nowhere/at/all'], { screen })
    expect(run.code).toBe(1)
    expect(run.err).toContain('shoal up --dir')
    expect(screen).toMatchObject({ lines: [], isOther: false, listeners: 0 })
  })
})
