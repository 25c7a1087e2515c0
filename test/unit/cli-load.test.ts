// Goal: load goes out as CSV, whole or not at all, and comes in only if every line of it is good; a bad
// line is named.
// Method: the real commands over a real socket, real files, and answers as a daemon sends them.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ImportDocument } from '../../node/control/load-documents.ts'
import { LOAD_CSV_HEADER } from '../../protocols/load/csv.ts'
import { formatIsoTime } from '../../protocols/load/iso-time.ts'
import {
  type Asked,
  forecastDocument,
  type Recorded,
  recordedApi,
  topDocument
} from '../support/cli-load-documents.ts'
import { type RunOptions, Terminal } from '../support/cli-terminal.ts'

const ROW = '2026-01-02T03:04:00Z,web,eu-1,120.5,31,1974272,507904,0.25,1.2,180,2100'
const LATER = ROW.replace('03:04', '03:06')
const CSV = `${LOAD_CSV_HEADER}\n${ROW}\n${ROW.replace('03:04', '03:05')}\n`
const FROM = Date.UTC(2026, 0, 2, 3, 4)
const DAY_MS = 86_400_000
const never = new Promise<never>(() => undefined)

let scratch: string
let recorded: Recorded
let asked: Asked[]
let terminal: Terminal

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'shoal-load-'))
  recorded = {
    top: topDocument,
    forecast: forecastDocument,
    // Cut in the middle of lines, as a socket may.
    csv: async function* () {
      for (let at = 0; at < CSV.length; at += 50) yield CSV.slice(at, at + 50)
    },
    imported: () => ({ volumes: [] })
  }
  const api = recordedApi(recorded)
  asked = api.asked
  terminal = await Terminal.open(api)
})
afterEach(async () => {
  await terminal.close()
  rmSync(scratch, { recursive: true })
})

const shoal = (words: readonly string[], options: RunOptions = {}) =>
  terminal.run(['load', ...words], options)

function file(text: string | Uint8Array, name = 'load.csv'): string {
  const path = join(scratch, name)
  writeFileSync(path, text)
  return path
}

function queryOf({ what }: Asked): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(what.split('?')[1]))
}

