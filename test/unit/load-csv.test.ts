// Goal: a CSV of load is read as people and other programs write it, and a bad line is refused with
// words that say what is wrong with it.
// Method: small files by hand, cut nowhere; the property test cuts them everywhere.
import { describe, expect, it } from 'vitest'
import {
  formatLoadRow,
  LOAD_CSV_HEADER,
  type LoadCsvLine,
  LoadCsvReader
} from '../../protocols/load/csv.ts'
import { formatIsoTime, parseIsoTime } from '../../protocols/load/iso-time.ts'
import { MAX_CSV_LINE_CHARS } from '../../protocols/load/limits.ts'
import { IDLE } from '../../protocols/load/record.ts'

const TIME = '2026-01-02T03:04:05Z'
const TIME_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

function read(text: string | Uint8Array, volume?: string): LoadCsvLine[] {
  const reader = new LoadCsvReader(volume === undefined ? {} : { volume })
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  return [...reader.push(bytes), ...reader.end()]
}

describe('a CSV of load', () => {
  it('is read as it is written', () => {
    const record = {
      reads: 120.5,
      writes: 31,
      readBytes: 1_974_272,
      writtenBytes: 507_904,
      sequential: 0.25,
      queue: 1.2,
      p50Us: 180,
      p99Us: 2100
    }
    const row = { timeMs: TIME_MS, volume: 'web', node: 'eu-1', record }
    const line = formatLoadRow(row)
    expect(line).toBe(`${TIME},web,eu-1,120.5,31,1974272,507904,0.25,1.2,180,2100`)
    expect(read(`${LOAD_CSV_HEADER}\n${line}\n`)).toEqual([{ line: 2, row }])
  })

  it('has columns in any order, and only some of them; what is missing is 0', () => {
    const lines = read(`writes,volume,reads,time\n7,web,5,${TIME}`)
    const row = { timeMs: TIME_MS, volume: 'web', record: { ...IDLE, reads: 5, writes: 7 } }
    expect(lines).toEqual([{ line: 2, row }])
  })

  it('has a byte order mark, CRLF, blanks, capitals, quotes, blank lines and empty fields', () => {
    const file =
      `\ufeffTime,Volume, Node ,reads,writes,queue\r\n\r\n` +
      `"2026-01-02 03:04:05", "web" ,"", 1e2 ,"2",\r\n \r\n`
    const record = { ...IDLE, reads: 100, writes: 2 }
    expect(read(file)).toEqual([{ line: 3, row: { timeMs: TIME_MS, volume: 'web', record } }])
  })

  it('may be of one volume that is named from outside, whatever it is called inside', () => {
    const given = (text: string) => read(text, 'web').map(line => ('row' in line ? line.row : line))
    const row = { timeMs: TIME_MS, volume: 'web', record: IDLE }
    expect(given(`time,reads,writes\n${TIME},0,0`)).toEqual([row])
    expect(given(`time,volume,reads,writes\n${TIME},old,0,0\n${TIME},old,0,0`)).toEqual([row, row])
    expect(given(`time,volume,reads,writes\n${TIME},old,0,0\n${TIME},other,0,0`)).toEqual([
      row,
      { line: 3, refused: 'a second volume, other after old, where all is to be of web' }
    ])
  })

  it.each([
    ['', 1, 'there is no header'],
    ['\n\n', 3, 'no column is known'],
    [`${TIME},web,1,2\n`, 1, 'no column is known'],
    ['time;volume;reads;writes\n', 1, 'no column is known'],
    ['time,volume,writes\n', 1, 'lacks reads'],
    ['time,reads\n', 1, 'lacks volume and writes'],
    ['time,volume,reads,writes,rads\n', 1, '"rads" is not known'],
    ['time,volume,reads,writes,time\n', 1, 'there twice'],
    ['time,volume,reads,"writes\n', 1, 'a quote is not closed'],
    [`\u0000t\u0000i${'x'.repeat(100)}`, 1, 'no column is known'],
    ['x'.repeat(MAX_CSV_LINE_CHARS + 1), 1, 'more than 4096 characters']
  ])('without a good header (%j) is refused once, and nothing of it is read', (head, line, why) => {
    const lines = read(`${head}${head.endsWith('\n') ? `${TIME},web,1,2\n${TIME},web,1,2\n` : ''}`)
    expect(lines).toEqual([{ line, refused: expect.stringContaining(why) }])
  })

  it.each([
    [`${TIME},web,1`, '3 fields, where the header has 4'],
    [`${TIME},web,1,2,3`, '5 fields'],
    [`yesterday,web,1,2`, 'time is "yesterday"'],
    [`2026-02-30T00:00:00Z,web,1,2`, 'time is'],
    [`${TIME},../web,1,2`, 'volume is "../web"'],
    [`${TIME},,1,2`, 'volume is ""'],
    [`${TIME},web,-1,2`, 'reads is "-1"'],
    [`${TIME},web,,2`, 'reads is ""'],
    [`${TIME},web,1,NaN`, 'writes is "NaN"'],
    [`${TIME},web,1,1e16`, 'writes is "1e16"'],
    [`${TIME},web,1,0x10`, 'writes is'],
    [`${TIME},web,"1,2`, 'a quote is not closed'],
    [`${TIME},web,1"1",2`, 'a quote'],
    ['x'.repeat(MAX_CSV_LINE_CHARS + 1), 'more than 4096 characters']
  ])('refuses the line %j, and goes on', (line, why) => {
    const lines = read(`time,volume,reads,writes\n${line}\n${TIME},web,1,2\n`)
    expect(lines).toHaveLength(2)
    expect(lines[0]).toEqual({ line: 2, refused: expect.stringContaining(why) })
    expect(lines[1]).toHaveProperty('row')
  })

  it('refuses a part that is more than all', () => {
    const [line] = read(`time,volume,reads,writes,sequential\n${TIME},web,1,2,1.5\n`)
    expect(line).toHaveProperty('refused', expect.stringContaining('a number from 0 to 1'))
  })
})

describe('ISO times', () => {
  it.each([
    ['2026-01-02T03:04:05Z', TIME_MS],
    ['2026-01-02t03:04:05z', TIME_MS],
    ['2026-01-02T03:04:05', TIME_MS],
    ['2026-01-02 03:04:05.250', TIME_MS + 250],
    ['2026-01-02T03:04:05.123456789Z', TIME_MS + 123],
    ['2026-01-02T03:04Z', TIME_MS - 5000],
    ['2026-01-02T05:04:05+02:00', TIME_MS],
    ['2026-01-01T21:34:05-0530', TIME_MS],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)]
  ])('%s is an instant', (text, time) => expect(parseIsoTime(text)).toBe(time))

  it.each([
    '',
    '2026-01-02',
    '2026-1-2T03:04:05Z',
    '2025-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '1969-12-31T23:59:59Z',
    '0001-01-01T00:00:00Z',
    '2026-01-02T03:04:05+15:00',
    '2026-01-02T03:04:05 CET',
    '1767323045',
    ' 2026-01-02T03:04:05Z',
    '2026-01-02T03:04:05Z\n'
  ])('%j is none', text => expect(parseIsoTime(text)).toBeUndefined())

  it('are written in UTC', () => {
    expect(formatIsoTime(TIME_MS)).toBe(TIME)
    expect(formatIsoTime(TIME_MS + 5)).toBe('2026-01-02T03:04:05.005Z')
  })
})