describe('shoal load export', () => {
  it('writes the CSV to stdout, byte for byte', async () => {
    expect(await shoal(['export'])).toEqual({ code: 0, out: CSV, err: '' })
  })

  it('asks for a week in minutes unless it is told otherwise', async () => {
    const before = Date.now()
    await shoal(['export'])
    const query = queryOf(asked[0] ?? fail())
    expect(query).toEqual({
      sinceMs: expect.any(String),
      untilMs: expect.any(String),
      step: '1m'
    })
    expect(Number(query.untilMs)).toBeGreaterThanOrEqual(before)
    expect(Number(query.untilMs) - Number(query.sinceMs)).toBe(7 * DAY_MS)
  })

  it('takes times, how long ago, a volume and a step; hours where minutes are gone', async () => {
    await shoal(['export', '--since=2026-01-02', '--until=2026-01-02T03:04:05Z', '--volume=web'])
    expect(queryOf(asked[0] ?? fail())).toEqual({
      sinceMs: String(Date.UTC(2026, 0, 2)),
      untilMs: String(Date.UTC(2026, 0, 2, 3, 4, 5)),
      step: '1h',
      volume: 'web'
    })
    await shoal(['export', '--since=40m', '--until=20m', '--step=1s'])
    const { sinceMs, untilMs, step } = queryOf(asked[1] ?? fail())
    expect([Number(untilMs) - Number(sinceMs), step]).toEqual([20 * 60_000, '1s'])
  })

  it('writes a file whole, and says what is in it', async () => {
    const path = join(scratch, 'out.csv')
    writeFileSync(path, 'older')
    const words = ['export', '--since=2026-01-02', '--until=2026-01-03', '--out', path]
    const run = await shoal(words)
    expect(run).toMatchObject({ code: 0, err: '' })
    expect(run.out).toBe(
      `${path}: 2 rows, ${CSV.length} B, 2026-01-02T00:00:00Z to 2026-01-03T00:00:00Z\n`
    )
    expect(readFileSync(path, 'utf8')).toBe(CSV)
    expect(readdirSync(scratch)).toEqual(['out.csv'])
    expect(JSON.parse((await shoal([...words, '--json'])).out)).toEqual({
      path,
      rows: 2,
      bytes: CSV.length,
      sinceMs: Date.UTC(2026, 0, 2),
      untilMs: Date.UTC(2026, 0, 3),
      step: '1h'
    })
  })

  it('leaves no file, and an older one as it was, if the daemon hangs up or ctrl-C is pressed', async () => {
    const path = join(scratch, 'out.csv')
    writeFileSync(path, 'older')
    recorded.csv = hungUp
    const cut = await shoal(['export', '--out', path])
    expect(cut.code).toBe(1)
    expect(cut.err).toMatch(/^shoal: the daemon hung up before it was done\n$/)
    let interrupt: () => void = () => undefined
    recorded.csv = async function* () {
      yield CSV.slice(0, 150)
      yield ROW
      yield ROW
      interrupt()
      await never
    }
    const stopped = await shoal(['export', '--out', path], {
      onInterruptible: press => {
        interrupt = press
      }
    })
    expect(stopped.code).toBe(1)
    expect(stopped.err).toMatch(/the export was given up/)
    expect(readFileSync(path, 'utf8')).toBe('older')
    expect(readdirSync(scratch)).toEqual(['out.csv'])
  })

  it('fails on stdout too when it is cut off', async () => {
    recorded.csv = hungUp
    const run = await shoal(['export'])
    expect(run.code).toBe(1)
    expect(run.err).toMatch(/hung up/)
    expect(run.out).toBe(`${LOAD_CSV_HEADER}\n${`${ROW}\n`.repeat(4)}`)
  })

  it.each([
    [['--since=tomorrow'], 'for example 7d'],
    [['--since=7d', '--until=8d'], '--since must be before --until'],
    [['--since=2100-01-01'], 'before now'],
    [['--until=2026-02-30'], '--until must be'],
    [['--step=2m'], 'one of 1s, 1m, 1h'],
    [['--volume=../x'], 'no name for a volume'],
    [['--json'], '--out'],
    [['--out=/'], 'no regular file']
  ])('%j is bad usage', async (words, why) => {
    const run = await shoal(['export', ...words])
    expect(run.code).toBe(2)
    expect(run.err).toContain(why)
    expect(asked).toEqual([])
  })

  it('says so if the file cannot be written', async () => {
    const run = await shoal(['export', '--out', join(scratch, 'none', 'out.csv')])
    expect(run.code).toBe(2)
    expect(run.err).toMatch(/cannot write .*ENOENT/)
  })
})

describe('shoal load import', () => {
  const taken: ImportDocument = {
    volumes: [
      { volume: 'db', rows: 3, taken: 1, from: FROM, to: FROM, why: 'measured already' },
      { volume: 'web', rows: 2, taken: 2, from: FROM, to: FROM + 60_000 }
    ]
  }

  it('sends the file as it is, and says what was taken', async () => {
    recorded.imported = () => taken
    const path = file(CSV)
    const run = await shoal(['import', path])
    expect(run).toMatchObject({ code: 0, err: '' })
    expect(asked).toEqual([{ what: 'POST /v1/load/import', type: 'text/csv', body: CSV }])
    expect(run.out).toBe(
      [
        'VOLUME  TAKEN  LEFT OUT  TIMES                                         WHY',
        'db      1      2         2026-01-02T03:04:00Z to 2026-01-02T03:04:00Z  measured already',
        'web     2      0         2026-01-02T03:04:00Z to 2026-01-02T03:05:00Z',
        ''
      ].join('\n')
    )
    const json = await shoal(['import', path, '--volume', 'db', '--json'])
    expect(JSON.parse(json.out)).toEqual(taken)
    expect(asked[1]?.what).toBe('POST /v1/load/import?volume=db')
  })

  it('checks and sends nothing with --dry-run', async () => {
    const path = file(CSV)
    const run = await shoal(['import', path, '--dry-run'])
    expect(run.out).toBe(
      [
        'VOLUME  ROWS  TIMES',
        'web     2     2026-01-02T03:04:00Z to 2026-01-02T03:05:00Z',
        'nothing was sent',
        ''
      ].join('\n')
    )
    const json = await shoal(['import', path, '--dry-run', '--volume=db', '--json'])
    const volume = { volume: 'db', rows: 2, taken: 0, from: FROM, to: FROM + 60_000 }
    expect(JSON.parse(json.out)).toEqual({ dryRun: true, volumes: [volume] })
    expect(asked).toEqual([])
  })

  it('names the first bad line and counts the others; nothing is sent', async () => {
    const path = file(`${CSV}${ROW.replace('31', '-31')}\n\n${ROW},9\n${LATER}\n`)
    const run = await shoal(['import', path])
    expect(run.code).toBe(2)
    expect(run.err).toBe(
      `shoal: ${path} line 4: writes is "-31": it must be a number from 0 to 1000000000000 ` +
        '(2 lines are wrong)\n'
    )
    expect(run.out).toBe('')
    expect(asked).toEqual([])
  })

  it('takes a row of each node at one time, and refuses a file that is not in order', async () => {
    recorded.imported = () => taken
    const other = ROW.replace('eu-1', 'eu-2')
    expect(
      await shoal(['import', file(`${CSV}${LATER}\n${LATER.replace('eu-1', 'eu-2')}\n`)])
    ).toMatchObject({
      code: 0
    })
    asked.length = 0
    for (const line of [other, ROW]) {
      const run = await shoal(['import', file(`${CSV}${line}\n`)])
      expect(run.code).toBe(2)
      expect(run.err).toContain('line 4: it is not later than the line of its volume before')
    }
    expect(asked).toEqual([])
  })

  it('reads a file of any size piece by piece', async () => {
    recorded.imported = () => taken
    const rows = 20_000
    const lines = Array.from({ length: rows }, (_, minute) =>
      ROW.replace('2026-01-02T03:04:00Z', formatIsoTime(FROM + minute * 60_000))
    )
    const path = file(`${LOAD_CSV_HEADER}\n${lines.join('\n')}\n`)
    const dry = await shoal(['import', path, '--dry-run', '--json'])
    expect(JSON.parse(dry.out)).toMatchObject({ volumes: [{ volume: 'web', rows }] })
    expect(await shoal(['import', path])).toMatchObject({ code: 0 })
    expect(asked[0]?.body).toBe(readFileSync(path, 'utf8'))
  })

  it.each([
    ['', 'there is no header'],
    [`${LOAD_CSV_HEADER}\n`, 'has no rows'],
    ['time,reads,writes\n', 'lacks volume'],
    [new Uint8Array(10_000), 'line 1: '],
    [`${CSV}"`, 'line 4: a quote is not closed']
  ])('refuses %j', async (text, why) => {
    const run = await shoal(['import', file(text)])
    expect(run.code).toBe(2)
    expect(run.err).toContain(why)
    expect(asked).toEqual([])
  })

  it('refuses what is no file, and a name that is none', async () => {
    const absent = await shoal(['import', join(scratch, 'absent.csv')])
    expect(absent.code).toBe(2)
    expect(absent.err).toMatch(/cannot read .*absent\.csv: ENOENT/)
    expect((await shoal(['import', scratch])).err).toContain('no regular file')
    expect((await shoal(['import', file(CSV), '--volume=A'])).code).toBe(2)
    expect(existsSync(join(scratch, 'load.csv'))).toBe(true)
    expect(asked).toEqual([])
  })

  it('passes the refusal of the daemon on', async () => {
    recorded.imported = () => {
      throw new Error('no volume web')
    }
    const run = await shoal(['import', file(CSV)])
    expect(run).toEqual({ code: 1, out: '', err: 'shoal: no volume web\n' })
  })
})

/** Four rows and a half, and then nothing. */
async function* hungUp(hangUp: () => void): AsyncGenerator<string> {
  yield `${LOAD_CSV_HEADER}\n`
  for (let row = 0; row < 4; row++) yield `${ROW}\n`
  yield ROW.slice(0, 30)
  hangUp()
  await never
}

function fail(): never {
  throw new Error('nothing was asked')
}
